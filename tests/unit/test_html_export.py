"""The HTML page of a catalogue, without a browser: what it holds and what it must not hold."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.html_samples import ATTACKS, attack_heads, attack_model, heads, model, render


class Page(HTMLParser):
    """Collects the elements, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.tags[-1][0] if self.tags else "", []).append(data)


def part(page: str, name: str) -> str:
    """The text of an element that holds data."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    assert found
    return found[1]


def embedded(page: str) -> dict[str, Any]:
    """The map with the tables, and the heads with all that is drawn of them."""
    data: dict[str, Any] = json.loads(part(page, "overview")) | json.loads(part(page, "tables"))
    for head, line in zip(data["heads"], filter(None, part(page, "heads").split("\n")), strict=True):
        head |= json.loads(line)
    return data


@pytest.fixture(scope="module")
def page() -> str:
    return render(model(30, 9, 3), heads(30, 9, missing=frozenset({(3, 4)})))


@pytest.fixture(scope="module")
def attacked() -> str:
    return render(attack_model(), attack_heads())


def test_header_says_the_models_figures_and_counts(page: str) -> None:
    counts = {"described": 0, "unclear": 0, "failed": 0}
    for one in embedded(page)["heads"]:
        counts[one["state"]] += 1
    assert "SmolLM2-135M" in page
    assert "49,152" in page
    assert "<b>269</b> of\n      270 heads extracted" in page
    for state, count in counts.items():
        assert f'<li data-state="{state}"><b>{count}</b> {state}</li>' in page


def test_data_survive_the_round_trip() -> None:
    original = heads(2, 3)
    data = embedded(render(model(2, 3, 3), list(reversed(original))))
    for before, after in zip(original, data["heads"], strict=True):
        assert (before["layer"], before["head"]) == (after["layer"], after["head"])
        for salient, row in zip(before["salient"], after["rows"], strict=True):
            assert data["tokens"][row[0]] == salient["token"]
            assert data["token_ids"][row[0]] == salient["token_id"]
            assert row[1] == pytest.approx(salient["saliency"], rel=1e-3)
            for target, token, logit in zip(salient["targets"], row[2::2], row[3::2], strict=True):
                assert data["tokens"][token] == target["token"]
                assert logit == pytest.approx(target["logit"], rel=1e-3)
        assert len(after["descriptions"]) == len(before["descriptions"])
        of_llm = {data["shared"][packed["llm"]]: packed for packed in after["descriptions"]}
        for made in before["descriptions"]:
            packed = of_llm[made["llm"]]
            assert packed["pattern"] == made["pattern"]
            assert data["shared"][packed["llm"]] == made["llm"]
        provenance = {key: data["shared"][i] for key, i in after["provenance"].items()}
        assert provenance == before["provenance"]


def test_what_running_the_model_showed_is_embedded() -> None:
    checked, other = embedded(render(model(1, 2, 2), heads(1, 2)))["heads"]
    assert checked["inference"] == [0.75, 0.125]
    assert checked["relations"]["copying"][2:] == [0.75, 0.125]
    assert other["inference"] == []
    assert [len(values) for values in other["relations"].values()] == [2, 2, 2]


def test_tokens_and_repeated_values_are_embedded_once(page: str) -> None:
    data = embedded(page)
    pairs = list(zip(data["token_ids"], data["tokens"], strict=True))
    assert len(pairs) == len(set(pairs))
    assert page.count('"torch"') == 1


def test_a_head_takes_the_best_state_of_its_descriptions() -> None:
    blank: dict[str, Any] = {"inputs": None, "pattern": None, "unclear": False, "reasoning": None}
    blank |= {"llm": "m", "prompt": "p", "role": None, "failure": None, "scores": {}, "provenance": {"described": ""}}
    described = blank | {"pattern": "x"}
    unclear = blank | {"unclear": True}
    failed = blank | {"failure": "timeout"}
    made = heads(1, 5, llms=())
    for one, descriptions in zip(
        made,
        [[], [failed], [failed, unclear], [unclear, failed, described], [unclear]],
        strict=True,
    ):
        one["descriptions"] = descriptions
    states = [one["state"] for one in embedded(render(model(1, 5, 5), made))["heads"]]
    assert states == ["none", "failed", "unclear", "described", "unclear"]


def test_figures_of_a_head() -> None:
    def token(token_id: int) -> dict[str, Any]:
        return {"token_id": token_id, "token": f"t{token_id}"}

    (one,) = heads(1, 1)
    one["salient"] = [
        token(i) | {"saliency": saliency, "targets": [token(target) | {"logit": logit}], "suppressed": []}
        for i, (saliency, target, logit) in enumerate([(3.0, 7, 2.0), (2.0, 7, 4.0), (1.0, 8, 6.0), (0.5, 7, 8.0)])
    ]
    assert embedded(render(model(1, 1, 1), [one]))["heads"][0]["figures"] == [3.0, 5.0, 0.5]


def test_numbers_that_json_lacks_become_null_or_text() -> None:
    (one,) = heads(1, 1)
    one["salient"][0]["saliency"] = float("nan")
    one["relations"] = {"copying": {"score": float("inf"), "suppression": 0.5}}
    one["provenance"]["extraction"] = {"limit": float("inf")}
    data = embedded(render(model(1, 1, 1), [one]))
    assert data["heads"][0]["rows"][0][1] is None
    assert data["heads"][0]["relations"] == {"copying": [None, 0.5]}
    assert data["shared"][data["heads"][0]["provenance"]["extraction"]] == {"limit": "inf"}


def test_empty_catalog_and_head_without_rows() -> None:
    assert embedded(render(model(2, 2, 1), []))["heads"] == []
    (one,) = heads(1, 1)
    one["salient"] = []
    assert embedded(render(model(1, 1, 1), [one]))["heads"][0]["figures"] == [None, None, None]


def test_wrong_heads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"head 1\.0 is outside"):
        render(model(1, 1, 1), heads(2, 1))
    with pytest.raises(ValueError, match=r"head 0\.0 occurs twice"):
        render(model(1, 1, 1), heads(1, 1) * 2)
    with pytest.raises(TypeError, match="family"):
        render({key: value for key, value in model(1, 1, 1).items() if key != "family"}, [])


def test_policy_allows_exactly_the_pages_style_and_script(page: str) -> None:
    (policy,) = (
        attrs["content"] for tag, attrs in Page(page).tags
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )  # fmt: skip
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_page_loads_nothing_and_has_no_inline_handlers(page: str) -> None:
    for _, attrs in Page(page).tags:
        assert not {"src", "href", "style", "srcset", "action"} & attrs.keys()
        assert not any(name.startswith("on") for name in attrs)
    style_and_script = "".join(re.findall(r"<(?:style|script)>(.*?)</", page, re.S))
    for forbidden in (
        "innerHTML",
        "insertAdjacent",
        "outerHTML",
        "document.write",
        "eval(",
        "url(",
        "@import",
        "//cdn",
        "http",
    ):
        assert forbidden not in style_and_script


def test_attacks_add_no_element_and_come_back_exactly(page: str, attacked: str) -> None:
    assert [tag for tag, _ in Page(attacked).tags] == [tag for tag, _ in Page(page).tags]
    data = embedded(attacked)
    assert set(ATTACKS) <= set(data["tokens"])
    assert [d["pattern"] for d in data["heads"][0]["descriptions"]][: len(ATTACKS)] == ATTACKS


def test_page_source_has_no_hidden_characters(attacked: str) -> None:
    attacked.encode()  # lone surrogates would fail
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]", attacked)
    for name in ("overview", "tables", "heads", "words"):
        assert not re.search("[<>&]", part(attacked, name))


def test_same_input_gives_the_same_page(page: str) -> None:
    assert render(model(30, 9, 3), heads(30, 9, missing=frozenset({(3, 4)}))) == page
