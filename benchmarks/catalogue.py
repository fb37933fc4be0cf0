"""Server time of the catalogue's pages and queries: ``python -m benchmarks.catalogue [--models 100 --heads 1000]``.

In seconds of this process's CPU, so that other work on the machine does not count.

A made-up catalogue on SQLite: words as frequent as words are (Zipf), heads of several layers, two describers, evidence,
scores and twenty operations. A page, or a part of one, is what the server does to answer a request, with every query of
the database, in this process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from describe.catalog import Catalogue, schema
from describe.catalog.database import begin_write
from describe.catalog.passages import fill
from describe.catalog.rows import now
from describe.operations import load_operations
from describe.records import HeadId, LayerScores, ModelInfo

LAYERS = 25
LLMS = ("openai:x", "statistics")


class Zipf:
    """So many different words, the n-th of which comes in proportion to 1 / (n + offset)."""

    def __init__(self, stem: str, number: int, offset: int) -> None:
        self.words = [f"{stem}{n}" for n in range(number)]
        self._weights = list(accumulate(1 / (n + offset) for n in range(number)))

    def draw(self, pick: random.Random, number: int) -> list[str]:
        return pick.choices(self.words, cum_weights=self._weights, k=number)


def fill_catalogue(catalogue: Catalogue, models: int, heads: int) -> None:
    """Enter everything by the table, then the index in the way an older catalogue gets it."""
    pick, tokens, words = random.Random(0), Zipf(" tok", 50_000, 50), Zipf("word", 5000, 5)
    labellers = [catalogue.register_labeller(llm, "salient-1", "t", {}) for llm in LLMS]
    operations = [
        {"name": o.name, "content_hash": o.content_hash, "category": o.category, "direction": "", "pairs": []}
        for o in load_operations()[0]
    ]
    first = 1
    for number in range(models):
        info = ModelInfo(
            f"org/model-{number:03}", f"{number:064x}"[::-1], "llama", LAYERS, heads // LAYERS, 1, 8, 4, 50
        )
        model_id = catalogue.register_model(info)
        extraction = catalogue.begin_extraction(model_id, {"salient": 30}, {})
        run = catalogue.relations.begin_run(model_id, {}, True, {})
        relations = [catalogue.relations.begin_relation(run, operation, 10, 50, True) for operation in operations]
        for layer in range(LAYERS):
            scores = [[pick.random() ** 6 for _ in range(info.n_heads)] for _ in relations]
            found = {r: LayerScores(s, s[::-1], 1.0) for r, s in zip(relations, scores, strict=True)}
            catalogue.relations.save_layer(layer, found)
        with begin_write(catalogue.engine) as connection:
            for table, rows in _rows(info, extraction, labellers, first, pick, tokens, words).items():
                connection.execute(insert(table), rows)
        first += len(info.heads)
    with begin_write(catalogue.engine) as connection:
        fill(connection)


def _rows(
    info: ModelInfo,
    extraction: int,
    labellers: list[int],
    first: int,
    pick: random.Random,
    tokens: Zipf,
    words: Zipf,
) -> dict[Any, list[dict[str, Any]]]:
    moment = {"created": now()}
    rows: dict[Any, list[dict[str, Any]]] = {
        schema.head: [],
        schema.description: [],
        schema.evidence: [],
        schema.score: [],
    }
    for head_id, head in enumerate(info.heads, first):
        drawn = iter(tokens.draw(pick, 30 * 11))
        table = [[n, next(drawn), 2 - n / 30, [[n, next(drawn), 3.0] for _ in range(5)]] for n in range(30)]
        down = [[[n, next(drawn), -3.0] for _ in range(5)] for n in range(30)]
        place = {"id": head_id, "extraction_id": extraction, "layer": head.layer, "head": head.head}
        rows[schema.head].append(place | moment | {"saliency": pick.random(), "salient": table, "suppressed": down})
        found = [
            {"name": "n", "kind": "inputs", "wording": words.words[n], "count": 9, "rows": 30, "expected": 0.1}
            | {"effect": pick.random(), "p_value": 1e-9, "q_value": 1e-8, "examples": [next(iter(tokens.words))] * 3}
            for n in range(pick.randrange(4))
        ]
        hashed = {"settings": {}, "settings_hash": "x", "found": found}
        rows[schema.evidence].append(moment | hashed | {"head_id": head_id})
        for n, labeller in enumerate(labellers):
            told_id = head_id * len(labellers) + n
            unclear = pick.random() < 0.1
            said = "Unclear" if unclear else " ".join(words.draw(pick, 25))
            told = {"id": told_id, "head_id": head_id, "labeller_id": labeller, "usage": {}, "versions": {}}
            told |= {"inputs": " ".join(words.draw(pick, 6)), "pattern": said, "unclear": unclear, "failure": None}
            rows[schema.description].append(moment | told)
            judged = {"description_id": told_id, "judge_id": labellers[1], "measure": "detection", "n": 60}
            judged |= {"value": pick.random(), "wrong": 0.5, "low": 0.1, "high": 0.9, "failure": None}
            rows[schema.score].append(
                moment | judged | {"found": {}, "settings": {}, "settings_hash": "x", "versions": {}}
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--heads", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--keep", type=Path, help="make the catalogue here, or use the one that is there")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = options.keep or Path(folder) / "catalogue.db"
        there = where.exists()
        with Catalogue(str(where), create=True) as catalogue:
            if not there:
                start = time.perf_counter()
                fill_catalogue(catalogue, options.models, options.heads)
                print(f"{options.models} models of {options.heads} heads made in {time.perf_counter() - start:.0f} s")
            print(f"{where.stat().st_size / 1e6:,.0f} MB")
            figures = dict(_timed(_queries(catalogue), options.runs))
            models = catalogue.browse.models()
        os.environ["HEADSCRIBE_CATALOG"] = str(where)
        figures |= dict(_timed(_pages(models[len(models) // 2]["model"]), options.runs))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def _queries(catalogue: Catalogue) -> dict[str, Callable[[], Any]]:
    browse, search = catalogue.browse, catalogue.search
    models = browse.models()
    one = models[len(models) // 2]
    extraction = one["extraction_id"]
    return {
        "query: models": browse.models,
        "query: head table": lambda: browse.heads(extraction),
        "query: an operation": lambda: browse.operation(one["model_id"], "copying"),
        "query: search, a rare word": lambda: search.find("word3000"),
        "query: search, two words": lambda: search.find("word100 tok200"),
        "query: search, a common word": lambda: search.find("word10"),
        "query: search, the commonest": lambda: search.find("word0"),
        "query: nearest heads": lambda: search.nearest(extraction, HeadId(12, 3)),
    }


def _pages(name: str) -> dict[str, Callable[[], Any]]:
    """Pages and parts as the app answers with them, without a network; ``name``: of a model."""
    from starlette.responses import PlainTextResponse
    from starlette.testclient import TestClient

    from app.browsing import parts
    from app.browsing.route import Browsing
    from app.front_door.ownership import ownership

    client = TestClient(Browsing(PlainTextResponse("")))
    client.cookies.set(ownership().cookie_name, ownership().cookie)

    def ask(path: str, *, anew: bool = False, **query: str) -> Callable[[], Any]:
        def asked() -> None:
            if anew:
                parts.forget()
            assert client.get(path, params=query).status_code == 200

        return asked

    return {
        "page: all models": ask("/"),
        "page: all models, counted anew": ask("/", anew=True),
        "page: a model's map": ask("/", model=name),
        "page: a model's map, made anew": ask("/", anew=True, model=name),
        "part: head": ask("/browse/head", model=name, head="12.3"),
        "part: search": ask("/browse/search", model=name, q="word100"),
        "part: search of all models": ask("/browse/search", q="word100"),
    }


def _timed(actions: dict[str, Callable[[], Any]], runs: int) -> Iterator[tuple[str, float]]:
    for name, action in actions.items():
        times = []
        for _ in range(runs + 1):
            start = time.process_time()
            action()
            times.append(time.process_time() - start)
        median, slowest = statistics.median(times[1:]) * 1000, max(times[1:]) * 1000
        print(f"{name:<30} median {median:5.0f} ms, slowest of {runs} {slowest:5.0f} ms", flush=True)
        yield name, median


if __name__ == "__main__":
    main()
