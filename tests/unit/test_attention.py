"""Where heads look: figures equal their words, patterns those of the model, and heads built by hand are found."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from describe import pipeline
from describe.attention import FIGURES, KINDS, SAYS, kinds
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.evidence.attention import describe_looks
from describe.head_record.attention import AttentionRecord
from describe.inference.attention import (
    Document,
    DocumentReading,
    PatternReader,
    TextMarks,
    TokenMarks,
    documents,
    figures,
    heads_of,
    random_documents,
    read_documents,
    read_sources,
    shuffled,
    uniform_figures,
)
from describe.inference.attention.classes import CLASSES, significant_classes
from describe.labelling import DescribeQuestion, Exchange, load_template
from describe.labelling.answer import LOOKS_SCHEMA
from describe.labelling.looks import look_rows, shuffled_looks
from describe.llm import Reply, Request, parse_llm
from describe.pipeline.extraction.compute import Means
from describe.pipeline.extraction.views import layer_views
from describe.pipeline.held_out import chosen_authors
from describe.pipeline.inference.attended import _static
from describe.pipeline.inference.correlation import open_testbed
from describe.readings import PAPER
from describe.records import Claim, Description, HeadId, HeadMapping
from describe.scoring.attention import LEAST, LooksCase, PlaceQuestion, choices, inquire_places
from describe.scoring.attention import load as load_choosing
from describe.weights import open_model
from tests import attention_oracle, tiny
from tests.whole_catalogue import MODEL, OTHER, whole_catalogue

NAMES = [figure.name for figure in FIGURES]


def a_pattern(heads: int, size: int, sink: float = 0.0) -> torch.Tensor:
    scores = torch.randn(heads, size, size, generator=torch.Generator().manual_seed(0))
    hidden = torch.ones(size, size).triu(1).bool()
    return (1 - sink) * scores.masked_fill(hidden, -torch.inf).softmax(-1)


@pytest.mark.parametrize(("size", "sink"), [(9, 0.0), (40, 0.0), (41, 0.25)])
def test_figures_equal_their_words(size: int, sink: float) -> None:
    ids = random.Random(size).choices(range(7), k=size)
    punctuation, line_break = [token % 5 == 0 for token in ids], [token == 3 for token in ids]
    patterns = a_pattern(3, size, sink)
    found = figures(patterns, TextMarks.of(ids, punctuation, line_break, 0))
    for head in range(3):
        expected = attention_oracle.literal_figures(patterns[head], ids, punctuation, line_break)
        np.testing.assert_allclose(found[head].numpy(), [expected[name] for name in NAMES], rtol=1e-4, atol=1e-6)


def test_a_head_that_knows_distances_only_is_explained_by_them() -> None:
    ids, none = list(range(50)), [False] * 50
    marks = TextMarks.of(ids, none, none, 0)
    previous = torch.eye(50).roll(-1, 1)[None].tril()
    previous[0, 0, 0] = 1
    by_name = dict(zip(NAMES, figures(previous.roll(0), marks)[0].tolist(), strict=True))
    assert by_name["placed"] == pytest.approx(1)
    assert dict(zip(NAMES, uniform_figures(marks).tolist(), strict=True))["distance"] == pytest.approx((8 + 49) / 4)


@pytest.mark.parametrize("model_type", tiny.CONFIGS)
def test_patterns_are_those_of_the_model(model_type: str, tmp_path: Path) -> None:
    model = tiny.tiny_model(model_type)
    info = open_model(str(tiny.save(model, tmp_path / "tiny"))).info
    ids = torch.randint(1, 250, (3, 30), generator=torch.Generator().manual_seed(1))
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    PatternReader(model, info).read(ids, lambda layer, *of: seen.__setitem__(layer, of))
    expected = model(ids, output_attentions=True).attentions
    assert sorted(seen) == list(range(info.n_layers))
    weights = open_model(str(tmp_path / "tiny"))
    for layer, (patterns, lengths) in seen.items():
        torch.testing.assert_close(patterns, expected[layer])
        assert lengths.shape == patterns.shape[:3]
        assert weights.layer(layer).output.shape[0] == lengths.shape[1]


def test_the_length_of_what_is_written_is_that_of_the_value_through_the_output(tmp_path: Path) -> None:
    model = tiny.tiny_model("llama")
    info = open_model(str(tiny.save(model, tmp_path / "tiny"))).info
    ids = torch.arange(1, 21)[None]
    seen: dict[int, torch.Tensor] = {}
    PatternReader(model, info).read(ids, lambda layer, _, lengths: seen.__setitem__(layer, lengths))
    states = model.model(ids, output_hidden_states=True).hidden_states
    block, output = model.model.layers[1], open_model(str(tmp_path / "tiny")).layer(1).output.float()
    values = block.self_attn.v_proj(block.input_layernorm(states[1])).view(1, 20, 2, -1)
    expected = torch.stack([(values[0, :, head // 2] @ output[head]).norm(dim=-1) for head in range(4)])
    torch.testing.assert_close(seen[1][0], expected, rtol=1e-4, atol=1e-4)


def seen_by_hand() -> list[Any]:
    """Where the heads of the model built by hand look, on random text and on random tokens that come twice."""
    model, info = attention_oracle.model_built_by_hand()
    draw = random.Random(0)
    texts = [Document("text", tuple(draw.choices(range(2, attention_oracle.V), k=60))) for _ in range(8)]
    every = [*texts, *random_documents(range(2, attention_oracle.V), [1], attention_oracle.LONGEST, 0)]
    marks = TokenMarks([False] * attention_oracle.V, [False] * attention_oracle.V)
    reader = PatternReader(model, info)
    readings = [read_documents(reader, [document], [n], marks)[0] for n, document in enumerate(every)]
    again = [DocumentReading.of_bytes(reading.to_bytes()) for reading in readings]
    return list(heads_of(every, again, [f"<{i}>" for i in range(attention_oracle.V)]))


def test_induction_and_previous_token_heads_built_by_hand_are_found() -> None:
    previous, alike, induction, other = seen_by_hand()
    assert (previous.kinds, alike.kinds, induction.kinds, other.kinds) == (
        ("previous-token",),
        ("broad",),
        ("induction",),
        ("broad",),
    )
    assert all(head.halves == (head.kinds, head.kinds) for head in (previous, alike, induction, other))
    assert previous.figures["text"]["previous"].mean > 0.99
    assert induction.figures["random"]["induction"].mean > 0.99
    assert alike.figures["text"]["entropy"].mean == pytest.approx(alike.figures["text"]["entropy"].uniform, rel=1e-3)
    for context in (*previous.contexts, *previous.held_out):
        assert context.attended[0].place == context.query - 1
        assert context.attended[0].attention > 0.99
    for context in induction.contexts[:6]:
        assert context.tokens[context.attended[0].place - 1] == context.tokens[context.query]
    assert len(previous.contexts) == 16
    assert [context.tenth for context in previous.contexts[6:]] == list(range(1, 11))
    record = AttentionRecord.of_head(induction)
    assert AttentionRecord.model_validate(json.loads(json.dumps(record.to_json()))) == record
    assert record.words.startswith(f"induction: {SAYS['induction']}")


def test_kinds_need_more_than_a_head_that_attends_to_all_alike_and_a_rest() -> None:
    nothing = dict.fromkeys(NAMES, 0.0) | {"placed": 1.0, "entropy": 1.0}
    uniform = {"text": nothing | {"entropy": 4.0, "punctuation": 0.3}}
    assert kinds({"text": nothing}, uniform) == ()
    assert kinds({"text": nothing | {"punctuation": 0.55}}, uniform) == ()
    assert kinds({"text": nothing | {"punctuation": 0.6}}, uniform) == ("delimiter",)
    sink = nothing | {"first": 0.8, "previous": 0.12}
    assert kinds({"text": sink}, uniform) == ("previous-token", "first-token sink")
    assert kinds({"text": sink | {"first": 0.95, "previous": 0.04}}, uniform) == ("first-token sink",)
    assert kinds({"text": nothing | {"entropy": 3.5}}, uniform) == ("broad",)
    assert kinds({"text": nothing | {"placed": 0.1}}, uniform) == ("content",)
    assert all(kind.source for kind in KINDS)


def test_documents_come_from_every_source_before_any_comes_twice() -> None:
    found = documents(read_sources(None), lambda text: list(text.encode()), 90 * 256, 256)
    assert len({document.kind for document in found}) == 6
    assert len(found) == 90
    assert sum(len(document.ids) for document in found) == 90 * 256
    one = shuffled(found, 1, 0)
    assert len(one) == 23
    assert one[0].ids[0] == found[0].ids[0]
    assert sorted(one[0].ids) == sorted(found[0].ids) != list(one[0].ids)


def test_the_corpus_names_its_sources_and_licences() -> None:
    lines = Path("describe/inference/corpus.jsonl").read_text("utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    told = Path("docs/attention.md").read_text("utf-8")
    assert 200_000 < sum(len(entry["text"]) for entry in entries) < 500_000
    for entry in entries:
        assert entry["source"].split(",")[0].split("(")[0].strip() in told
        assert entry["licence"] in told


@pytest.fixture(scope="module")
def long_llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random Llama that runs texts of 96 tokens."""
    folder = tmp_path_factory.mktemp("models") / "long-llama"
    return str(tiny.save(tiny.tiny_model("llama", max_position_embeddings=96), folder))


