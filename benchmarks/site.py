"""The page of a large model in Chromium, from disk: ``python -m benchmarks.site``.

80 layers of 64 heads, two descriptions each with scores, 30 mappings with 5 promoted and 5 suppressed tokens, from a
vocabulary of 40,000: written, opened, searched, coloured and listed, three times each.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.chromium import chromium
from tests.html_samples import WORDS, heads, model, render

MEASURES = {
    "searched": "($('search').value = ' word77', search)",
    "coloured": "() => paint(figures[1])",
    "listed by score": "($('figure').value = 1, $('order').value = 'down', search)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=80)
    parser.add_argument("--heads", type=int, default=64)
    arguments = parser.parse_args()
    start = time.perf_counter()
    records = _heads(arguments.layers, arguments.heads)
    made = time.perf_counter()
    page = render(model(arguments.layers, arguments.heads, 8), records)
    seconds = time.perf_counter() - made
    print(f"{len(records):,} heads made in {made - start:.1f} s, written as a page in {seconds:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(page, encoding="utf-8")
        print(f"{path.stat().st_size / 1e6:.1f} MB")
        for name, times in _in_chromium(path).items():
            print(f"{name:<16} median {statistics.median(times):4.0f} ms, slowest {max(times):4.0f} ms")


def _heads(n_layers: int, n_heads: int) -> list[dict[str, Any]]:
    vocabulary = WORDS + [f" word{i}" for i in range(40_000)]
    pick = random.Random(0)
    made = heads(n_layers, n_heads, vocabulary=vocabulary, llms=("scored", "gpt-oss-20b"))
    for row in (row for one in made for row in one["salient"]):
        low = [pick.randrange(len(vocabulary)) for _ in range(5)]
        row["suppressed"] = [{"token_id": t, "token": vocabulary[t], "logit": -5 + 0.3 * i} for i, t in enumerate(low)]
    return made


def _in_chromium(path: Path) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in ("ready", "drawn", *MEASURES)}
    with chromium() as browser:
        for _ in range(3):
            page = browser.new_page()
            page.add_init_script(  # the first frame after the script has run is laid out and painted
                "addEventListener('DOMContentLoaded', () => requestAnimationFrame(() =>"
                " setTimeout(() => performance.mark('drawn'))))"
            )
            page.goto(path.as_uri() + "#25.0")
            page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
            for mark in ("ready", "drawn"):
                times[mark].append(page.evaluate(f"performance.getEntriesByName('{mark}')[0].startTime"))
            for name, call in MEASURES.items():
                timed = "const start = performance.now(); run(); document.body.offsetHeight;"
                script = f"() => {{ const run = {call}; {timed} return performance.now() - start }}"
                times[name].append(page.evaluate(script))
            page.close()
    return times


if __name__ == "__main__":
    main()
