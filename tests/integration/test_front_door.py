"""The app's server as strangers find it: over real sockets, what it refuses and who keeps their place."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from annotations.design import new_study
from annotations.storage import invite
from app.front_door.server import REQUESTS
from app.front_door.visits import STRANGERS
from describe.catalog import Catalogue
from tests.browser.test_rating import TOKEN, serving
from tests.study_samples import described_catalogue, design


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("door") / "c.db"


@pytest.fixture(scope="module")
def code(place: Path) -> str:
    """The code of a rater."""
    with described_catalogue(place, 2, 2) as catalogue:
        return invite(catalogue, new_study(catalogue, design(heads="sample:2")), 1)[0].code


@pytest.fixture(scope="module")
def port(place: Path, code: str, program: Path) -> Iterator[int]:
    with Catalogue(str(place)) as catalogue, serving(program, catalogue) as address:
        yield int(urlsplit(address).port or 0)


def page(port: int, origin: str | None = None, **headers: str) -> ClientConnection:
    """The connection that a page makes."""
    return connect(
        f"ws://127.0.0.1:{port}/_stcore/stream",
        origin=origin,  # type: ignore[arg-type]
        additional_headers=headers,
        subprotocols=["streamlit"],  # type: ignore[list-item]
        max_size=None,
        proxy=None,
    )


def drawn(connection: ClientConnection, query: str = "", message: bytes | None = None) -> str:
    """All that the page shows, once it is drawn; ``message`` in place of the page's own."""
    state = BackMsg(rerun_script=ClientState(query_string=query))
    connection.send(state.SerializeToString() if message is None else message)
    shown = ""
    while True:
        told = ForwardMsg.FromString(connection.recv(timeout=60))  # type: ignore[arg-type]
        if told.WhichOneof("type") == "script_finished" and told.script_finished != 2:
            return shown
        shown += str(told)


def closed(connection: ClientConnection) -> bool:
    """Whether the server closes a connection, whatever it says before."""
    with suppress(ConnectionClosed):
        while True:
            connection.recv(timeout=30)
    return True


def answered(port: int, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    asked.request(method, path, headers=headers)
    answer = asked.getresponse()
    answer.read()
    asked.close()
    return answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/_stcore/upload_file/a/b", 405),
        ("POST", "/_stcore/agent/interact", 405),
        ("DELETE", "/", 405),
        ("GET", "/_stcore/metrics", 404),
        ("GET", "/_stcore/%6detrics", 404),
        ("GET", "/_stcore/agent/openapi.json", 404),
        ("GET", "/component/x/index.html", 404),
        ("GET", "/_stcore/health", 200),
        ("GET", "/", 200),
        ("GET", "/head", 200),
    ],
)
def test_only_what_pages_need_is_answered(port: int, method: str, path: str, status: int) -> None:
    answer = answered(port, method, path)
    assert answer.status == status
    assert "frame-ancestors 'none'" in (answer.getheader("content-security-policy") or "")


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:9999", "null"])
def test_pages_of_others_cannot_connect(port: int, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        page(port, origin)
    assert refused.value.response.status_code == 403


def test_the_owner_is_who_has_the_link(port: int) -> None:
    with page(port) as stranger:
        assert "Your personal code" in drawn(stranger)
        assert "The map of all heads" in drawn(stranger, f"token={TOKEN}")
    wrong = answered(port, "GET", "/runs?do=extract&token=wrong")
    assert (wrong.status, wrong.getheader("location")) == (303, "/runs?do=extract")
    assert "set-cookie" not in wrong.headers
    right = answered(port, "GET", "//evil.example/?token=" + TOKEN.replace(" ", "+"))
    assert (right.status, right.getheader("location")) == (303, "/evil.example/")
    cookie = str(right.getheader("set-cookie"))
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    with page(port, f"http://127.0.0.1:{port}", Cookie=cookie.partition(";")[0]) as owner:
        assert "The map of all heads" in drawn(owner)
    with page(port, Cookie=cookie.partition("=")[0] + "=x") as other:
        assert "Your personal code" in drawn(other)


def test_a_message_of_megabytes_is_read_past_and_the_page_drawn_again(port: int, code: str) -> None:
    with page(port) as rater:
        first = drawn(rater, f"code={code}")
        assert "I have read this" in first
        assert "I have read this" in drawn(rater, message=b"\xff" * 3_000_000)
        rater.send(BackMsg(clear_cache=True).SerializeToString())
        assert "I have read this" in drawn(rater, f"code={code}")
        rater.send("text")
        assert closed(rater)


def test_strangers_take_no_raters_place(port: int, code: str) -> None:
    with page(port) as rater, ExitStack() as stack:
        drawn(rater, f"code={code}")
        strangers = [stack.enter_context(page(port)) for _ in range(STRANGERS + 3)]
        assert all(map(closed, strangers[:3]))
        assert "Your personal code" in drawn(strangers[-1])
        assert "I have read this" in drawn(rater, f"code={code}")


def test_connections_that_say_nothing_make_room(port: int) -> None:
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(REQUESTS + 20)]
    assert answered(port, "GET", "/_stcore/health").status == 200
    silent[0].settimeout(30)
    with suppress(ConnectionResetError):
        assert silent[0].recv(1) == b""
    for one in silent:
        one.close()