def test_a_run_that_was_broken_off_goes_on_where_it_was(long_llama: str, tmp_path: Path) -> None:
    class BrokenOffError(Exception):
        pass

    def break_off(_stage: str, done: int, total: int) -> None:
        if 0 < done < total:
            raise BrokenOffError

    where = str(tmp_path / "catalogue.db")
    with Catalogue(where, create=True) as catalogue:
        with pytest.raises(BrokenOffError):
            pipeline.attend(catalogue, long_llama, tokens=1024, device="cpu", progress=break_off)
        went_on = pipeline.attend(catalogue, long_llama, tokens=1024, device="cpu")
        again = pipeline.attend(catalogue, long_llama, tokens=1024, device="cpu")
    with Catalogue(str(tmp_path / "other.db"), create=True) as catalogue:
        at_once = pipeline.attend(catalogue, long_llama, tokens=1024, device="cpu")
    assert (at_once.new, again.new) == (22, 0)
    assert 0 < went_on.new < 22
    assert went_on.records == again.records == at_once.records
    assert len(at_once.records) == 12
    assert at_once.made.found.documents == {"text": 11, "shuffled": 3, "random": 8}
    rows = pipeline.kind_rows(at_once)
    assert sum(row.heads for row in rows) >= 12
    assert [row.kind for row in rows] == [*SAYS, "none"]
    assert pipeline.attention_rows(at_once)[0]["head"] == str(HeadId(0, 0))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b" \n", "is empty"),
        ("short.txt", b"Too short.", "the text is too short: 10 tokens"),
        ("binary.txt", b"\x7fELF\xff\xfe", "is no text in UTF-8"),
        ("nul.txt", b"a\0b", "holds NUL bytes"),
        ("a.jsonl", b'{"text": 3}\n', "line 1 holds no text"),
        ("b.jsonl", b"{\n", "line 1 is no JSON"),
        ("a.parquet", b"PAR1", "cannot be read as Parquet"),
        ("a.pdf", b"%PDF", "is no .txt, .jsonl or .parquet"),
        ("folder", None, "holds no .txt, .jsonl or .parquet"),
    ],
)
def test_bad_text_is_one_line_and_changes_nothing(
    name: str, content: bytes | None, said: str, long_llama: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    where = tmp_path / "catalogue.db"
    with pytest.raises(InputError, match=said) as error, Catalogue(str(where), create=True) as catalogue:
        pipeline.attend(catalogue, long_llama, text=str(path), device="cpu")
    assert "\n" not in str(error.value)
    assert not where.exists()


def test_heads_are_found_by_their_kind(tmp_path: Path) -> None:
    with whole_catalogue(tmp_path / "c.db") as catalogue:
        found = catalogue.search.find("previous token head")
        assert {(head["model"].partition("@")[0], head["layer"], head["head"]) for head in found["heads"]} == {
            (model.name, layer, 0) for model in (MODEL, OTHER) for layer in range(2)
        }
        assert all(head["kinds"] == ["previous-token", "first-token sink"] for head in found["heads"])
        assert catalogue.search.find("previous numbers")["total"] > 0
        assert catalogue.search.find("previous token", llm="statistics")["total"] == 0


def test_where_heads_look_is_described_by_statistics_and_shown_to_an_llm(long_llama: str, tmp_path: Path) -> None:
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        pipeline.extract(catalogue, long_llama, reading="paper", device="cpu")
        with pytest.raises(InputError, match="run headscribe attend"):
            pipeline.prompt_of(catalogue, long_llama, HeadId(0, 0), "attention-1", "paper")
        pipeline.attend(catalogue, long_llama, tokens=1024, device="cpu")
        prompt = pipeline.prompt_of(catalogue, long_llama, HeadId(0, 0), "attention-1", "paper")["text"]
        options = {"reading": "paper", "prompt": "attention-1", "placebos": 2, "device": "cpu"}
        said = pipeline.describe(catalogue, long_llama, parse_llm("statistics"), request=Request(), **options)
        record = pipeline.head_record(catalogue, long_llama, HeadId(0, 0))
        assert catalogue.attention.records(1)[HeadId(0, 0)].contexts
        (told,) = record.descriptions
        assert (told.prompt, told.provenance.settings["shows"]) == ("attention-evidence-1", "attention")
        assert (said.missing, said.failures, len(said.placebos["shuffled"])) == ([], {}, 2)
        assert chosen_authors(catalogue.scores.descriptions(said.extraction_id)) == [], "no row tells if it is true"
    lines = [line for line in prompt.splitlines() if line[:1].isdigit()]
    assert len(lines) >= 10
    assert all("⟪" in line and " -> " in line for line in lines)


def test_a_placebo_looks_from_the_same_places_at_others() -> None:
    head = seen_by_hand()[0]
    placebo = shuffled_looks(head, 0)
    assert (placebo.kinds, placebo.classes, len(placebo.contexts)) == ((), (), len(head.contexts))
    for real, moved in zip(head.contexts, placebo.contexts, strict=True):
        assert (moved.tokens, moved.query) == (real.tokens, real.query)
        assert not {one.place for one in moved.attended} & {one.place for one in real.attended}
        assert [one.attention for one in moved.attended] == [one.attention for one in real.attended]
    assert shuffled_looks(head, 0) == placebo != shuffled_looks(head, 1)


def test_classes_of_tokens_on_either_side_are_those_beyond_the_text() -> None:
    none = np.zeros((1, 2, len(CLASSES)), dtype=int)
    counts, expected = none.copy(), np.full(len(CLASSES), 0.05)
    counts[0, 1, list(CLASSES).index("comma")] = 90
    counts[0, 0, list(CLASSES).index("number")] = 6
    ((found,),) = significant_classes(counts, np.array([100]), expected)
    assert (found.side, found.words, found.count, found.looks) == ("at", "commas and semicolons", 90, 100)
    head = replace(seen_by_hand()[0], kinds=(), classes=(found,))
    said = describe_looks(head)
    assert (said.inputs, said.unclear) == ("Unclear", False)
    assert said.pattern == "looks at commas and semicolons (90 of 100 looks; 5% of the text)"
    assert describe_looks(replace(head, classes=())).unclear


def by_rule(case: LooksCase, rule: Callable[[str], int | None]) -> Any:
    """The score of a judge that names in each line the token that a rule finds, or else the third."""
    inquiry = inquire_places(load_choosing("judge-attention-1"), case)
    question = next(inquiry)
    while True:
        lines = [line.partition(". ")[2] for line in question.prompt.splitlines() if line[:1].isdigit()]
        told = "RIGHT" in question.prompt
        named = [{"line": n, "token": (rule(line) if told else None) or 3} for n, line in enumerate(lines, 1)]
        try:
            question = inquiry.send(Exchange.begin(question).answered(Reply(json.dumps({"lines": named}))))
        except StopIteration as done:
            return done.value


def just_before(line: str) -> int | None:
    """Which of five tokens stands before the token looked from."""
    return int(re.findall(r"⟦(\d):[^⟧]*⟧⟪", line)[0])


def after_a_copy(line: str) -> int | None:
    """Which of five tokens <n> follows on a copy of the token looked from."""
    query = re.findall(r"⟪(?:⟦\d:)?(<\d+>)", line)[0]
    found = re.search(re.escape(query) + r"⟧?⟦(\d):", line)
    return int(found[1]) if found else None


def test_a_judge_told_the_truth_finds_where_a_head_looks_and_one_told_otherwise_does_not() -> None:
    previous, _, induction, _ = seen_by_hand()
    for head, rule in ((previous, just_before), (induction, after_a_copy)):
        five = choices(HeadId(head.layer, head.head), head.held_out)
        assert len(five) >= LEAST
        for choice in five:
            assert choice.context.attended[0].place == choice.places[choice.real]
            assert list(choice.places) == sorted(set(choice.places))
            assert choice.line.count("⟦") == 5
        score = by_rule(LooksCase(HeadId(0, 0), five, ("", "RIGHT"), ("", "WRONG"), HeadId(0, 1)), rule)
        assert (score.measure, score.value, score.n) == ("attention", 1.0, len(five))
        assert score.wrong is not None
        assert score.wrong < score.low < 1
        assert score.found["placebo"]["head"] == "0.1"
    assert score.found["nearest"]["value"] < score.low, "it looks far away, and the nearest is no way to find it"
    case = LooksCase(HeadId(0, 0), five[:4], ("", ""), None, None)
    too_few = inquire_places(load_choosing("judge-attention-1"), case)
    with pytest.raises(StopIteration) as done:
        next(too_few)
    assert done.value.value.failure == "no_contexts"


@pytest.mark.parametrize(
    "lines",
    [
        [{"line": 1, "token": 1}],
        [{"line": 1, "token": 1}, {"line": 1, "token": 1}],
        [{"line": 1, "token": 1}, {"line": 2, "token": 6}],
        [{"line": n, "token": 1} for n in (1, 2, 3)],
        "one",
    ],
)
def test_a_judge_names_one_of_five_tokens_for_each_line(lines: Any) -> None:
    step = Exchange.begin(PlaceQuestion("which?", 2)).answered(Reply(json.dumps({"lines": lines})))
    assert isinstance(step, Exchange), "goes back once, with the reason"
    assert step.answered(Reply("no")).failure == "invalid"


def test_where_heads_look_is_judged_by_held_out_contexts(
    long_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        own = pipeline.extract(catalogue, long_llama, reading="paper", device="cpu").extraction_id
        pipeline.attend(catalogue, long_llama, tokens=2048, device="cpu")
        statistics, options = parse_llm("statistics"), {"request": Request(), "reading": "paper"}
        with pytest.raises(InputError, match=r"by statistics, by where it looks: .* --prompt attention-1"):
            pipeline.score(catalogue, long_llama, statistics, measure="attention", **options)
        author = catalogue.register_labeller("statistics", "p-1", "", {"shows": "attention"})
        for head in sorted(catalogue.saved_heads(own)):
            claims = (Claim("previous-token", "pairing", "attends to the token before", 9, 10, 0.1),)
            catalogue.save_description(own, head, author, Description("Unclear", "before", claims=claims), {})
        plan = pipeline.plan_scores(catalogue, long_llama, parse_llm("openai:x"), measure="attention", **options)
        assert (plan.calls, plan.no_rows, len(plan.descriptions)) == (24, 0, 12)
        judged = pipeline.score(catalogue, long_llama, statistics, measure="attention", **options)
        again = pipeline.score(catalogue, long_llama, statistics, measure="attention", **options)
        assert (judged.judged, judged.failures, judged.missing, again.failures) == (12, {}, [], {})
        (row,) = pipeline.score_report(catalogue, long_llama)
        assert (row["measure"], row["scored"], row["wrong"]["n"]) == ("attention", 12, 12)
        assert row["share_right"]["n"] == row["nearest"]["n"] == 12
        found = pipeline.check_attended(catalogue, long_llama, heads="1", reading="paper", device="cpu")
        assert found
        for values in found.values():
            assert 2 <= values["contexts"] <= 6
            assert all(0 <= values[name] <= 1 for name in ("of_source", "in_context", "exchanged", "attention"))
        assert pipeline.check_attended(catalogue, long_llama, heads="1", reading="paper", device="cpu") == found
        salient, bed = catalogue.mapping(own, HeadId(1, 2)).salient[0], open_testbed(long_llama, "cpu", "float32")
        means = Means(torch.device("cpu"), "float32")
        ((_, view),) = layer_views(long_llama, bed.weights, PAPER, [1], means)
        static = _static(bed, HeadId(1, 2), view, [salient.token_id])
        assert static == {salient.token_id: tuple(target.token_id for target in salient.targets)}


def test_groups_of_looks_are_looked_up() -> None:
    head = seen_by_hand()[0]
    rows = look_rows(head)
    assert [(row.token, row.targets[0].token) for row in rows] == [
        (one.tokens[one.query], one.tokens[one.attended[0].place]) for one in head.contexts
    ]
    question = DescribeQuestion.of(load_template("attention-1"), HeadMapping(HeadId(0, 0), (), attention=head))
    assert question.form == LOOKS_SCHEMA
    said = {"reasoning": "r", "inputs": "any", "pattern": "the token before"}
    fits = {"from": f'"{rows[0].token}"', "at": f'"{rows[0].targets[0].token}"', "lines": [1]}
    wrong = {"from": "any", "at": '"nowhere"', "lines": [2, 3, 99]}
    found = question.read(json.dumps(said | {"groups": [fits, wrong]}), {})
    assert [(group.lines, group.checked) for group in found.groups] == [((1,), True), ((2, 3), False)]
    assert (found.kind, found.unclear, found.covered) == (None, False, 1 / len(rows))
    with pytest.raises(ValueError, match="groups"):
        question.read(json.dumps(said | {"groups": [{"inputs": "a", "promoted": "b", "lines": [1]}]}), {})
    held_out = shuffled_looks(head, 0).held_out
    assert [one.query for one in held_out] == [one.query for one in head.held_out]
    assert all(a.attended[0].place != b.attended[0].place for a, b in zip(held_out, head.held_out, strict=True))
