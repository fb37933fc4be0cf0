"""The HTML page of a model, and the site of a catalogue: self-contained files that open anywhere, without a network.

Every token and every description is untrusted text. The data travel as JSON inside a script
element that browsers do not run, the scripts put them into the document as text only,
and each page's Content-Security-Policy lets nothing run but these very scripts.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from describe.errors import InputError
from describe.export import Parts
from describe.export.dataset import model_file_name
from describe.export.html.data import Packed, PackedModel, pack, summary, to_json
from describe.export.html.overview import Overview
from describe.head_record import STATES, HeadRecord
from describe.records import ModelInfo
from describe.versions import headscribe_version

__all__ = ["App", "render_index", "render_map", "render_page", "write_file", "write_folder"]

HERE = Path(__file__).parent

# Characters that are invisible, reorder their surroundings, or have no encoding.
_HIDDEN = "\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"


def _escapes(characters: str) -> dict[int, str]:
    """The escapes of a class of characters, such as ``a-z``, for `str.translate`."""
    found = re.findall(f"[{characters}]", "".join(map(chr, range(0x10000))))
    return {ord(character): f"\\u{ord(character):04x}" for character in found}


_IN_SCRIPTS, _IN_TEXT = _escapes(f"<>&{_HIDDEN}"), _escapes(f"\x00-\x1f{_HIDDEN}")


SHARED = ("text.js", "words.js")
"""Scripts of every page."""

MODEL_PAGE = (*SHARED, "parts.js", "head.js", "operations.js", "map.js", "listing.js", "page.js")
"""Scripts of the page of a model, in the order in which they need each other."""

LARGE, OF_A_BLOCK = 4_000_000, 64
"""Characters of heads from which on they are embedded compressed, and how many are compressed together."""


def write_file(parts: Parts, path: Path) -> None:
    """Write one page of one model: no server, nothing from outside. Raises `InputError` for several models."""
    (model, heads), *others = parts
    if others:
        raise InputError("one page shows one model: name one, or a folder for a site of them all")
    page = render_page(model, heads, generated=_now(), version=headscribe_version())
    path.write_text(page, encoding="utf-8", errors="backslashreplace")


def render_page(model: ModelInfo, heads: Iterable[HeadRecord], *, generated: str, version: str) -> str:
    """Return the complete HTML text of the page for `model` and its extracted `heads`."""
    return _page(model, pack(model, heads), generated, version)


def write_folder(parts: Parts, folder: Path, licence: str | None = None) -> None:
    """Write a page for each model, and ``index.html`` that lists them and searches all their heads."""
    generated, version = _now(), headscribe_version()
    models = []
    for model, heads in parts:
        packed = pack(model, heads)
        name = f"{model_file_name(model, folder, '.html')}.html"
        page = _page(model, packed, generated, version, home="index.html")
        (folder / name).write_text(page, encoding="utf-8", errors="backslashreplace")
        models.append(summary(model, name, packed))
    index = render_index(models, _embedded("data", models), generated=generated, version=version)
    (folder / "index.html").write_text(index, encoding="utf-8", errors="backslashreplace")


def render_index(
    models: list[Packed], parts: Markup, *, generated: str, version: str, app: App | None = None, trouble: str = ""
) -> str:
    """Return the page that lists models, each as `summary` tells of it, and searches them; ``trouble``: what is wrong
    with the address that was asked for."""
    frame = _Frame(generated, version, app)
    return _render("index.html.jinja", (*SHARED, "index.js"), parts, frame, models=models, trouble=trouble)


def render_map(
    model: ModelInfo, map_: Overview, parts: Markup, *, generated: str, version: str, app: App | None, home: str = ""
) -> str:
    """Return the page of a model whose heads and words lie in ``parts``; or where ``app`` says, to be asked for."""
    counts = Counter(head["state"] for head in map_["heads"])
    return _render(
        "page.html.jinja",
        MODEL_PAGE,
        _element("overview", to_json(map_).translate(_IN_SCRIPTS)) + parts,
        _Frame(generated, version, app),
        model=model,
        counts={state: counts[state] for state in STATES},
        home=home,
    )


@dataclass(frozen=True, slots=True)
class App:
    """The app that serves a page.

    Attributes:
        pages: its other pages, by the addresses that lead to them.
        parts: where heads and searches are asked for.
        leave: the address by which one signs out; empty where nobody signed in.
    """

    pages: Mapping[str, str]
    parts: str
    leave: str = ""


def _page(model: ModelInfo, packed: PackedModel, generated: str, version: str, home: str = "") -> str:
    parts = _embedded("tables", packed.tables) + _heads(packed.heads) + _embedded("words", packed.words)
    return render_map(model, packed.overview, parts, generated=generated, version=version, app=None, home=home)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The frame of every page: when and by which version it was made, and the app that serves it, if one does."""

    generated: str
    version: str
    app: App | None


def _render(template: str, scripts: Iterable[str], parts: Markup, frame: _Frame, **context: object) -> str:
    """Return a page that embeds the style, these scripts and the data, and lets nothing else run."""
    css, js = _style_and_script(tuple(scripts))
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["visible"] = _visible
    return environment.get_template(template).render(
        policy=_policy(css, js, served=frame.app is not None),
        css=Markup(css),  # noqa: S704  (ours, not data)
        js=Markup(js),  # noqa: S704
        parts=parts,
        generated=frame.generated,
        version=frame.version,
        app=frame.app,
        **context,
    )


@cache
def _style_and_script(scripts: tuple[str, ...]) -> tuple[str, str]:
    """The style of all pages, and the text of these scripts together."""
    css, *parts = ((HERE / name).read_text("utf-8") for name in ("page.css", *scripts))
    return css, "\n".join(parts)


def _embedded(name: str, data: object) -> Markup:
    """Data in a script element that browsers do not run; compressed where there is much of it."""
    text = to_json(data)
    if len(text) < LARGE:
        return _element(name, text.translate(_IN_SCRIPTS))
    return _element(name, _compressed(text), packed=1)


def _heads(heads: list[str]) -> Markup:
    """The heads, a line of JSON each; of a large model lines of so many heads each, compressed."""
    if sum(map(len, heads)) < LARGE:
        return _element("heads", "\n".join(heads).translate(_IN_SCRIPTS))
    blocks = [_compressed("\n".join(heads[at : at + OF_A_BLOCK])) for at in range(0, len(heads), OF_A_BLOCK)]
    return _element("heads", "\n".join(blocks), packed=OF_A_BLOCK)


def _compressed(text: str) -> str:
    """JSON, compressed; a character that has no encoding becomes the escape that JSON has for it."""
    return base64.b64encode(gzip.compress(text.encode("utf-8", "backslashreplace"), mtime=0)).decode()


def _element(name: str, text: str, packed: int = 0) -> Markup:
    """Text that is escaped for where it stands. ``packed``: how many heads are compressed together."""
    attribute = f' data-packed="{packed}"' if packed else ""
    return Markup(f'<script type="application/json" id="{name}"{attribute}>{text}</script>\n')  # noqa: S704


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _visible(text: object) -> str:
    """Return `text` with the characters that would not show as escapes."""
    return str(text).translate(_IN_TEXT)


def _policy(css: str, js: str, *, served: bool) -> str:
    """Return a Content-Security-Policy that allows exactly this style and this script, and to ask the app for parts."""
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, js))
    asks = "connect-src 'self'; " if served else ""
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; {asks}"
        "base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
