"""At which noise, and in how small heads, planted operations are still found: ``python -m benchmarks.planted``."""

from __future__ import annotations

from collections.abc import Iterable

from describe.pipeline import self_test

SEEDS = 3
NOISES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
SIZES = (8, 16, 32, 64, 128)


def row(d_head: int, noise: float) -> str:
    """Findings of the five operations over some seeds: the weakest score and rows, the strongest other head."""
    findings = [finding for seed in range(SEEDS) for finding in self_test("cpu", d_head=d_head, noise=noise, seed=seed)]
    planted = [(f.scores[f.planted], f.rows[f.planted] / f.n_rows) for f in findings if f.planted is not None]
    scores, rows = zip(*planted, strict=True)
    other = max(finding.scores[finding.strongest_other] for finding in findings)
    found = sum(finding.as_planted for finding in findings)
    cells = (d_head, noise, _range(scores), _range(rows), f"{other:.2f}", f"{found} of {len(findings)}")
    return "| " + " | ".join(map(str, cells)) + " |"


def _range(values: Iterable[float]) -> str:
    values = list(values)
    return f"{min(values):.2f} to {max(values):.2f}"


def main() -> None:
    """Print the table of docs/families.md."""
    print("| d_head | noise | score | share of mappings | strongest other head | found, alone |")
    print("|---:|---:|---:|---:|---:|---:|")
    for noise in NOISES:
        print(row(64, noise), flush=True)
    for d_head in SIZES:
        print(row(d_head, 0.25), flush=True)


if __name__ == "__main__":
    main()
