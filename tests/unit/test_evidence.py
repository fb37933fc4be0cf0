"""Evidence and its words: planted heads are found out, random ones are not described, the tests are what they say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from describe.errors import InputError
from describe.evidence import Vocabulary, describe_evidence, hubs, model_evidence, significant
from describe.evidence.grammar import FUNCTION_WORDS, load_grammar
from describe.evidence.lexicon import load_lexicon
from describe.operations import load_operations
from describe.records import Description, Evidence, HeadId, HeadMapping, MappingRow, Target
from describe.statistics import (
    Scatter,
    benjamini_hochberg,
    beta_binomial_tail,
    binomial_tail,
    cohens_h,
    scatter,
    shuffled_tail,
)
from tests.html_samples import ATTACKS

_PLURALS = (
    "cats dogs trees houses cars books children women players officers rows words families friends members workers"
    " owners trains boys girls students teachers rivers mountains cities letters numbers games songs doors windows"
    " tables chairs lamps shoes"
)
PLURALS = _PLURALS.split()
_COPIED = (
    "stone river green under happy quick light table seven music paper water horse cloud sugar metal north plant"
    " brick chair glass ocean piano tiger uncle voice wheat young zebra dream"
)
COPIED = _COPIED.split()
OPPOSITES = {
    "wide": "narrow", "rich": "poor", "empty": "full", "deep": "shallow", "loud": "soft", "sharp": "dull",
    "thick": "thin", "smooth": "rough", "guilty": "innocent", "victory": "defeat", "push": "pull", "buy": "sell",
    "increase": "decrease", "remember": "forget", "success": "failure", "love": "hate", "sweet": "sour",
}  # fmt: skip
KINDS = {
    "violin": "instrument", "hammer": "tool", "oak": "tree", "apple": "fruit", "sparrow": "bird", "trout": "fish",
    "copper": "metal", "beetle": "insect", "measles": "disease", "cabbage": "vegetable", "sofa": "furniture",
    "surgeon": "doctor", "castle": "building", "truck": "vehicle", "gin": "drink", "ant": "insect",
}  # fmt: skip
NATIONS = {
    "France": "French", "Paris": "French", "Germany": "German", "Berlin": "German", "Sweden": "Swedish",
    "Japan": "Japanese", "Tokyo": "Japanese", "Poland": "Polish", "Warsaw": "Polish", "Spain": "Spanish",
    "Madrid": "Spanish", "Russia": "Russian", "Moscow": "Russian", "Egypt": "Egyptian", "Cairo": "Egyptian",
}  # fmt: skip
REFERENCES = {
    "king": "him", "actor": "he", "James": "his", "uncle": "himself", "queen": "her", "actress": "she", "Mary": "hers",
    "houses": "them", "trees": "they", "players": "their", "rivers": "these", "lamp": "it", "brick": "its", "we": "our",
    "me": "my", "I": "myself",
}  # fmt: skip
BRITISH = [
    *("colour", "behaviour", "honour", "labour", "centre", "theatre"),
    *("organise", "realise", "analyse", "travelled", "defence", "grey"),
]
MEANT = (OPPOSITES, KINDS, NATIONS, REFERENCES)


def vocabulary_texts() -> list[str]:
    """A small vocabulary like a real one: words with a space before them, pieces, punctuation, attacks."""
    pairs = [pair for operation in load_operations()[0] for pair in operation.pairs]
    words = {word for pair in pairs for word in pair if " " not in word} | FUNCTION_WORDS | set(PLURALS) | set(COPIED)
    words |= {word for pairs in MEANT for pair in pairs.items() for word in pair} | {*BRITISH, "I"}
    texts = [form for word in sorted(words) for form in (f" {word}", word, f" {word.capitalize()}")]
    return list(dict.fromkeys([*texts, *"abcdefghijklmnopqrstuvwxyz.,;:!?", *ATTACKS]))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(vocabulary_texts())


def mapping(vocabulary: Vocabulary, head: HeadId, rows: Sequence[tuple[str, Sequence[str]]]) -> HeadMapping:
    ids = {text: number for number, text in enumerate(vocabulary.tokens)}
    return HeadMapping(
        head,
        tuple(
            MappingRow(ids[source], source, 1.0, tuple(Target(ids[t], t, 1.0) for t in targets), ())
            for source, targets in rows
        ),
    )


def random_heads(vocabulary: Vocabulary, number: int) -> list[HeadMapping]:
    pick, tokens = np.random.default_rng(1), vocabulary.tokens

    def draw(count: int) -> list[str]:
        return [tokens[i] for i in pick.choice(len(tokens), count, replace=False)]

    return [mapping(vocabulary, HeadId(number, i), [(source, draw(5)) for source in draw(30)]) for i in range(number)]


def described(vocabulary: Vocabulary, plant: Callable[[list[str]], list[tuple[str, list[str]]]]) -> Description:
    """The description of one planted head among fifty random ones; ``plant`` gets 200 random tokens as filling."""
    others = random_heads(vocabulary, 50)
    filling = [target.token for head in others[:2] for row in head.salient for target in row.targets]
    head = mapping(vocabulary, HeadId(0, 0), plant(filling))
    return describe_evidence(model_evidence(vocabulary, [head, *others])[head.id])


def test_a_head_that_copies(vocabulary: Vocabulary) -> None:
    found = described(
        vocabulary, lambda fill: [(f" {w}", [f" {w}", *fill[4 * i : 4 * i + 4]]) for i, w in enumerate(COPIED)]
    )
    assert found.pattern is not None
    assert found.pattern.startswith("copies the input token (30 of 30 rows; 1 expected by chance)")
    assert not found.unclear


def test_a_head_from_plural_nouns_to_them(vocabulary: Vocabulary) -> None:
    sources = [*PLURALS[:27], "under", "happy", "quick"]
    found = described(
        vocabulary,
        lambda fill: [(f" {w}", [" them", " these", *fill[3 * i : 3 * i + 3]]) for i, w in enumerate(sources)],
    )
    assert found.inputs is not None
    assert found.inputs.startswith("nearly all plural nouns (27 of 30; ")
    assert found.pattern == 'promotes " them" (30 of 30 rows), " these" (30)'


@pytest.mark.parametrize(
    ("pairs", "name", "words"),
    [
        (OPPOSITES, "antonym", "gives words of opposite meaning (17 of 30 rows;"),
        (KINDS, "kind", "gives the kind of thing that the input is (16 of 30 rows;"),
        (NATIONS, "place_to_nationality", "maps a place to the nationality (15 of 30 rows;"),
        (REFERENCES, "reference", "gives pronouns that stand for the input (16 of 30 rows;"),
    ],
)
def test_a_head_that_goes_by_meaning(vocabulary: Vocabulary, pairs: dict[str, str], name: str, words: str) -> None:
    def plant(fill: list[str]) -> list[tuple[str, list[str]]]:
        rest = [(f" {word}", fill[100 + 4 * i : 104 + 4 * i]) for i, word in enumerate(COPIED[: 30 - len(pairs)])]
        return [*((f" {a}", [f" {b}", *fill[3 * i : 3 * i + 3]]) for i, (a, b) in enumerate(pairs.items())), *rest]

    found = described(vocabulary, plant)
    assert words in (found.pattern or "")
    (claim,) = (claim for claim in found.claims if claim.name == name)
    assert set(range(1, len(pairs) + 1)) <= set(claim.lines)


def test_a_head_that_writes_british_spellings(vocabulary: Vocabulary) -> None:
    found = described(
        vocabulary,
        lambda fill: [
            (f" {w}", [f" {BRITISH[i % 12]}", f" {BRITISH[(i + 5) % 12]}", fill[i]]) for i, w in enumerate(COPIED)
        ],
    )
    assert "British spellings (12 of" in (found.pattern or "") + found.reasoning


def test_the_words_that_ship_are_those_of_wordnet() -> None:
    lexicon = load_lexicon()
    assert "small" in lexicon.opposites["big"]
    assert "lesser" in lexicon.opposites["big"]
    assert {"animal", "canine"} <= lexicon.kinds("dog")
    assert (lexicon.classes["dog"], lexicon.classes["run"]) == ("animal", "verb_motion")
    assert lexicon.nations["french"] == {"france"}
    assert "japan" in lexicon.parts["tokyo"]
    assert (lexicon.spellings["colour"], lexicon.spellings["organise"]) == ("color", "organize")
    told = json.loads(Path("describe/evidence/wordnet.json").read_text("utf-8"))
    assert "WordNet 3.1" in told["source"]
    assert "Permission to use, copy, modify and distribute" in told["licence"]


def test_a_head_from_countries_to_capitals(vocabulary: Vocabulary) -> None:
    (operation,) = (o for o in load_operations()[0] if o.name == "country_to_capital")
    pairs = [pair for pair in operation.pairs if not any(" " in word for word in pair) and pair[0] != pair[1]][:30]
    found = described(
        vocabulary, lambda fill: [(f" {a}", [f" {b}", *fill[4 * i : 4 * i + 4]]) for i, (a, b) in enumerate(pairs)]
    )
    assert "countries (30 of 30;" in (found.inputs or "")
    assert (found.pattern or "").startswith("maps country to capital (30 of 30 rows; 1")


def test_the_same_countries_and_capitals_out_of_step_are_no_pairing(vocabulary: Vocabulary) -> None:
    (operation,) = (o for o in load_operations()[0] if o.name == "country_to_capital")
    pairs = [pair for pair in operation.pairs if not any(" " in word for word in pair)][:30]
    capitals = [capital for _, capital in pairs]
    rows = [(f" {a}", [f" {capitals[(i + 1) % 30]}"]) for i, (a, _) in enumerate(pairs)]
    found = described(vocabulary, lambda fill: rows)
    assert "maps country" not in (found.pattern or "")
    assert "capital cities (30 of 30 distinct outputs" in (found.pattern or "")


def test_random_heads_are_unclear(vocabulary: Vocabulary) -> None:
    evidence = model_evidence(vocabulary, random_heads(vocabulary, 300))
    told = [head for head, found in evidence.items() if not describe_evidence(found).unclear]
    inputs = [head for head, found in evidence.items() if describe_evidence(found).inputs != "Unclear"]
    assert len(told) <= 6
    assert len(inputs) <= 6
    nothing = next(found for head, found in evidence.items() if head not in told + inputs)
    assert describe_evidence(nothing) == Description(
        inputs="Unclear", pattern="Unclear", reasoning="Nothing is above chance.", unclear=True
    )


def test_the_same_again_and_in_another_order_of_heads(vocabulary: Vocabulary) -> None:
    heads = random_heads(vocabulary, 20)
    assert model_evidence(vocabulary, heads) == model_evidence(vocabulary, heads[::-1])


def test_hub_tokens_are_no_evidence_of_a_heads_own(vocabulary: Vocabulary) -> None:
    pronouns = [" them", " they", " these", " those", " us"]
    heads = [
        mapping(vocabulary, HeadId(1, i), [(row.token, pronouns) for row in head.salient])
        for i, head in enumerate(random_heads(vocabulary, 20))
    ]
    ids = [np.unique([t.token_id for row in head.salient for t in row.targets]) for head in heads]
    assert {vocabulary.tokens[i] for i in hubs(ids, len(vocabulary))} == set(pronouns)
    for found in model_evidence(vocabulary, heads).values():
        assert describe_evidence(found).unclear


def test_attacks_are_shown_escaped_and_break_nothing(vocabulary: Vocabulary) -> None:
    rows = [(text, ATTACKS[:5]) for text in ATTACKS[:26]]
    found = model_evidence(vocabulary, [mapping(vocabulary, HeadId(0, 0), rows), *random_heads(vocabulary, 10)])
    told = describe_evidence(found[HeadId(0, 0)])
    shown = json.dumps([asdict(told), [asdict(e) for e in found[HeadId(0, 0)]]], ensure_ascii=False)
    shown.encode()  # lone surrogates would fail
    assert not {"\x00", "\u202e", "\u2028", "\x1b"} & set(shown)


def test_heads_without_rows_and_vocabularies_without_words() -> None:
    empty = HeadMapping(HeadId(0, 0), ())
    assert model_evidence(Vocabulary(["a"]), [empty]) == {HeadId(0, 0): []}
    assert model_evidence(Vocabulary([]), []) == {}
    assert describe_evidence([]).unclear


def test_benjamini_hochberg_as_published() -> None:
    """The fifteen p-values of Benjamini and Hochberg (1995), section 3.2: four discoveries at 0.05."""
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1,
    ]
    q = benjamini_hochberg(np.array(p))
    assert (q <= 0.05).sum() == 4
    assert q[0] == pytest.approx(0.0015)
    assert benjamini_hochberg(np.array(p[::-1])).tolist() == q[::-1].tolist()


def test_tails_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    count, p = np.arange(31), np.array([0.0, 1e-5, 0.03, 0.4, 0.999, 1.0])
    ours = binomial_tail(count[:, None], np.array(30), p)
    assert ours == pytest.approx(stats.binom.sf(count[:, None] - 1, 30, p), rel=1e-9, abs=1e-12)
    some = np.random.default_rng(0).random(200)
    assert benjamini_hochberg(some) == pytest.approx(stats.false_discovery_control(some))


def test_scattered_counts_are_found_out_and_their_tails_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    pick = np.random.default_rng(0)
    n = pick.integers(20, 150, 400)
    means, rhos = np.array([0.02, 0.1, 0.4]), np.array([0.05, 0.2, 0.0])
    shares = np.column_stack(
        [pick.beta(m * (1 - r) / r, (1 - m) * (1 - r) / r, 400) for m, r in ((0.02, 0.05), (0.1, 0.2))]
    )
    found = scatter(pick.binomial(n[:, None], np.column_stack([shares, np.full(400, 0.4)])), n)
    assert found.mean == pytest.approx(means, rel=0.2)
    assert found.rho == pytest.approx(rhos, abs=0.05)
    a, b = (share * (1 - found.rho) / found.rho for share in (found.mean, 1 - found.mean))
    for count in (0, 3, 30):
        ours = beta_binomial_tail(np.full(3, count), 30, found)
        assert ours == pytest.approx(stats.betabinom.sf(count - 1, 30, a, b), rel=1e-4, abs=1e-12)
    binomial = beta_binomial_tail(np.array([12]), 30, Scatter(np.array([0.1]), np.array([1e-6])))
    assert binomial == pytest.approx(binomial_tail(np.array([12]), np.array(30), np.array([0.1])), rel=1e-3)


def test_what_random_heads_show_too_is_no_evidence(vocabulary: Vocabulary) -> None:
    """Two thirds of a head's inputs are plural nouns: it counts, unless every other random head has nearly as many."""
    heads = random_heads(vocabulary, 60)

    def reading(words: list[str], head: HeadMapping) -> HeadMapping:
        rows = zip(words, head.salient, strict=True)
        return mapping(vocabulary, head.id, [(f" {word}", [t.token for t in row.targets]) for word, row in rows])

    planted, others, plain = reading([*PLURALS[:20], *COPIED[:10]], heads[0]), heads[1:10], heads[10:]
    alike = [reading([*PLURALS[i % 10 : i % 10 + 18], *COPIED[:12]], m) for i, m in enumerate(plain)][::2]
    for random, counts in (([], True), (plain, True), ([*alike, *plain[1::2]], False)):
        tested = model_evidence(vocabulary, [planted, *others], random)[planted.id]
        found = [e for e in tested if (e.kind, e.name) == ("inputs", "plural_noun")]
        assert significant(found) == (found if counts else [])
        assert (found[0].random_p_value is None) == (not random)
        assert ("in random heads" in describe_evidence(found).reasoning) == (counts and bool(random))


