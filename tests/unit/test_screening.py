"""The k largest and smallest logits by way of a low precision: those of the precision asked for, to the last id."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from describe.maps.low_precision import quickest
from describe.maps.screening import Screening, extreme_targets

LOW = (torch.bfloat16, torch.float32)
WIDTH, VOCABULARY, K = 64, 3000, 7


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def literal(a: Tensor, b: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Ids of the k largest products, each summed by itself, and these; equal ones by id."""
    products = torch.stack([(row * b).sum(dim=1) for row in a])
    ids = products.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return ids, products.gather(1, ids)


def screened(a: Tensor, b: Tensor, k: int, block: int, screens: tuple[torch.dtype, ...] = LOW) -> Screening:
    found = Screening(a, k, screens)
    for start in range(0, len(b), block):
        found.take(b[start : start + block], start)
    return found


def rows_of_ties() -> tuple[Tensor, Tensor]:
    """Every tenth row of b is one and the same, and some rows of a write nothing."""
    a, b = drawn(9, WIDTH), drawn(VOCABULARY, WIDTH, seed=1)
    b[::10] = b[10]
    a[[0, 4]] = 0
    return a, b


def rows_of_tiny_gaps() -> tuple[Tensor, Tensor]:
    """Products that bfloat16 cannot tell apart, by the thousand."""
    return drawn(9, WIDTH), 1 + 1e-6 * drawn(VOCABULARY, WIDTH, seed=1)


def rows_of_huge_norms() -> tuple[Tensor, Tensor]:
    """A few rows a million times as long as the others; and rows whose squares are no numbers any more."""
    a, b = drawn(9, WIDTH), drawn(VOCABULARY, WIDTH, seed=1)
    b[5:VOCABULARY:700] *= 1e6
    a[3], a[4] = 1e25 * a[3], 1e-30 * a[4]
    b[8], b[9] = 1e12 * b[8], 1e-25 * b[9]
    return a, b


def rows_below_zero() -> tuple[Tensor, Tensor]:
    """All products are negative, so that the k largest are those nearest to zero."""
    return -drawn(9, WIDTH).abs(), 1e-3 + drawn(VOCABULARY, WIDTH, seed=1).abs()


HOSTILE = {
    "ties": rows_of_ties,
    "tiny gaps": rows_of_tiny_gaps,
    "huge norms": rows_of_huge_norms,
    "below zero": rows_below_zero,
    "all equal": lambda: (drawn(9, WIDTH), torch.ones(VOCABULARY, WIDTH)),
    "nothing written": lambda: (torch.zeros(9, WIDTH), drawn(VOCABULARY, WIDTH)),
    "common": lambda: (drawn(9, WIDTH), drawn(VOCABULARY, WIDTH, seed=1)),
}


@pytest.mark.parametrize("block", [VOCABULARY, 512, 100])
@pytest.mark.parametrize("name", HOSTILE)
def test_equal_to_ranking_all_products_to_the_last_id(name: str, block: int) -> None:
    a, b = HOSTILE[name]()
    found = screened(a, b, K, block)
    for best, sign in ((found.highest, 1), (found.lowest, -1)):
        ids, values = literal(sign * a, b, K)
        assert torch.equal(best.ids, ids)
        assert torch.equal(best.values, values)


@pytest.mark.parametrize("block", [VOCABULARY, 512, 100])
def test_groups_of_rows_have_columns_of_their_own(block: int) -> None:
    """Some groups are decided by bfloat16 and others are not, so that parts of some are looked at again."""
    groups = [HOSTILE[name]() for name in ("common", "tiny gaps", "below zero", "nothing written", "huge norms")]
    a, beside = torch.cat([rows for rows, _ in groups]), torch.stack([columns for _, columns in groups], dim=1)
    found = Screening(a, K, LOW)
    for start in range(0, VOCABULARY, block):
        found.take(beside[start : start + block], start)
    for best, sign in ((found.highest, 1), (found.lowest, -1)):
        literally = [literal(sign * rows, columns, K) for rows, columns in groups]
        assert torch.equal(best.ids, torch.cat([ids for ids, _ in literally]))
        assert torch.equal(best.values, torch.cat([values for _, values in literally]))


@pytest.mark.parametrize("screens", [(torch.float32,), (torch.bfloat16,), (torch.bfloat16, torch.float32)])
def test_the_precision_that_looks_first_does_not_change_the_result(screens: tuple[torch.dtype, ...]) -> None:
    for dtype in (torch.float32, torch.float64):
        a, b = drawn(20, WIDTH).to(dtype), drawn(VOCABULARY, WIDTH, seed=1).to(dtype)
        ids, values = literal(a, b, K)
        found = screened(a, b, K, 512, screens)
        assert torch.equal(found.highest.ids, ids)
        torch.testing.assert_close(found.highest.values, values)


def test_nearly_all_products_are_decided_by_the_low_precision() -> None:
    a, b = drawn(200, 576), drawn(8192, 576, seed=1)
    found = screened(a, b, K, 2048)
    assert 2 * K * len(a) <= found.computed < 0.02 * len(a) * len(b)


def test_fewer_targets_than_asked_for_and_blocks_of_any_size() -> None:
    a, b = drawn(3, 8), drawn(70, 8, seed=1)
    high, values, low, low_values = extreme_targets(a, b, 70, numbers=1)
    ids, expected = literal(a, b, 70)
    assert torch.equal(high, ids)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(low_values, expected.flip(1))
    assert torch.equal(low.sort(dim=1).values, torch.arange(70).expand(3, 70))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", HOSTILE)
def test_on_a_gpu_it_is_what_the_products_there_say(name: str) -> None:
    a, b = (part.cuda() for part in HOSTILE[name]())
    found = screened(a, b, K, 512, (quickest("cuda"), torch.float32))
    ids, values = literal(a, b, K)
    torch.testing.assert_close(found.highest.values, values)
    assert torch.equal(found.highest.ids, ids)
