"""Exports: every format takes hostile texts for text, folders are whole or not there, a dataset is one."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from weakref import WeakValueDictionary

import pytest

from app.main import main
from app.options import Format
from describe import pipeline
from describe.catalog import Catalogue, schema
from describe.errors import InputError
from describe.export import FORMATS, export
from describe.export.dataset import FLAT_COLUMNS
from describe.export.parquet import read_heads
from describe.files import MANIFEST, replacing_folder
from describe.head_record import HeadRecord
from describe.head_record.neuronpedia import neuronpedia
from describe.records import HeadId
from tests import attacks
from tests.conftest import need
from tests.whole_catalogue import MODEL, OTHER, whole_catalogue

HEADS_IN_ALL = len(MODEL.heads) + len(OTHER.heads)
HEADS_WITH_ROLES = sum(head.head > 0 for model in (MODEL, OTHER) for head in model.heads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("whole") / "whole.db"
    whole_catalogue(where).close()
    return where


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every format of a catalogue whose texts are all attacks."""
    folder = tmp_path_factory.mktemp("attacked")
    with attacks.attacked_catalogue(folder / "a.db", huge=False) as catalogue:
        for form in FORMATS:
            pipeline.export(catalogue, [], form, folder / (f"a.{form}" if form != "dataset" else form))
    return folder


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_every_format_is_offered() -> None:
    assert [form.value for form in Format] == list(FORMATS)
    for form in FORMATS.values():
        assert hasattr(form.module, "write_file") == form.file
        assert hasattr(form.module, "write_folder") == form.folder


def test_markdown_is_only_ours(attacked: Path) -> None:
    text = (attacked / "a.markdown").read_text()
    assert Tags(text).tags == {"code"}
    assert Tags(text).attributes == set()
    assert not [line for line in text.splitlines() if line.startswith("#") and not re.match(r"# |## \d+\.\d+$", line)]
    assert not re.search(r"\]\(", text), "no links but ours"
    hidden = {char for char in text if not char.isprintable() and char != "\n"}
    assert hidden == set()


