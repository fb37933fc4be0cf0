"""The form for a new run: what, of which model, how; for what costs money the plan, a budget and a yes before it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.runs import LONGEST_FIELD, command_line, known_describers, known_models, plan, start
from app.web.drawing import notice, table
from app.web.shared import catalogue, where
from describe.errors import InputError
from describe.labelling import DEFAULT_PROMPT, template_names
from describe.llm import LLM, parse_llm
from describe.providers import CHOICES

__all__ = ["COMMANDS", "new_run"]


@dataclass(frozen=True)
class Kind:
    """A command that can be started: how it is called here, what it does, and which options it has."""

    label: str
    words: str
    options: tuple[str, ...]


COMMANDS = {
    "extract": Kind("Extract", "Reads the salient mappings of heads from the weights.", ("heads", "device")),
    "describe": Kind("Describe", "Says in words what heads do. Extracts first what is missing.", ("heads", "device")),
    "score": Kind(
        "Score", "Judges descriptions on rows that their authors never saw, beside wrong ones.", ("heads", "judge")
    ),
    "roles": Kind("Roles", "Splits what a head does into groups of rows that do one thing.", ("heads", "device")),
    "relations": Kind("Operations", "Scores how strongly every head implements each operation.", ("device",)),
    "attend": Kind("Attend", "Runs text: where does every head look? Minutes.", ("device",)),
    "correlate": Kind(
        "Correlate", "Runs prompts: do heads write what their weights say? Minutes.", ("pairs", "device")
    ),
    "ablate": Kind("Ablate", "Runs tasks with heads removed: is the ability lost? Minutes.", ("only", "device")),
}


def new_run() -> None:
    """Draw the form, and start what it says."""
    asked = st.query_params.get("do")
    names = list(COMMANDS)
    command = st.segmented_control(
        "Start",
        names,
        default=asked if asked in names else names[0],
        format_func=lambda name: COMMANDS[name].label,
        required=True,
        key="run-command",
    )
    kind = COMMANDS[command]
    st.caption(kind.words)
    first, *columns = st.columns([3, *(1 for _ in kind.options)], gap="medium")
    _offer(first, "run-model", "Models that are known", known_models(catalogue()))
    model = first.text_input(
        "Model",
        st.query_params.get("model", "")[:LONGEST_FIELD],
        max_chars=LONGEST_FIELD + 1,
        key="run-model",
        placeholder="demo, a directory or .gguf file on the server, or a Hugging Face hub id",
    )
    options: dict[str, Any] = {}
    for name, column in zip(kind.options, columns, strict=True):
        with column:
            given = _FIELDS[name]()
        options[name] = None if given in ("all", "auto") else given  # what the command does by itself
    try:
        if command == "describe":
            _describe(model, options)
        elif st.button("Start", type="primary", key="run-start"):
            _start(command_line(command, model, options))
    except InputError as error:
        notice(str(error), "bad")


def _offer(place: DeltaGenerator, field: str, words: str, known: Sequence[str]) -> None:
    """A choice among what is known, which fills in a field; anything else can be written there."""

    def fill() -> None:
        chosen = st.session_state[f"{field}-known"]
        if chosen is not None:
            st.session_state[field] = chosen

    place.selectbox(
        words, known, index=None, key=f"{field}-known", on_change=fill, placeholder="choose, or write below"
    )


def _start(arguments: list[str]) -> None:
    start(catalogue(), where(), arguments)
    st.session_state.pop("run-plan", None)
    st.rerun()


_FIELDS: dict[str, Callable[[], Any]] = {
    "heads": lambda: st.text_input(
        "Heads", "all", max_chars=LONGEST_FIELD + 1, key="run-heads", help="all; heads such as 25.0,16.8; layers 20-25"
    ),
    "device": lambda: st.selectbox("Device", ["auto", "cpu", "cuda", "mps"], key="run-device"),
    "judge": lambda: st.selectbox(
        "Judge",
        ["statistics"],
        key="run-judge",
        disabled=True,
        help="LLMs judge from the command line, where a budget is set: headscribe score MODEL --judge LLM --budget USD",
    ),
    "pairs": lambda: st.number_input(
        "Pairs of each operation", 30, 100_000, None, key="run-pairs", placeholder="all", help="a sample is quicker"
    ),
    "only": lambda: st.text_input(
        "Operations",
        max_chars=LONGEST_FIELD + 1,
        key="run-only",
        placeholder="all that can be tested",
        help="names with commas",
    ),
}
"""How each option is asked for."""


def _describe(model: str, options: dict[str, Any]) -> None:
    _offer(st.container(width=600), "run-llm", "Describers that are known", known_describers(catalogue()))
    named = st.text_input(
        "By whom",
        "statistics",
        key="run-llm",
        max_chars=LONGEST_FIELD + 1,
        help=f"{CHOICES}; variables are those of this app's environment",
        width=600,
    )
    llm = parse_llm(named.strip())
    options = options | {"llm": str(llm)}
    if not llm.kind.asks:
        if st.button("Start", type="primary", key="run-start"):
            _start(command_line("describe", model, options))
        return
    options |= _asking(llm)
    arguments = command_line("describe", model or "-", options) if model else []
    if st.button("Show the plan", key="run-ask", disabled=not arguments):
        with st.spinner("Planning …"):
            st.session_state["run-plan"] = (_priceless(arguments), plan(where(), arguments))
    planned = st.session_state.get("run-plan")
    if planned and arguments and planned[0] == _priceless(arguments):
        _confirm(llm, arguments, planned[1], options["budget"])


def _priceless(arguments: list[str]) -> list[str]:
    """Settings that a plan depends on: all but the budget."""
    return [argument for argument in arguments if not argument.startswith("--budget=")]


def _asking(llm: LLM) -> dict[str, Any]:
    """How an LLM is asked. Keys are the server's own affair: there is no field for one."""
    one, two, three = st.columns(3)
    names = template_names()
    found: dict[str, Any] = {
        "prompt": one.selectbox("Prompt", names, index=names.index(DEFAULT_PROMPT), key="run-prompt"),
        "budget": None,
    }
    if llm.kind.paid:
        found["budget"] = two.number_input("Budget in US \\$", 0.0, None, None, 0.5, key="run-budget")
        key, address = llm.kind.key or "", llm.kind.address or ""
        state = "is set" if os.environ.get(key) else "is not set"
        base = "stands for a server of its own" if os.environ.get(address) else "is not set"
        st.caption(f"In this app's environment {key} {state}, {address} {base}.")
    found["retry-failed"] = three.checkbox("Ask again about heads that failed", key="run-retry")
    with st.expander("More settings"):
        columns = st.columns(4)
        fields: tuple[tuple[str, str, float, Any, str], ...] = (
            ("concurrency", "Heads at once", 1, 1, str(llm.kind.concurrency)),
            ("rpm", "Requests per minute", 1.0, 10.0, "what the server says"),
            ("tpm", "Tokens per minute", 1.0, 1000.0, "what the server says"),
            ("max-tokens", "Longest reply in tokens", 16, 256, "2048"),
            ("price-in", "US \\$ per million tokens in", 0.0, 0.1, "as listed"),
            ("price-out", "US \\$ per million tokens out", 0.0, 0.1, "as listed"),
            ("temperature", "Temperature", 0.0, 0.1, "0"),
            ("seed", "Seed", 0, 1, "0"),
        )
        for number, (name, label, least, step, default) in enumerate(fields):
            found[name] = columns[number % 4].number_input(
                label, least, None, None, step, key=f"run-{name}", placeholder=default
            )
    return found


