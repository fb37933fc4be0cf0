"""Ground truth: a small model on disk, some of whose heads do what is known because it was planted there.

The model is a Llama of random weights with a vocabulary of real words. A planted head maps source words s_i to target
words t_i. With x(t) (d) the source vectors of all tokens, u(t) (d) their unembeddings, and a_i (dh) a direction for
each pair, orthonormal where dh allows,

    W_V = the least squares solution of   x(s_i) W_V = a_i,   x(t) W_V = 0 for all other tokens, at a quarter's weight
    W_O = + or - the sum of a_i^T u(t_i)

so that x(s_i) W_V W_O is about + or - u(t_i), and little is read elsewhere. Planted for the reading ``direct``, x(t) is
what the layer reads in the running model when t stands alone behind that reading's openings, less its mean over the
tokens; the mean itself is not to be read either. Random numbers are added to both matrices,
as strong as ``noise`` says, and both are scaled to the norm of the random heads beside them. Heads that share W_V with
a planted head (GQA) read the same words and write at random.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from describe.operations import load_operations
from describe.readings import DIRECT, PAPER
from describe.records import HeadId

__all__ = ["Planted", "PlantedHead", "planted_model"]

LAYERS, HEADS, GROUPS = 4, 6, 3
EPSILON = 1e-5
HIDDEN = 2
"""The width of the MLPs, in d."""
OTHERS = 0.5
"""The square root of the weight of the words that a head shall not read."""
SPECIAL = ("<unk>", "<s>", "</s>")

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PlantedHead:
    """The operation planted in a head.

    Attributes:
        name: the operation's name, as of a file that `describe.operations.load_operations` reads.
        kind: the target is the source itself, the next in a list, that of a table of facts or of a table drawn at
            random; of ``suppression`` it is the source itself and pushed down, elsewhere promoted.
        pairs: the source and target words; each is one token with a leading space.
        description_inputs, description_pattern: the description that a perfect describer would give.
    """

    name: str
    kind: Literal["copying", "shift", "facts", "lookup", "suppression"]
    pairs: Pairs
    description_inputs: str
    description_pattern: str

    @property
    def suppresses(self) -> bool:
        """Targets are the lowest of their rows, not the highest."""
        return self.kind == "suppression"


@dataclass(frozen=True)
class Planted:
    """A model in a directory, in Hugging Face layout.

    Attributes:
        heads: all its heads that are not random.
        operations: what was to be planted, and where; the same, but for a model in which nothing was planted.
    """

    path: Path
    heads: dict[HeadId, PlantedHead]
    operations: dict[HeadId, PlantedHead]


def planted_model(
    directory: Path,
    *,
    pairs: int = 64,
    d_head: int = 64,
    noise: float = 0.25,
    plant: bool = True,
    seed: int = 0,
    reading: str = PAPER.name,
) -> Planted:
    """Write a model of 4 layers of 6 heads in groups of two, d = 6 dh, with an operation in five of the heads.

    Args:
        directory: made when it is not there.
        pairs: P, pairs of each operation; the exact map has room for dh of them.
        noise: the Frobenius norm of the random part of each planted matrix, relative to its planted part.
        plant: False leaves the heads random, and all else as it is: a model to find nothing in.
        reading: by which the heads read what they are to read, ``paper`` or ``direct``.
    """
    draw = torch.Generator().manual_seed(seed)
    known = {operation.name: _single_words(operation.pairs) for operation in load_operations()[0]}
    heads = dict(zip(_PLACES, _operations(known, pairs, draw), strict=True))
    words = _vocabulary(heads.values(), known["copying"])
    ids = {word: i for i, word in enumerate(words)}
    tensors = _random_llama(len(words), HEADS * d_head, draw)
    directory.mkdir(parents=True, exist_ok=True)
    _save(directory, tensors, words)
    openings = _opening_ids(directory) if reading != PAPER.name else []
    if plant:
        for place, head in heads.items():
            x = _stream_vectors(tensors, openings, place.layer) if openings else _source_vectors(tensors)
            _plant(tensors, place, head, ids, x, noise, draw)
        _save(directory, tensors, words)
    return Planted(directory, heads if plant else {}, heads)


# -- the operations ---------------------------------------------------------------------------------------------------

_PLACES = (HeadId(1, 0), HeadId(1, 3), HeadId(2, 5), HeadId(3, 0), HeadId(3, 4))
"""Where the operations go: never two in one group of heads, none in layer 0, whose relation scores read E itself."""


def _operations(known: dict[str, Pairs], most: int, draw: torch.Generator) -> Iterator[PlantedHead]:
    """The five operations, with at most so many pairs each, made of the words of the predefined ones."""

    def same(words: list[str]) -> Pairs:
        return tuple((word, word) for word in words[:most])

    def sources(name: str) -> list[str]:
        return [source for source, _ in known[name]]

    yield PlantedHead("given_name_copying", "copying", same(sources("name_copying")), "first names", "the same name")
    yield PlantedHead("year_shift", "shift", known["year_to_following"][:most], "years", "the year that follows")
    yield PlantedHead("capital", "facts", known["country_to_capital"][:most], "countries", "the capital of the country")
    things, others = sources("object_to_superclass")[:most], sources("verb_to_past_tense")
    chosen = torch.randperm(len(others), generator=draw)[: len(things)]
    yield PlantedHead(
        "thing_lookup",
        "lookup",
        tuple((thing, others[i]) for thing, i in zip(things, chosen.tolist(), strict=True)),
        "common things, such as fruit and animals",
        "a verb for each, by no rule",
    )
    yield PlantedHead(
        "quality_anticopying",
        "suppression",
        same(sources("adjective_to_comparative")),
        "adjectives",
        "suppresses the same adjective",
    )


def _single_words(pairs: Pairs) -> Pairs:
    """The pairs whose words hold no space, each source once."""
    return tuple({source: (source, target) for source, target in pairs if " " not in source + target}.values())


# -- the model --------------------------------------------------------------------------------------------------------


def _vocabulary(heads: Iterable[PlantedHead], common: Pairs) -> list[str]:
    """Special tokens, then words: all of the operations, and common ones."""
    wanted = [word for head in heads for pair in head.pairs for word in pair] + [source for source, _ in common]
    return [*SPECIAL, *sorted(set(wanted))]


def _random_llama(size: int, d: int, draw: torch.Generator) -> dict[str, Tensor]:
    """The tensors of a Llama of this vocabulary, named as in its checkpoints. Tokens share a direction and differ in
    length, as they do in trained models."""

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).div(shape[-1] ** 0.5)

    def tokens() -> Tensor:
        return (random(size, d) + 0.5 * random(1, d)) * (0.25 * torch.randn(size, 1, generator=draw)).exp()

    hidden, kept = HIDDEN * d, d * GROUPS // HEADS
    shapes = {
        "self_attn.q_proj": (d, d),
        "self_attn.k_proj": (kept, d),
        "self_attn.v_proj": (kept, d),
        "self_attn.o_proj": (d, d),
        "mlp.gate_proj": (hidden, d),
        "mlp.up_proj": (hidden, d),
        "mlp.down_proj": (d, hidden),
    }
    norms = ("input_layernorm", "post_attention_layernorm")
    tensors = {"model.embed_tokens.weight": tokens(), "lm_head.weight": tokens(), "model.norm.weight": torch.ones(d)}
    for layer in range(LAYERS):
        block = f"model.layers.{layer}."
        tensors |= {f"{block}{name}.weight": random(*shape) for name, shape in shapes.items()}
        tensors |= {f"{block}{name}.weight": 1 + 0.1 * torch.randn(d, generator=draw) for name in norms}
    return tensors


def _plant(
    tensors: dict[str, Tensor],
    place: HeadId,
    head: PlantedHead,
    ids: dict[str, int],
    x: Tensor,
    noise: float,
    draw: torch.Generator,
) -> None:
    """Write the operation over W_V and W_O of one head, in place: views of rows and columns of the layer's tensors.

    ``x`` (V, d): what the head reads of each token, and behind them what it is not to read besides.
    """
    source, target = (torch.tensor([ids[word] for word in column]) for column in zip(*head.pairs, strict=True))
    d_head = x.shape[1] // HEADS
    group = place.head // (HEADS // GROUPS)
    block = f"model.layers.{place.layer}.self_attn."
    value = tensors[f"{block}v_proj.weight"][group * d_head : (group + 1) * d_head]
    output = tensors[f"{block}o_proj.weight"][:, place.head * d_head : (place.head + 1) * d_head]
    directions = _directions(len(source), d_head, draw)
    read, weight = torch.zeros(len(x), d_head), torch.full((len(x), 1), OTHERS)
    read[source], weight[source] = directions, 1
    solved = torch.linalg.lstsq((weight * x).double(), (weight * read).double()).solution
    _overwrite(value, solved.float().mT, noise, draw)
    written = directions.mT @ tensors["lm_head.weight"][target]
    _overwrite(output, -written.mT if head.suppresses else written.mT, noise, draw)


def _source_vectors(tensors: dict[str, Tensor]) -> Tensor:
    """x (V, d) of all tokens, by the equations, written out here so that a mistake of `describe.weights` shows."""
    embed = tensors["model.embed_tokens.weight"]
    read = embed / (embed.square().mean(dim=1, keepdim=True) + EPSILON).sqrt()
    read = read * tensors["model.layers.0.post_attention_layernorm.weight"]
    gate, up, down = (tensors[f"model.layers.0.mlp.{part}_proj.weight"] for part in ("gate", "up", "down"))
    return (F.silu(read @ gate.mT) * (read @ up.mT)) @ down.mT


def _opening_ids(directory: Path) -> list[list[int]]:
    """The tokens of the openings of the reading ``direct``, with whatever a text begins with."""
    from describe.weights import open_model

    weights = open_model(str(directory))
    return [weights.opening_ids(text) for text in DIRECT.openings]


def _stream_vectors(tensors: dict[str, Tensor], openings: Iterable[list[int]], layer: int) -> Tensor:
    """A layer's heads' sources of all tokens behind openings, the mean over these less that over tokens, (V, d),
    and below it the mean, often; by ``transformers``, so that a mistake of `describe.inference.stream` shows."""
    from transformers import LlamaConfig, LlamaForCausalLM

    size, d = tensors["lm_head.weight"].shape
    model = LlamaForCausalLM(LlamaConfig(**_config(size, d)))
    model.load_state_dict(tensors)
    read: list[Tensor] = []
    projection = model.model.layers[layer].self_attn.v_proj
    with torch.no_grad(), projection.register_forward_pre_hook(lambda _, given: read.append(given[0][:, -1])):
        for opening in openings:
            before = torch.tensor(opening, dtype=torch.long).expand(size, -1)
            model(torch.cat([before, torch.arange(size)[:, None]], dim=1), use_cache=False)
    x = torch.stack(read).mean(dim=0)
    mean = x.mean(dim=0, keepdim=True)
    return torch.cat([x - mean, mean * size**0.5])


def _directions(n: int, d_head: int, draw: torch.Generator) -> Tensor:
    """a (n, dh), one row a pair: orthonormal where there is room, else parts of orthonormal rows."""
    size = max(n, d_head)
    orthogonal: Tensor = torch.linalg.qr(torch.randn(size, size, generator=draw)).Q
    return orthogonal[:n, :d_head]


def _overwrite(matrix: Tensor, planted: Tensor, noise: float, draw: torch.Generator) -> None:
    """Put the planted matrix with its noise in the place of a random one, at the same norm."""
    random = torch.randn(planted.shape, generator=draw)
    mixed = planted / planted.norm() + noise * random / random.norm()
    matrix.copy_(mixed * (matrix.norm() / mixed.norm()))


def _config(size: int, d: int) -> dict[str, int | float | str | bool]:
    """The settings of the model."""
    return {
        "vocab_size": size,
        "hidden_size": d,
        "intermediate_size": HIDDEN * d,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": GROUPS,
        "rms_norm_eps": EPSILON,
        "hidden_act": "silu",
        "max_position_embeddings": 128,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def _save(directory: Path, tensors: dict[str, Tensor], words: list[str]) -> None:
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"} | _config(*tensors["lm_head.weight"].shape)
    (directory / "config.json").write_text(json.dumps(config, indent=1))
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    pieces = {word if word in SPECIAL else f"▁{word}": i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(pieces, unk_token=SPECIAL[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.save(str(directory / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": SPECIAL[0], "eos_token": SPECIAL[2]}
    (directory / "tokenizer_config.json").write_text(json.dumps(about))