def test_no_cell_is_a_formula(attacked: Path) -> None:
    with (attacked / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + 12 * len(attacks.MODEL.heads)
    assert not [cell for row in rows for cell in row if re.match(r"[\s\ufeff\u200b]*[=+\-@＝＋－＠]\D", cell)]


def test_csv_is_written_head_by_head(whole: Path, tmp_path: Path) -> None:
    written, most = WeakValueDictionary[int, HeadRecord](), 0

    def heads() -> Iterator[HeadRecord]:
        nonlocal most
        for head in range(20):
            written[head] = one = HeadRecord.of(**dict(known) | {"head": head})
            most = max(most, len(written))
            yield one
            del one

    with Catalogue(str(whole)) as catalogue:
        _, extraction, *_ = pipeline.find(catalogue, "tiny")
        known = next(catalogue.head_records(OTHER, extraction))
    export([(OTHER, heads())], "csv", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 1 + 20 * len(known.descriptions)
    assert most <= 3, "the heads of a model are never in memory together"


def test_jsonl_and_parquet_hold_texts_exactly(attacked: Path) -> None:
    heads = [json.loads(line) for line in (attacked / "a.jsonl").read_text().splitlines()]
    assert [row["token"] for row in heads[0]["salient"]][-len(attacks.TEXTS) :] == list(attacks.TEXTS)
    (first, *_) = read_heads(attacked / "a.parquet")
    exact = [row["token"] for row in first["salient"]]
    assert [t for t in exact if "\\ud800" not in t] == [
        row["token"] for row in heads[0]["salient"] if "\ud800" not in row["token"]
    ]
    assert first["descriptions"][0]["pattern"] == heads[0]["descriptions"][0]["pattern"]


def test_the_card_and_names_of_files_are_harmless(attacked: Path) -> None:
    card = (attacked / "dataset" / "README.md").read_text()
    header, _, body = card.removeprefix("---\n").partition("\n---\n")
    assert not re.search(r"[<>{}=]", header)
    assert Tags(re.sub(r"```.*?```", "", body, flags=re.DOTALL)).tags == set()
    assert not [char for char in card if not char.isprintable() and char != "\n"]
    for path in (attacked / "dataset").rglob("*"):
        assert re.fullmatch(r"[\w.-]+", path.name), path.name


def test_one_file_holds_several_models(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "all.jsonl"
    assert main(["export", "--catalog", str(whole), "-f", "jsonl", "-o", str(out)]) == 0
    assert f"{HEADS_IN_ALL} heads written" in capsys.readouterr().out
    assert [json.loads(line)["model"] for line in out.read_text().splitlines()] == [MODEL.name] * 4 + ["tiny"] * 6
    assert main(["export", "tiny", "--catalog", str(whole), "-f", "markdown", "-o", str(tmp_path / "one.md")]) == 0
    assert (tmp_path / "one.md").read_text().count("\n## ") == len(OTHER.heads)
    assert main(["export", "--catalog", str(whole), "-f", "html", "-o", str(tmp_path / "all.html")]) == 2
    assert "one page shows one model" in capsys.readouterr().err
    assert not (tmp_path / "all.html").exists()
    assert main(["export", "--catalog", str(whole), "-f", "html", "-o", str(tmp_path / "site")]) == 0
    names = {path.name for path in (tmp_path / "site").iterdir()}
    assert names == {"index.html", MANIFEST, "openai-community_gpt2-abababab.html", "tiny-cdcdcdcd.html"}


def test_namesakes_get_pages_of_their_own(tmp_path: Path) -> None:
    from dataclasses import replace

    alike = (OTHER, replace(OTHER, name="tiny ", content_hash=OTHER.content_hash[:-1] + "0"))
    with whole_catalogue(tmp_path / "c.db", (replace(OTHER, name="t y"), replace(OTHER, name="t_y"), *alike)) as opened:
        pipeline.export(opened, [], "html", tmp_path / "site")
    assert len(list((tmp_path / "site").glob("*.html"))) == 5


def test_a_dataset_is_read_by_the_library(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    try:
        import datasets
    except ImportError:
        need(False, "datasets: pip install 'headscribe[test]'")
    folder = tmp_path / "dataset"
    arguments = ["export", "--catalog", str(whole), "-f", "dataset", "-o", str(folder), "--license", "cc-by-4.0"]
    assert main(arguments) == 0
    cache = str(tmp_path / "cache")
    heads = datasets.load_dataset(str(folder), "heads", split="train", cache_dir=cache)
    assert len(heads) == HEADS_IN_ALL
    assert set(heads.column_names) == set(HeadRecord.model_fields)
    assert heads[0]["salient"][0]["targets"][0]["token"] == " t0"
    flat = datasets.load_dataset(str(folder), "descriptions", split="train", cache_dir=cache)
    assert set(flat.column_names) == set(FLAT_COLUMNS)
    assert len(flat) == 2 * HEADS_IN_ALL + HEADS_WITH_ROLES
    assert flat[0]["neuronpedia"] == "https://www.neuronpedia.org/gpt2-small/head/0/0"
    card = (folder / "README.md").read_text()
    for name in (*heads.column_names, *flat.column_names):
        assert f"\n| `{name}` | " in card, "the card explains every column"
    assert "license: cc-by-4.0" in card
    assert MODEL.content_hash in card
    assert main([*arguments[:-1], "not a licence: {x}\n"]) == 2
    assert "licence" in capsys.readouterr().err


def test_links_lead_to_the_same_head() -> None:
    assert neuronpedia("meta-llama/Llama-3.1-8B", 25, 0) == "https://www.neuronpedia.org/llama3.1-8b/head/25/0"
    assert neuronpedia("gpt2", 0, 11) == neuronpedia("openai-community/gpt2", 0, 11)
    assert neuronpedia("demo", 0, 0) is None
    assert neuronpedia("</script>", 0, 0) is None


# -- folders ----------------------------------------------------------------------------------------------------------


def filled(path: Path, text: str) -> None:
    with replacing_folder(path, {"format": "x"}) as partial:
        (partial / "a").mkdir()
        (partial / "a" / "b.txt").write_text(text)


def content(path: Path) -> set[str]:
    return {found.relative_to(path).as_posix() for found in path.rglob("*")}


def test_a_folder_of_ours_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for text in ("one", "two"):
        filled(tmp_path / "new", text)
        assert (tmp_path / "new" / "a" / "b.txt").read_text() == text
    assert content(tmp_path) == {"new", "new/a", "new/a/b.txt", f"new/{MANIFEST}"}


def changed(path: Path) -> None:
    (path / "a" / "b.txt").write_text("edited by hand")


def added(path: Path) -> None:
    (path / ".git").mkdir()
    (path / ".git" / "HEAD").write_text("ref")


def emptied(path: Path) -> None:
    (path / "an empty folder").mkdir()


def linked(path: Path) -> None:
    (path / "a" / "link").symlink_to("/")


def unlisted(path: Path) -> None:
    (path / MANIFEST).unlink()


def garbled(path: Path) -> None:
    (path / MANIFEST).write_text("[]")


@pytest.mark.parametrize("change", [changed, added, emptied, linked, unlisted, garbled])
def test_what_is_not_ours_is_never_deleted(tmp_path: Path, change: Callable[[Path], None]) -> None:
    filled(tmp_path / "out", "ours")
    change(tmp_path / "out")
    before = content(tmp_path)
    with pytest.raises(InputError, match=r"not written by headscribe|not ours|changed since"):
        filled(tmp_path / "out", "new")
    assert content(tmp_path) == before


def test_a_folder_that_breaks_off_is_not_there(tmp_path: Path) -> None:
    filled(tmp_path / "out", "old")

    def break_off() -> None:
        with replacing_folder(tmp_path / "out", {}) as partial:
            (partial / "half").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert content(tmp_path) == {"out", "out/a", "out/a/b.txt", f"out/{MANIFEST}"}


def test_something_put_there_meanwhile_is_kept(tmp_path: Path) -> None:

    def be_slow() -> None:
        with replacing_folder(tmp_path / "out", {}) as partial:
            (partial / "a").write_text("a")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "mine").write_text("mine")

    with pytest.raises(InputError, match="not written by headscribe"):
        be_slow()
    assert content(tmp_path) == {"out", "out/mine"}


def test_places_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        filled(tmp_path / "file", "x")
    with pytest.raises(InputError, match="no directory"):
        filled(tmp_path / "no" / "folder", "x")
    assert content(tmp_path) == {"file"}


def test_an_export_of_nothing_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Catalogue(str(tmp_path / "c.db"), create=True).close()
    where = ["--catalog", str(tmp_path / "c.db")]
    assert main(["export", *where, "-f", "dataset", "-o", str(tmp_path / "d")]) == 2
    assert "no heads yet" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_the_first_head_is_shown_with_its_link(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", MODEL.name, str(HeadId(1, 0)), "--catalog", str(whole)]) == 0
    assert "https://www.neuronpedia.org/gpt2-small/head/1/0" in capsys.readouterr().out


TAMPERED = "`</code>\x1b[31m\u202e<img src=x onerror=alert(1)>/../../e"


@pytest.fixture(scope="module")
def tampered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue in whose fields somebody wrote what headscribe never writes there."""
    path = tmp_path_factory.mktemp("tampered") / "c.db"
    with whole_catalogue(path, (OTHER,)) as catalogue, catalogue.engine.begin() as connection:
        connection.execute(schema.model.update().values(name=TAMPERED, content_hash=TAMPERED, family=TAMPERED))
        connection.execute(schema.labeller.update().values(llm=TAMPERED, prompt=TAMPERED))
        connection.execute(schema.description.update().values(detail=TAMPERED, reasoning=TAMPERED))
        connection.execute(
            schema.description.update().where(schema.description.c.failure.is_not(None)).values(failure=TAMPERED)
        )
    return path


def test_a_tampered_catalogue_is_shown_as_text(
    tampered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Catalogue(str(tampered)) as catalogue:
        for form, name in (("markdown", "a.md"), ("html", "site"), ("dataset", "data"), ("csv", "a.csv")):
            pipeline.export(catalogue, [], form, tmp_path / name)
    for page in (tmp_path / "a.md", tmp_path / "data" / "README.md"):
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        assert Tags(text).tags <= {"code"}
        assert not [char for char in text if not char.isprintable() and char != "\n"]
    for place in ("site", "data"):
        for path in (tmp_path / place).rglob("*"):
            assert re.fullmatch(r"[\w.-]+", path.name), path.name
    for page in (tmp_path / "site").glob("*.html"):
        assert "<img" not in page.read_text()
    for command in (
        ["show", TAMPERED],
        ["show", TAMPERED, "0.0"],
        ["export", TAMPERED, "-o", str(tmp_path / "x"), "-f", "csv"],
    ):
        assert main([*command, "--catalog", str(tampered)]) == 0
        printed = "".join(capsys.readouterr())
        assert not [char for char in printed if not char.isprintable() and char != "\n"], command
    assert main(["show", f"no {TAMPERED}", "--catalog", str(tampered)]) == 2
    assert capsys.readouterr().err.rstrip("\n").isprintable()