def _confirm(llm: LLM, arguments: list[str], planned: dict[str, Any], budget: float | None) -> None:
    """The plan, and the button that starts it; where it costs money, only with a budget and a yes."""
    st.html(table(("plan", ""), _plan_rows(planned)))
    if not planned["heads"]:
        return notice("There is nothing to ask: all these heads have an outcome.", "well")
    agreed = True
    if llm.kind.paid:
        if planned["price"] is None:
            return notice("The price is not known: give both prices under More settings; 0 for a server of your own.")
        if budget is None:
            return notice("Give a budget: the run stops before the call that could pass it.")
        agreed = st.checkbox(f"This may spend up to \\${budget:g}", key=f"run-agreed-{budget:g}")
    if st.button("Start", type="primary", key="run-start", disabled=not agreed):
        _start(arguments)


def _plan_rows(planned: dict[str, Any]) -> list[tuple[str, str]]:
    heads, ready = len(planned["heads"]), len(planned["prompts"])
    money = "not known" if planned["money"] is None else f"about ${planned['money']:.4f} ({planned['price']['source']})"
    waiting = f"; {planned['in_batches']} more wait in batches" if planned["in_batches"] else ""
    return [
        ("heads", f"{heads:,}, of which {heads - ready:,} are to be extracted first{waiting}"),
        ("placebos", f"{planned.get('placebos', 0):,} heads that do nothing besides, as a control"),
        ("tokens", f"about {planned['tokens_in']:,} in, {planned['tokens_out']:,} out"),
        ("money", money),
        ("time", f"about {timedelta(seconds=round(planned['seconds']))}"),
    ]
