"""Products in a low precision: which of them may be past a bar, of all the numbers that bfloat16 has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from describe.maps.low_precision import CHUNK, TINY, Products, norms

EVERY = torch.arange(1 << 16).to(torch.int16).view(torch.bfloat16).view(4, -1)
BARS = (-torch.inf, -3e38, -1.00001, -1.0, -1e-40, -0.0, 0.0, 1e-40, 0.3, 1.0, 3e38, torch.inf, torch.nan)


def past(sign: int, bar: float, off: float) -> Tensor:
    """Where products may be past the bar, (4, n), each of them off by so much at most."""
    rows, columns = EVERY.shape
    lengths = torch.ones(1, columns), torch.zeros(rows, dtype=torch.long)
    products = Products(EVERY.clone(), columns, torch.full((rows,), off), lengths, CHUNK)
    row, chunk = (each.flatten() for each in torch.meshgrid(*map(torch.arange, products.reach.shape), indexing="ij"))
    entry, column = products.past(sign, row, chunk, torch.full((len(row),), bar))
    found = torch.zeros(EVERY.shape, dtype=torch.bool)
    found[row[entry], column] = True
    values, offs = products.at(row[entry], column)
    torch.testing.assert_close(values, EVERY[row[entry], column].float(), equal_nan=True, rtol=0, atol=0)
    assert bool((offs == off).all())
    return found


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bar", BARS)
@pytest.mark.parametrize("off", [0.0, 0.25])
def test_what_may_be_past_a_bar_is_left_open_and_little_else(bar: float, off: float, sign: int) -> None:
    values = sign * EVERY.double()
    found = past(sign, bar, off)
    assert bool(found[values + off > bar].all())
    if bar == bar:
        nearly = max(abs(bar - off) / 128, 1e-38)
        assert not bool(found[values + off < bar - nearly].any())


@pytest.mark.parametrize("sign", [1, -1])
def test_all_is_left_open_where_it_is_not_known_how_far_products_are_off(sign: int) -> None:
    assert bool(past(sign, 0.0, torch.inf).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e15, 1.0, 1e-15, 1e-30, 1e-42])
def test_a_norm_is_at_least_as_large_and_hardly_larger_whichever_precision_is_read(
    scale: float, dtype: torch.dtype
) -> None:
    rows = (scale * torch.randn(200, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).to(dtype)
    rows[7] = 0
    true = rows.double().square().sum(dim=1).sqrt()
    for found in (norms(rows), norms(rows, rows.bfloat16())):
        assert bool((found.double() >= true).all())
        assert found[7] == 0
        assert bool((found.double() <= 1.02 * true.clamp_min(TINY)).all())
