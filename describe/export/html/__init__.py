"""The HTML page of a model, and the site of a catalogue: self-contained files that open anywhere, without a network.

Every token and every description is untrusted text. The data travel as JSON inside a script
element that browsers do not run, the scripts put them into the document as text only,
and each page's Content-Security-Policy lets nothing run but these very scripts.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from describe.errors import InputError
from describe.export import Parts
from describe.export.dataset import model_file_name
from describe.export.html.data import pack, rows_apart, summary, to_json
from describe.head_record import STATES, HeadRecord
from describe.records import ModelInfo
from describe.versions import headscribe_version

__all__ = ["render_page", "write_file", "write_folder"]

HERE = Path(__file__).parent

# Characters that are invisible, reorder their surroundings, or have no encoding.
_HIDDEN = "\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"


def _escapes(characters: str) -> dict[int, str]:
    """The escapes of a class of characters, such as ``a-z``, for `str.translate`."""
    found = re.findall(f"[{characters}]", "".join(map(chr, range(0x10000))))
    return {ord(character): f"\\u{ord(character):04x}" for character in found}


_IN_SCRIPTS, _IN_TEXT = _escapes(f"<>&{_HIDDEN}"), _escapes(f"\x00-\x1f{_HIDDEN}")


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
    """Write a page for each model, and ``index.html`` that lists them and searches all their descriptions."""
    generated, version = _now(), headscribe_version()
    models = []
    for model, heads in parts:
        data = pack(model, heads)
        name = f"{model_file_name(model, folder, '.html')}.html"
        page = _page(model, data, generated, version, home="index.html")
        (folder / name).write_text(page, encoding="utf-8", errors="backslashreplace")
        models.append(summary(model, name, data))
    index = _render(
        "index.html.jinja", ("text.js", "index.js"), models, models=models, generated=generated, version=version
    )
    (folder / "index.html").write_text(index, encoding="utf-8", errors="backslashreplace")


def _page(model: ModelInfo, data: dict[str, Any], generated: str, version: str, home: str = "") -> str:
    counts = Counter(head["state"] for head in data["heads"])
    data, rows = rows_apart(data)
    return _render(
        "page.html.jinja",
        ("text.js", "head.js", "operations.js", "listing.js", "page.js"),
        data,
        rows=Markup(rows),  # noqa: S704  (numbers alone)
        model=model,
        counts={state: counts[state] for state in STATES},
        home=home,
        generated=generated,
        version=version,
    )


def _render(template: str, scripts: Iterable[str], data: Any, **context: Any) -> str:
    """Return a page that embeds the style, these scripts and the data, and lets nothing else run."""
    css, *parts = ((HERE / name).read_text("utf-8") for name in ("page.css", *scripts))
    js = "\n".join(parts)
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["visible"] = _visible
    return environment.get_template(template).render(
        policy=_policy(css, js),
        css=Markup(css),  # noqa: S704  (ours, not data)
        js=Markup(js),  # noqa: S704
        data=Markup(_script_json(data)),  # noqa: S704  (escaped for where it stands)
        **context,
    )


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _script_json(data: Any) -> str:
    """Return `data` as JSON that may stand inside a script element."""
    return to_json(data).translate(_IN_SCRIPTS)


def _visible(text: object) -> str:
    """Return `text` with the characters that would not show as escapes."""
    return str(text).translate(_IN_TEXT)


def _policy(css: str, js: str) -> str:
    """Return a Content-Security-Policy that allows exactly this style and this script."""
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, js))
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
