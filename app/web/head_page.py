"""Everything known of one head. Its address is permanent: ``/head?model=NAME@HASH8&head=25.0``.

Other heads are reached by buttons: a link of Streamlit's from a page to itself leaves the address as it was.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import streamlit as st

from annotations.heads import judged
from app.web import head_drawing as draw
from app.web.drawing import notice, prose, words_and_name
from app.web.gate import require_reader
from app.web.heads import address, cut, head_address, open_head, split_address
from app.web.shared import catalogue
from describe.errors import CatalogueError, InputError
from describe.head_record import HeadRecord
from describe.readings import PAPER
from describe.records import HeadId, ModelInfo

ALIKE = {
    "by_tokens": "By tokens: the share of salient and promoted tokens that both have",
    "by_description": "By description: the words that both have, the rare ones more",
}


def show() -> None:
    """Draw the page of the head in the address, or say what is wrong with it."""
    require_reader()
    named, written = st.query_params.get("model"), st.query_params.get("head")
    if not (named and written):
        return _nothing("Which head? Choose one on the map or in the table of a model.", "note")
    try:
        name, reading = split_address(named)
        model_id, info = catalogue().find_model(name)
        head, extraction_id = HeadId.parse(written), catalogue().latest_extraction(model_id, reading)
    except (CatalogueError, InputError) as error:
        return _nothing(str(error), "bad")
    model = address(info) + (f":{reading}" if reading else "")
    record = next(catalogue().head_records(info, extraction_id, only=head), None)
    _headline(info, model, head, record)
    if record is None:
        return notice(f"Head {head} of this model is not in the catalogue.", "bad")
    _descriptions(info, head, record)
    _roles(record)
    _attention(record)
    _query_key(record)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _mappings(record)
    with right:
        _findings(record)
    _nearest(model_id, extraction_id, head)
    with st.expander("Provenance"):
        st.html(draw.nested(record.provenance.to_json()))


def _nothing(words: str, kind: str) -> None:
    notice(words, kind)
    st.page_link("browse_page.py", label="To the models")


def _headline(info: ModelInfo, model: str, head: HeadId, record: HeadRecord | None) -> None:
    st.html(f'<div class="hs-title"><h1>Head {head}</h1>{words_and_name("of", cut(model, 200))}</div>')
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        place = head.layer * info.n_heads + head.head
        for step, words in ((-1, "Previous head"), (1, "Next head")):
            there = 0 <= place + step < info.n_layers * info.n_heads
            other = HeadId(*divmod(place + step, info.n_heads)) if there else head
            label = f"{words}, {other}" if there else words
            if st.button(label, key=words, disabled=not there):
                open_head(model, other)
        st.page_link("browse_page.py", label="Map of the model", query_params={"model": model})
        if record is not None:
            if record.neuronpedia:
                st.link_button("At Neuronpedia", record.neuronpedia, help="Its page of the same head")
            file = f"{re.sub(r'[^A-Za-z0-9.-]+', '-', info.name)[:60].strip('-.') or 'head'}-{head}.json"
            written = partial(json.dumps, record.to_json(), ensure_ascii=True, indent=1)
            st.download_button("JSON", written, file, "application/json", on_click="ignore", key="json")
            with st.popover("Link"):
                st.caption("This address stays: it names the model by its content, and the head.")
                st.code((st.context.url or "").partition("?")[0] + _query(model, head), language=None, wrap_lines=True)


def _query(model: str, head: HeadId) -> str:
    from urllib.parse import urlencode

    return "?" + urlencode(head_address(model, head))


def _descriptions(info: ModelInfo, head: HeadId, record: HeadRecord) -> None:
    if not record.descriptions:
        return notice("Nobody has described this head yet: headscribe describe MODEL --llm LLM")
    st.html(draw.cards(record.ranked_descriptions(), judged(catalogue(), info.name, head)))


def _roles(record: HeadRecord) -> None:
    if record.several_roles:
        st.subheader("Roles")
        st.html(draw.roles(record))
    elif record.roles:
        st.caption("Its salient rows make one role.")


def _attention(record: HeadRecord) -> None:
    found = record.attention
    if found is None:
        return
    st.subheader("Where it looks")
    st.html(f'<p class="hs-words">{prose(found.words, 600)}.</p>')
    strongest = [context for context in found.contexts if context.tenth == 0]
    st.html(draw.contexts(strongest))
    for rows, words in (
        ([context for context in found.contexts if context.tenth], "Of every tenth, from the weakest to the strongest"),
        (found.held_out, "Other documents, which no describer sees"),
    ):
        if rows:
            with st.expander(f"{words} ({len(rows)})"):
                st.html(draw.contexts(rows))
    with st.expander("Pairs of tokens, and the figures"):
        st.html(draw.token_pairs(found.pairs) + draw.looks(found))


def _query_key(record: HeadRecord) -> None:
    if record.query_key is not None:
        st.html(f'<p class="hs-words">By its queries and keys: {prose(record.query_key.words, 600)}.</p>')


def _mappings(record: HeadRecord) -> None:
    st.subheader("Salient mappings")
    if record.reading != PAPER:
        st.caption(f"Read by {record.reading.words}.")
    if record.constant is not None:
        st.html(draw.constant(record.constant))
    way = st.segmented_control(
        "The head",
        ["promotes", "suppresses"],
        default="promotes",
        required=True,
        key="way",
        label_visibility="collapsed",
    )
    down = way == "suppresses"
    st.html(draw.mapping(record.salient, "Salient mappings", suppressed=down))
    distinct = (record.suppressing or record.distinct) if down else record.distinct
    if distinct:
        st.caption("By distinctness: how far the strongest target stands out, whatever else the head writes.")
        st.html(draw.mapping(distinct, "Distinct mappings", suppressed=down, figure="distinctness"))
    held_out = record.held_out
    for rows, words in ((held_out.next, "The next most salient tokens"), (held_out.sample, "Tokens drawn at random")):
        if rows:
            with st.expander(f"{words}, which no describer sees ({len(rows)})"):
                st.html(draw.mapping(rows, words, suppressed=down))


def _findings(record: HeadRecord) -> None:
    if record.relations:
        strong = [name for name in record.relations if name in record.implements or name in record.suppresses]
        st.subheader("Operations")
        if strong:
            st.html(draw.operations({name: record.relations[name] for name in strong}))
        else:
            st.caption("It implements none of the operations that were scored.")
        with st.expander(f"All {len(record.relations)} operations"):
            st.html(draw.operations(record.relations))
    if record.figure is not None:
        st.subheader("Beside random heads")
        st.html(draw.figure(record.figure))
    if record.inference is not None:
        st.html(draw.checked(record.inference))
    if record.evidence:
        st.subheader("Evidence")
        st.html(draw.claims(record.evidence))


def _nearest(model_id: int, extraction_id: int, head: HeadId) -> Any:
    st.subheader("Nearest heads")
    found = catalogue().search.nearest(extraction_id, head, limit=4)
    alike = {how: [*found[how]["here"], *found[how]["elsewhere"]] for how in ALIKE}
    if not any(alike.values()):
        return st.caption("No other head shares anything rare with it.")
    for column, (how, every) in zip(st.columns(2, gap="large"), alike.items(), strict=True):
        with column:
            st.caption(ALIKE[how] if every else f"{ALIKE[how]}: none")
            for one in every:
                _near(how, one, model_id)


def _near(how: str, one: dict[str, Any], model_id: int) -> None:
    place = HeadId(one["layer"], one["head"])
    link, told = st.columns([1, 9], gap="xsmall")
    if link.button(str(place), key=f"{how}-{one['extraction_id']}-{place}", type="tertiary"):
        open_head(one["model"], place)
    told.html(draw.near(one, one["model"] if one["model_id"] != model_id else None))


show()
