"""Studies are designed as they say: repeatable, stratified, with controls that are what they claim to be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from annotations import schema
from annotations.design import Design, blocks, design_items, new_study
from annotations.material import catch_material, practice_items
from annotations.records import FIT, KINDS, PRESENCE
from annotations.sampling import proportional, sample
from annotations.sources import described
from annotations.storage import NewItem, find_study, studies
from describe.catalog import Catalogue
from describe.errors import CatalogueError, InputError
from describe.operations import load_operations
from tests.study_samples import described_catalogue, design


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    with described_catalogue(tmp_path_factory.mktemp("studies") / "c.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def items(catalogue: Catalogue) -> list[NewItem]:
    return design_items(catalogue, design())


def of_kind(items: list[NewItem], kind: str) -> list[NewItem]:
    return [item for item in items if item.kind == kind]


def test_the_same_catalogue_and_seed_make_the_same_items(catalogue: Catalogue, items: list[NewItem]) -> None:
    code = (
        "import sys\n"
        "from annotations.design import blocks, design_items\n"
        "from annotations.seeded import hashed\n"
        "from describe.catalog import Catalogue\n"
        "from tests.study_samples import design\n"
        "from dataclasses import asdict\n"
        "with Catalogue(sys.argv[1]) as opened:\n"
        "    items = design_items(opened, design())\n"
        "    print(hashed([[block, asdict(item)] for block, item in blocks(items, 24, 0)]))"
    )
    where = str(catalogue.engine.url.database)
    root = {"PYTHONPATH": str(Path(__file__).parents[2])}
    run = {"args": [sys.executable, "-c", code, where], "capture_output": True, "text": True, "check": True}
    printed = {subprocess.run(**run, env=root | {"PYTHONHASHSEED": seed}).stdout for seed in ("1", "2")}
    assert len(printed) == 1
    assert items == design_items(catalogue, design())
    assert items != design_items(catalogue, design(seed=1))


def test_controls_are_there_in_the_shares_asked_for(catalogue: Catalogue, items: list[NewItem]) -> None:
    assert Counter(item.kind for item in items) == {
        "real": 30, "swap_easy": 4, "swap_hard": 4, "shuffled": 3, "catch": 3,
    }  # fmt: skip
    none = design(swap_easy=0, swap_hard=0, shuffled=0, catch=0)
    assert {item.kind for item in design_items(catalogue, none)} == {"real"}


def test_swapped_descriptions_are_other_heads_and_say_something_else(
    catalogue: Catalogue, items: list[NewItem]
) -> None:
    pool = {one.description_id: one for one in described(catalogue, ["m"], "all", [])}
    own = {(one.key, one.source): one for one in pool.values()}
    shown = {f"{item.model} {item.head}" for item in of_kind(items, "real")}
    donors = []
    for item in of_kind(items, "swap_easy") + of_kind(items, "swap_hard"):
        donor, key = pool[item.origin["description_id"]], f"{item.model} {item.head}"
        donors.append(donor.description_id)
        assert donor.key != key
        assert key in shown
        assert donor.source == item.source
        assert item.content["pattern"] == donor.pattern != own[key, item.source].pattern
        assert (item.unclear, item.true_unclear) == (False, False)
        assert item.touches == tuple(sorted({key, donor.key}))
        table = [row.token for row in catalogue.mapping(donor.extraction_id, own[key, item.source].head).salient]
        assert [row[0] for row in item.content["rows"]] == table
    assert len(set(donors)) == len(donors)
    easy, hard = ([i.origin["overlap"] for i in of_kind(items, kind)] for kind in ("swap_easy", "swap_hard"))
    assert min(hard) >= 0.8 > sum(easy) / len(easy)


def test_shuffled_targets_are_the_heads_own_in_other_rows(items: list[NewItem]) -> None:
    real = {(item.head): item.content["rows"] for item in of_kind(items, "real")}
    for item in of_kind(items, "shuffled"):
        rows, own = item.content["rows"], real[item.head]
        assert [source for source, _ in rows] == [source for source, _ in own]
        assert sorted(targets for _, targets in rows) == sorted(targets for _, targets in own)
        assert all(mixed != before for (_, mixed), (_, before) in zip(rows, own, strict=True))


def test_catch_items_are_obvious_and_look_like_the_others(items: list[NewItem]) -> None:
    found = of_kind(items, "catch")
    assert Counter(item.expected for item in found) == {"fits": 2, "does not fit": 1}
    assert {len(item.content["rows"]) for item in found} == {30}
    listed, words = catch_material()["items"], catch_material()["words"]
    assert min(Counter(item["expected"] for item in listed).values()) >= 12
    assert all((item["operation"] == item["says"]) == (item["expected"] == "fits") for item in listed)
    pairs = {operation.name: set(operation.pairs) for operation in load_operations()[0]}
    assert {item["operation"] for item in listed} | {item["says"] for item in listed} <= set(words) <= set(pairs)
    for item in found:
        for source, targets in item.content["rows"]:
            assert (source[1:], targets[0][1:]) in pairs[item.origin["operation"]]
    for one in practice_items():
        assert set(one.presence) <= set(PRESENCE)
        assert set(one.fit) <= set(FIT)


def test_the_sample_is_stratified_and_nothing_is_left_out(catalogue: Catalogue) -> None:
    pool = described(catalogue, ["m"], "all", [])
    assert len(pool) == 80 + 72, "failures are no descriptions"
    drawn = sample(pool, 60, 5)
    assert Counter(one.source for one in drawn) == {"openai:x salient-1": 30, "statistics": 30}
    of_llm = [one for one in drawn if one.source != "statistics"]
    assert sum(one.unclear for one in of_llm) == pytest.approx(30 * 16 / 72, abs=1.5)
    for third in range(3):
        share = sum(min(int(one.depth * 3), 2) == third for one in pool) / len(pool)
        assert sum(min(int(one.depth * 3), 2) == third for one in drawn) == pytest.approx(60 * share, abs=6)
    assert sample(pool, len(pool), 0) != []
    assert {one.description_id for one in sample(pool, len(pool), 0)} == {one.description_id for one in pool}


def test_every_description_is_as_likely_as_any_other(catalogue: Catalogue) -> None:
    pool = described(catalogue, ["m"], "all", ["statistics"])
    drawn = Counter(one.key for seed in range(400) for one in sample(pool, 20, seed))
    expected = 400 * 20 / len(pool)
    chi2 = sum((drawn[one.key] - expected) ** 2 / (expected * (1 - 20 / len(pool))) for one in pool)
    assert 40 < chi2 < 130, "about 79 degrees of freedom"


def test_numbers_are_shared_out_in_proportion() -> None:
    assert proportional({"a": 60, "b": 30, "c": 10}, 10) == {"a": 6, "b": 3, "c": 1}
    shares = [proportional({"a": 5, "b": 3, "c": 1}, 4, seed) for seed in range(900)]
    assert {sum(share.values()) for share in shares} == {4}
    for name, exact in (("a", 20 / 9), ("b", 12 / 9), ("c", 4 / 9)):
        assert sum(share[name] for share in shares) / 900 == pytest.approx(exact, abs=0.06)


def test_blocks_are_small_replicas(items: list[NewItem], catalogue: Catalogue) -> None:
    wanted = design(heads="sample:90")
    many = design_items(catalogue, wanted)
    dealt = blocks(many, wanted.block, 0)
    assert [item for _, item in dealt] == many
    number = max(block for block, _ in dealt) + 1
    assert number == round(len(many) / 24)
    for kind in KINDS:
        per_block = Counter(block for block, item in dealt if item.kind == kind)
        assert max(per_block.values()) - min(per_block[block] for block in range(number)) <= 1, kind
    met = Counter((block, head) for block, item in dealt for head in item.touches if item.kind != "catch")
    total = Counter(head for item in many for head in item.touches if item.kind != "catch")
    together = sum(count > 1 for count in met.values())
    assert together < sum(count > 1 for count in total.values()) / 4


def test_a_study_is_stored_with_all_its_settings(tmp_path: Path) -> None:
    with described_catalogue(tmp_path / "c.db") as opened:
        asked = design(name="first", max_repeat_disagreement=0.5, guideline="Look.")
        made = new_study(opened, asked)
        assert find_study(opened) == find_study(opened, "first") == made
        assert made.exclusion == {
            "max_failed_catch": 0.25, "min_seconds_per_item": 3.0, "max_repeat_disagreement": 0.5,
        }  # fmt: skip
        assert made.n_items == {"real": 30, "swap_easy": 4, "swap_hard": 4, "shuffled": 3, "catch": 3}
        assert made.guideline == "Look."
        again = Design(
            name="again",
            **{name: getattr(made, name) for name in ("models", "raters_per_item", "seed", "guideline", "consent")},
            **made.exclusion,
            **made.settings | {"sources": tuple(made.settings["sources"])},
        )
        new_study(opened, again)
        with opened.engine.connect() as connection:
            query = select(schema.study_item).order_by(schema.study_item.c.id)
            rows: list[Any] = [
                {k: v for k, v in row._mapping.items() if k not in ("id", "study_id")}
                for row in connection.execute(query)
            ]
        assert json.dumps(rows[: len(rows) // 2]) == json.dumps(rows[len(rows) // 2 :])
        with pytest.raises(InputError, match="already"):
            new_study(opened, asked)
        with pytest.raises(CatalogueError, match="say which, first, again"):
            find_study(opened)
        assert len(studies(opened)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": "sample:0"}, "sample:NUMBER"),
        ({"heads": "some:5"}, "sample:NUMBER"),
        ({"heads": "sample:500"}, "152 are there"),
        ({"heads": "9.0"}, "not in the model"),
        ({"rows": 1}, "set --shuffled lower"),
        ({"heads": "0.0", "sources": ("openai:x",)}, "set --swap-easy lower"),
        ({"models": ("none",)}, "holds no model"),
        ({"sources": ("openai:y",)}, "there are: openai:x salient-1, statistics"),
        ({"swap_easy": 1.5}, "--swap-easy 1.5"),
        ({"swap_hard": -0.1}, "--swap-hard"),
        ({"repeats": 0.5}, "--repeats"),
        ({"catch": float("nan")}, "--catch nan"),
        ({"raters_per_item": 0}, "--raters-per-item"),
        ({"seed": -1}, "--seed"),
        ({"rows": 0}, "--rows"),
        ({"name": " "}, "needs a name"),
        ({"name": "a\nb"}, "needs a name"),
        ({"lease_minutes": 0}, "--lease-minutes"),
    ],
)
def test_bad_designs_are_refused_in_a_line(catalogue: Catalogue, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        new_study(catalogue, design(**changes))
    assert "\n" not in str(raised.value)
    assert studies(catalogue) == []


def test_models_without_descriptions_make_no_study(tmp_path: Path) -> None:
    with described_catalogue(tmp_path / "c.db") as opened:
        info = opened.models()[0]
        other = opened.register_model(replace(info, name="n"))
        opened.begin_extraction(other, {}, {})
        with pytest.raises(InputError, match="headscribe describe n"):
            new_study(opened, design(models=("m", "n")))
