"""A small model that has learnt two tasks, for what is tested by removing heads: saved once for all workers."""

from __future__ import annotations

from pathlib import Path

import torch
from filelock import FileLock

from tests import tiny

__all__ = ["TASKS", "able_model"]

TASKS = {"shift": "waa <X> wac", "jump": "wab <X> wac"}
"""By operation: the first is to say the next of 40 words, the second the fifth next."""

STEPS = {"shift": 1, "jump": 5}


def able_model(folder: Path) -> Path:
    """The directory ``able`` in a folder, made by whoever comes first."""
    with FileLock(folder / "able.lock"):
        return folder / "able" if (folder / "able").exists() else _learnt(folder / "able")


def _learnt(place: Path) -> Path:
    from tests.integration.test_relations_command import WORDS, word_tokenizer

    model = tiny.tiny_model("llama")
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0) if "norm" in name else parameter.normal_(0, 0.15)
    tokenizer = word_tokenizer()
    ids = {piece.removeprefix("Ġ"): token for piece, token in tokenizer.get_vocab().items()}
    prompts, answers = [], []
    for name, text in TASKS.items():
        start, end = (tokenizer.encode(part) for part in text.split(" <X>"))
        for i in range(40):
            prompts.append([*start, ids[WORDS[i]], *end])
            answers.append(ids[WORDS[(i + STEPS[name]) % 40]])
    batch, wanted = torch.tensor(prompts), torch.tensor(answers)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(model(batch).logits[:, -1], wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.5, "the model did not learn its tasks"
    return tiny.save(model.eval(), place, tokenizer=tokenizer)
