"""The tokens that ``demo`` has learnt: found from its weights and its tokenizer's merges."""

from __future__ import annotations

from describe.weights import open_model
from describe.weights.learnt import chosen_tokens


def test_learnt_tokens_of_demo() -> None:
    weights = open_model("demo")
    found, all_learnt = chosen_tokens(weights), chosen_tokens(weights, "49152")
    assert len(found.ids) == 16_384
    assert sum(each.count for each in found.left_out) == weights.info.vocab_size - 16_384

    def counting(ids: set[int], *tokens: str) -> list[bool]:
        return [weights.token_id(token) in ids for token in tokens]

    for ids in (set(found.ids.tolist()), set(all_learnt.ids.tolist())):
        assert all(counting(ids, " practice", " dog", " the", "ing", "s", "ed", " Australian", " colour", "ised", "‘"))
        assert not any(counting(ids, " strugg", "<filename>", " yourselves", " enthus", "<|im_start|>", "<0xA1>"))
    assert len(all_learnt.ids) > 45_000, "few are undertrained"