def test_shuffled_rows_of_known_chances() -> None:
    one_to_one, everywhere, block = (
        np.eye(30, dtype=bool),
        np.ones((30, 30), dtype=bool),
        np.zeros((30, 30), dtype=bool),
    )
    block[:10, :10] = True  # only the ten first sources, and the targets of the ten first rows
    p = shuffled_tail(np.stack([one_to_one, everywhere, block]))
    assert p[0] < 1e-20
    assert p[1] == 1.0
    assert 1 / 30_045_015 < p[2] < 5e-4  # exactly 1 in C(30, 10) permutations; ours is on the safe side


def test_shuffled_tail_is_fair_on_unrelated_rows() -> None:
    pick = np.random.default_rng(3)
    p = shuffled_tail(pick.random((400, 30, 30)) < 0.1)
    assert (p < 0.05).mean() < 0.08


def test_effect_size() -> None:
    assert cohens_h(np.array([1.0, 0.5]), np.array([0.0, 0.5])).tolist() == pytest.approx([np.pi, 0.0])


def test_without_the_dictionaries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    load_grammar.cache_clear()
    monkeypatch.setitem(sys.modules, "lemminflect", None)
    with pytest.raises(InputError, match=r"lemminflect: pip install 'headscribe\[evidence\]'"):
        Vocabulary(["a"])


def test_only_what_is_sure_and_visible_is_significant() -> None:
    def piece(q: float, effect: float, count: int) -> Evidence:
        return Evidence("noun", "inputs", "nouns", count, 30, 0.1, effect, q, q, ())

    sure = piece(1e-9, 2.0, 28)
    assert significant([piece(0.02, 2.0, 28), piece(1e-9, 0.4, 28), piece(1e-9, 2.0, 2), sure]) == [sure]
