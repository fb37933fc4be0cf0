"""Which tokens count: those that text is made of and the model has learnt, the commonest first; which are one word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from describe.errors import InputError
from describe.weights import open_model
from describe.weights.learnt import LearntTokens, chosen_tokens, learnt_tokens
from describe.weights.pieces import NEVER_MADE, SPECIAL, hub_pieces
from describe.weights.words import word_numbers
from tests import tiny

ASCII = 128
"""The tokens of the byte-level test tokenizer that are characters; " t" comes on top."""


def counts(found: LearntTokens) -> dict[str, int]:
    return {each.reason: each.count for each in found.left_out}


@pytest.mark.parametrize("tied", [True, False])
def test_of_a_random_model_only_what_is_no_text_is_left_out(tied: bool, tmp_path: Path) -> None:
    """In both formats alike."""
    model = tiny.tiny_model("llama", tie_word_embeddings=tied)
    stored = tiny.save(model, tmp_path / "hub"), tiny.write_gguf(model, tmp_path / "tiny.gguf")
    for weights in map(open_model, map(str, stored)):
        found = chosen_tokens(weights)
        texts = [weights.tokens[index] for index in found.ids.tolist()]
        assert sorted(texts) == sorted([*map(chr, range(ASCII)), " t"])
        assert counts(found) == {"parts of characters": ASCII, "rows without a token": 42, "special tokens": 1}
        assert found.left_out[-1].examples == ("<|end|>",)
        assert torch.equal(chosen_tokens(weights, "all").ids, torch.arange(300))


@pytest.mark.parametrize(("model_type", "by_norm"), [("qwen2", False), ("llama", False), ("llama", True)])
def test_rows_far_along_one_direction_are_undertrained(model_type: str, by_norm: bool, tmp_path: Path) -> None:
    """By U's rows; and by small norms of E, where it is another matrix and these rows lie along the direction too."""
    model = tiny.tiny_model(model_type)
    planted = list(range(60, 74))  # characters of ASCII
    with torch.no_grad():
        away = torch.nn.functional.normalize(torch.randn(tiny.D), dim=0)
        model.get_output_embeddings().weight[planted] += (0.7 if by_norm else 15) * away
        if by_norm:
            model.get_input_embeddings().weight[planted] *= 0.05
    weights = open_model(str(tiny.save(model, tmp_path / "tiny")))
    weights.pieces.order.sort(key=lambda index: index in planted)
    found = learnt_tokens(weights)
    assert counts(found)["undertrained tokens"] <= len(planted) + 1, "one in twenty may be there by chance"
    assert not set(planted) & set(found.ids.tolist())


def test_the_commonest_are_counted_by_merges_or_in_a_text(tmp_path: Path) -> None:
    weights = open_model(str(tiny.save(tiny.tiny_model("llama"), tmp_path / "tiny")))
    few = chosen_tokens(weights, "5")
    assert len(few.ids) == 5
    assert counts(few)["rarer tokens"] == ASCII + 1 - 5
    text = tmp_path / "text.txt"
    text.write_text("abc abc\nab é the", encoding="utf-8")
    counted = chosen_tokens(weights, str(text))
    assert {weights.tokens[index] for index in counted.ids.tolist()} == {*"abche\n ", " t"}
    assert "tokens that the text does not contain" in counts(counted)
    assert [weights.tokens[i] for i in learnt_tokens(weights, 2, weights.count_tokens(["abcab"])).ids] == ["a", "b"]


def test_what_says_no_tokens_is_refused_in_a_line(tmp_path: Path) -> None:
    weights = open_model(str(tiny.save(tiny.tiny_model("llama"), tmp_path / "tiny")))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for wrong in ("0", "nowhere.txt", str(tmp_path), str(tmp_path / "empty.txt"), str(tmp_path / "binary"), "\0", ""):
        with pytest.raises(InputError) as refused:
            chosen_tokens(weights, wrong)
        assert "\n" not in str(refused.value)


def saved(tokenizer: Tokenizer, folder: Path, **special: Any) -> Path:
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder


def test_merges_tell_what_is_common_and_what_is_never_made(tmp_path: Path) -> None:
    """Ids in no order: what is made first comes first. "abc" is no merge's, "<unused7>" and "<s>" no text's."""
    vocab = {"<s>": 0, "bab": 1, "ab": 2, "b": 3, "a": 4, "abc": 5, "<unused7>": 6, "c": 7}
    merges = [("a", "b"), ("b", "ab")]
    pieces = hub_pieces(saved(Tokenizer(models.BPE(vocab=vocab, merges=merges)), tmp_path, bos_token="<s>"), 9)
    assert pieces.order.index(2) < pieces.order.index(1)
    assert sorted(pieces.order) == list(range(9))
    assert pieces.never == {0: SPECIAL, 5: NEVER_MADE, 6: SPECIAL}


def test_scores_tell_what_is_common(tmp_path: Path) -> None:
    scored = [("<unk>", 0.0), ("a", -3.0), ("▁the", -1.0), ("b", -2.0), ("ab", -9.0)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=0))
    pieces = hub_pieces(saved(tokenizer, tmp_path, unk_token="<unk>"), 5)
    assert [index for index in pieces.order if index not in pieces.never] == [2, 3, 1]
    assert pieces.never == {0: SPECIAL, 4: NEVER_MADE}


def test_case_and_spaces_make_no_other_word() -> None:
    tokens = ["the", " dog", "The", "\n", " ", " THE", "dogs", "(", " (", "Dog"]
    assert word_numbers(tokens, torch.tensor([1, 2, 3, 4, 5, 6, 7, 8, 9])).tolist() == [0, 1, 2, 3, 1, 5, 6, 6, 0]
