"""The most salient tokens by way of a low precision: those of float64, to the last id."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps import SourceVectors
from describe.maps.saliency import CROWDED, most_salient, saliencies, spectral

VOCABULARY, WIDTH, N = 2000, 48, 9
LOW = (torch.bfloat16, torch.float32)


def of_ties(x: Tensor, value: Tensor, output: Tensor) -> None:
    """Every tenth token has one and the same vector, and some have none."""
    x[::10] = x[10]
    x[[3, 4]] = 0


def of_tiny_gaps(x: Tensor, value: Tensor, output: Tensor) -> None:
    """Saliencies that bfloat16 cannot tell apart, by the thousand."""
    x.copy_(1 + 1e-4 * x)


def of_huge_norms(x: Tensor, value: Tensor, output: Tensor) -> None:
    """Vectors from those whose squares are none to those whose squares are no numbers any more."""
    x[5::300] *= 1e6
    x[8], x[9] = 1e25 * x[8], 1e-28 * x[9]
    value[0] *= 1e10
    output[1] *= 1e-10


HOSTILE: dict[str, Callable[[Tensor, Tensor, Tensor], object]] = {
    "ties": of_ties,
    "tiny gaps": of_tiny_gaps,
    "huge norms": of_huge_norms,
    "all equal": lambda x, value, output: x.fill_(1.0),
    "a head of nothing": lambda x, value, output: output[0].zero_(),
    "common": lambda x, value, output: None,
}


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("screens", [(torch.bfloat16,), (torch.float32,), (torch.bfloat16, torch.float32)])
@pytest.mark.parametrize("name", HOSTILE)
def test_the_most_salient_are_those_of_float64_to_the_last_id(name: str, screens: tuple[torch.dtype, ...]) -> None:
    vectors, value, output = drawn(VOCABULARY, WIDTH, seed=0), drawn(2, WIDTH, 8, seed=1), drawn(4, 8, WIDTH, seed=2)
    HOSTILE[name](vectors, value, output)
    x = SourceVectors(vectors, torch.linalg.vector_norm(vectors.double(), dim=1).float())
    written = vectors.double() @ value.double().repeat_interleave(2, 0) @ output.double()
    lengths = torch.linalg.vector_norm(vectors.double(), dim=1)
    exact = torch.linalg.vector_norm(written, dim=2).div(lengths).nan_to_num(0).float()
    expected = exact.sort(dim=1, descending=True, stable=True)
    found = most_salient(x, value, output, N, numbers=40_000, screens=screens)
    assert torch.equal(found.tokens, expected.indices[:, :N])
    torch.testing.assert_close(found.saliency, expected.values[:, :N])


def test_few_are_computed_in_full() -> None:
    vectors, value, output = drawn(8192, 256, seed=0), drawn(1, 256, 32, seed=1), drawn(2, 32, 256, seed=2)
    x = SourceVectors(vectors, torch.linalg.vector_norm(vectors, dim=1))
    found = most_salient(x, value, output, 60, screens=(torch.bfloat16,))
    assert 120 <= found.computed < 0.1 * 2 * 8192
    assert torch.equal(found.tokens, saliencies(x, value, output).sort(dim=1, descending=True).indices[:, :60])


def test_where_a_low_precision_leaves_most_open_the_next_one_looks() -> None:
    """Of vectors that are nearly one and the same a head writes about as much."""
    vectors, value, output = 1 + 0.01 * drawn(8192, 64, seed=0), drawn(1, 64, 8, seed=1), drawn(2, 8, 64, seed=2)
    x = SourceVectors(vectors, torch.linalg.vector_norm(vectors, dim=1))
    once, again = (most_salient(x, value, output, 60, screens=LOW[:looks]) for looks in (1, 2))
    assert once.computed > 8192 / CROWDED
    assert again.computed < 300
    assert torch.equal(once.tokens, again.tokens)


def test_a_wide_model_leaves_few_open_in_float32() -> None:
    """A bound on sums of 8,192 numbers in one go would leave nearly all open."""
    vectors, value, output = drawn(2048, 8192, seed=0), drawn(1, 8192, 32, seed=1), drawn(1, 32, 8192, seed=2)
    x = SourceVectors(vectors, torch.linalg.vector_norm(vectors, dim=1))
    assert most_salient(x, value, output, 20, screens=(torch.float32,)).computed < 100


def test_matrices_that_are_not_finite_are_refused() -> None:
    vectors, value, output = drawn(100, 16, seed=0), drawn(1, 16, 4, seed=1), drawn(1, 4, 16, seed=2)
    value[0, 3, 2] = torch.nan
    with pytest.raises(CheckpointError, match="not finite"):
        most_salient(SourceVectors(vectors, torch.linalg.vector_norm(vectors, dim=1)), value, output, 5)


def test_the_bound_of_singular_values_is_one() -> None:
    matrices = drawn(20, 30, 12, seed=0)
    largest = torch.linalg.matrix_norm(matrices, ord=2)
    bound = spectral(matrices.mT @ matrices)
    assert bool((bound >= largest).all())
    assert bool((bound < 1.15 * largest).all())
