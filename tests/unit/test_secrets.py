"""`describe.secrets`: whatever a secret is written in, it is in no text that is shown or stored."""

from __future__ import annotations

import base64
import html
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from describe import secrets
from describe.catalog.rows import storable
from describe.errors import CallError, LLMError
from describe.secrets import keep_secret, keep_secrets_of, keep_secrets_of_environment, redacted, shown_url

KEY = "sk-SECRETKEY/0123+456"
PASSWORD = 'pé/"ss&w\\rd<7>'


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins and ends without a secret."""
    monkeypatch.setattr(secrets, "_kept", frozenset())
    yield
    monkeypatch.undo()


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "URL": quote,
    "URL, whole": lambda text: quote(text, safe=""),
    "URL, every byte": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "URL, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON, every letter": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "JSON, a letter": lambda text: f"\\u{ord(text[0]):04X}{json.dumps(text[1:])[1:-1]}",
    "JSON, slashes": lambda text: text.replace("\\", "\\\\").replace("/", "\\/").replace('"', '\\"'),
    "JSON in a URL": lambda text: quote(json.dumps(text)),
    "Python": lambda text: repr(text)[1:-1],
    "HTML": html.escape,
    "HTML, numbers": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "hexadecimal": lambda text: text.encode().hex(),
    "base64": base64_of,
    "base64, of a header": lambda text: base64_of(f"Bearer {text}!"),
    "base64, further on": lambda text: base64_of(f"to {text} and on"),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"a:{text}".encode()).decode(),
    "base64 in a URL": lambda text: quote(base64_of(text)),
}


@pytest.mark.parametrize("way", WRITTEN)
@pytest.mark.parametrize("secret", [KEY, PASSWORD, "ordinary-key"])
def test_a_secret_is_taken_out_however_it_is_written(way: str, secret: str) -> None:
    text = f'before, {WRITTEN[way](secret)} "and" after: 100 % \\n & on'
    assert redacted(text) == text, "nothing is secret yet"
    keep_secret(secret)
    left = redacted(text)
    assert "***" in left
    assert WRITTEN[way](secret) not in left
    for way_back in (str, html.unescape):
        assert secret not in way_back(left)
    if way not in ("URL, twice", "JSON in JSON", "JSON in a URL"):
        assert left.startswith("before, ")
        assert left.endswith(' "and" after: 100 % \\n & on'), "the rest is as it was"


def test_words_are_no_secrets() -> None:
    keep_secret("none")
    keep_secret(" 1234567 ")
    keep_secret(None)
    assert redacted("none of these 1234567 is secret") == "none of these 1234567 is secret"


@pytest.mark.parametrize(
    ("url", "hidden", "shown"),
    [
        ("http://ada:a-secret@h:1/v1", ["a-secret", base64_of("ada:a-secret")], "http://ada:***@h:1/v1"),
        ("https://ada:p%40ssword@h/v1", ["p@ssword", "p%40ssword", base64_of("ada:p@ssword")], "https://ada:***@h/v1"),
        ("https://ada:pw@h/v1", [base64_of("ada:pw")], "https://ada:***@h/v1"),
        ("https://a-long-token@h/v1", ["a-long-token"], "https://***@h/v1"),
        ("http://ada:a-secret@h:port/v1", ["a-secret"], "http://ada:***@h:port/v1"),
        ("https://h/v1?api-key=a-secret&v=2024-10-21", ["a-secret"], "https://h/v1?api-key=***&v=2024-10-21"),
        ("postgresql+psycopg://hs:a-secret@h/d", ["a-secret"], "postgresql+psycopg://hs:***@h/d"),
        ("postgresql://hs:a/se@cret@h/d", ["a/se@cret"], "postgresql://hs:***@h/d"),
        ("postgresql://hs@h/d?password=a-secret", ["a-secret"], "postgresql://hs@h/d?password=***"),
        ("sqlite:////tmp/c.db?password=a-secret", ["a-secret"], "sqlite:////tmp/c.db?password=***"),
        ("some/c.db", [], "some/c.db"),
        ("https://h/v1/@me", [], "https://h/v1/@me"),
        ("postgresql://a_long_name@h/d", [], "postgresql://a_long_name@h/d"),
    ],
)
def test_what_is_secret_in_an_address(url: str, hidden: list[str], shown: str) -> None:
    keep_secrets_of(url)
    for secret in hidden:
        assert redacted(f"<{secret}>") == "<***>"
    assert shown_url(url) == shown
    for word in ("2024-10-21", "a_long_name", "some/c.db"):
        assert redacted(word) == word


def test_the_environment_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_12345678")
    monkeypatch.setenv("https_proxy", "http://proxy:its-secret@127.0.0.1:3128")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer custom-key-1\nX-Title: headscribe")
    keep_secrets_of_environment()
    told = redacted("hf_12345678, its-secret, custom-key-1, Bearer custom-key-1, headscribe")
    assert told == "***, ***, ***, ***, headscribe"


def test_errors_and_what_is_stored_hold_none() -> None:
    keep_secret(KEY)
    assert str(LLMError(f"no {KEY}")) == "no ***"
    assert repr(CallError("bad_request", "no", reply=f"<{KEY}>").reply) == "'<***>'"
    assert storable(f"<{KEY}>\0") == "<***>\\x00"


MISTAKEN = """
import threading
import app.main, app.parameters

def mistaken(**_):
    print("told", KEY)
    thread = threading.Thread(target=lambda: int(KEY))
    thread.start()
    thread.join()
    raise ValueError(KEY)

app.parameters.check_parameters = lambda command: mistaken
app.main.run()
"""


def test_a_mistake_of_ours_is_shown_without_secrets() -> None:
    """What Python prints of an exception, in a thread too, and what somebody prints by himself."""
    code = f"KEY = {KEY!r}\n{MISTAKEN}"
    environment = {**os.environ, "OPENAI_API_KEY": KEY}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "told ***\n")
    assert done.stderr.count("ValueError: ***") == 1
    assert done.stderr.count("invalid literal for int() with base 10: '***'") == 1
    assert KEY not in done.stderr
