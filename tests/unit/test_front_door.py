"""What stands before Streamlit: messages, frames, crowds, origins and the owner's token, without a server."""

from __future__ import annotations

import os
import struct

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState

from app.front_door.crowd import Crowd
from app.front_door.frames import Frames
from app.front_door.messages import LARGEST, LARGEST_OF_VISITORS, Conversation
from app.front_door.ownership import Ownership
from app.front_door.policy import is_own_origin, origin_of, security_headers
from app.front_door.visits import OWNER, Visits
from app.runs import command_line
from describe.errors import InputError
from describe.records import HeadId, parse_heads


def rerun(query: str = "", **widgets: str) -> bytes:
    message = BackMsg(rerun_script=ClientState(query_string=query, page_name="runs"))
    for name, value in widgets.items():
        message.rerun_script.widget_states.widgets.add(id=name, string_value=value)
    return message.SerializeToString()


def frame(payload: bytes, operation: int = 2, final: bool = True) -> bytes:
    """A client's frame, masked as all are."""
    size = len(payload)
    length = bytes([size | 0x80]) if size < 126 else b"\xfe" + struct.pack("!H", size) if size < 65_536 else b""
    length = length or b"\xff" + struct.pack("!Q", size)
    return bytes([operation | (0x80 if final else 0)]) + length + b"\0\0\0\0" + payload


# -- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named", ["clear_cache", "set_run_on_save", "load_git_info", "debug_disconnect_websocket", "debug_shutdown_runtime"]
)
def test_what_pages_never_send_is_passed_over(named: str) -> None:
    assert Conversation().heard(BackMsg(**{named: True}).SerializeToString(), owner=True) is None


def test_uploads_and_installations_are_passed_over_and_the_owners_downloads_are_not() -> None:
    talk, upload, install, download = Conversation(), BackMsg(), BackMsg(), BackMsg()
    upload.file_urls_request.file_names.append("x")
    install.backend_operation_request.install_skills.SetInParent()
    download.backend_operation_request.deferred_file.file_id = "f"
    for message in (upload, install):
        assert talk.heard(message.SerializeToString(), owner=True) is None
    assert talk.heard(download.SerializeToString(), owner=False) is None
    assert talk.heard(download.SerializeToString(), owner=True) == download.SerializeToString()


@pytest.mark.parametrize("named", ["app_heartbeat", "stop_script"])
def test_what_pages_send_is_passed_on(named: str) -> None:
    data = BackMsg(**{named: True}).SerializeToString()
    assert Conversation().heard(data, owner=False) == data
    assert Conversation().heard(rerun("code=X", a="b"), owner=False) == rerun("code=X", a="b")


@pytest.mark.parametrize(
    "large", [rerun(a="x" * LARGEST_OF_VISITORS), rerun("x" * 5000), rerun(**{f"w{n}": "" for n in range(301)}), b""]
)
def test_for_what_is_too_large_the_page_is_drawn_again_as_it_was(large: bytes) -> None:
    talk = Conversation()
    assert talk.heard(rerun("code=X", a="b"), owner=False)
    assert talk.heard(large, owner=False) == rerun("code=X")


def test_the_owner_may_say_more_but_not_everything() -> None:
    long = rerun(a="x" * LARGEST_OF_VISITORS)
    assert Conversation().heard(long, owner=True) == long
    assert len(Conversation().heard(rerun(a="x" * LARGEST), owner=True) or b"") < 20


def test_what_is_no_message_is_an_error() -> None:
    with pytest.raises(ValueError, match="no message"):
        Conversation().heard(b"\xff\xff\xff", owner=True)


# -- frames ----------------------------------------------------------------------------------------------------------


def test_frames_pass_unchanged_however_they_are_cut_up() -> None:
    sent = frame(b"a" * 10) + frame(b"", 9) + frame(b"b" * 300, final=False) + frame(b"p", 9) + frame(b"c" * 99, 0)
    for step in (1, 2, 7, len(sent)):
        frames = Frames(1000)
        assert b"".join(p for n in range(0, len(sent), step) for p in frames.read(sent[n : n + step])) == sent


def test_large_messages_arrive_as_empty_ones_and_nothing_of_them_is_kept() -> None:
    frames = Frames(1000)
    after = frame(b"next") + frame(b"\x03\xe8", 8)
    passed = b"".join(frames.read(frame(os.urandom(70_000)) + after))
    assert passed == frame(b"") + after
    assert not frames.cut, "the next message is whole"
    parts = frame(b"a" * 600, final=False), frame(b"b" * 600, 0, False), frame(b"p", 9), frame(b"c" * 5, 0)
    passed = b"".join(frames.read(b"".join(parts)))
    assert passed == parts[0] + frame(b"", 0, False) + parts[2] + frame(b"", 0)
    assert frames.cut


# -- crowds ----------------------------------------------------------------------------------------------------------


def test_a_crowd_of_one_address_keeps_no_other_out() -> None:
    crowd: Crowd[str] = Crowd(3)
    assert [crowd.enter(name, "street") for name in "ab"] == [None, None]
    assert crowd.enter("c", "house") is None
    assert crowd.enter("a", "street") is None, "heard of again"
    assert crowd.enter("d", "street") == "b", "who has been silent for longest"
    assert crowd.enter("e", "field") == "a"
    crowd.left("c")
    assert len(crowd) == 2


def test_strangers_leave_for_strangers_and_raters_for_nobody() -> None:
    visits, gone = Visits(strangers=2, of_an_account=2), []
    first, *others = [visits.arrive("a", lambda n=n: gone.append(n)) for n in range(2)]
    visits.known(first.id, "rater 1")
    others += [visits.arrive("a", lambda n=n: gone.append(n)) for n in range(2, 5)]
    assert gone == [1, 2]
    visits.known(others[-1].id, "rater 1")
    visits.known(others[-2].id, "rater 1")
    assert gone == [1, 2, 0], "one code has room of its own"
    visits.known("of nobody", OWNER)
    for visit in (first, *others):
        visits.depart(visit)
    visits.heard(first)
    assert not visits._accounts
    assert not len(visits._strangers)


# -- whose pages, and who is the owner ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://localhost:8501", "localhost:8501", True),
        ("https://study.example.org", "study.example.org", True),
        ("https://study.example.org", "STUDY.example.org:443", True),
        ("http://[::1]:8501", "[::1]:8501", True),
        ("https://public.example.org", "127.0.0.1:8501", True),
        ("http://localhost:9999", "localhost:8501", False),
        ("http://localhost", "localhost:8501", False),
        ("http://0.0.0.0:9999", "127.0.0.1:8501", False),
        ("http://evil.example", "localhost:8501", False),
        ("http://localhost:8501.evil.example", "localhost:8501", False),
        ("http://public.example.org", "127.0.0.1:8501", False),
        ("null", "localhost:8501", False),
        ("null", "", False),
        ("", "", False),
        ("http://", "", False),
        ("http://localhost:99999", "localhost:99999", False),
    ],
)
def test_only_our_own_pages_may_connect(origin: str, host: str, own: bool) -> None:
    assert is_own_origin(origin, host, "https://public.example.org") is own


def test_origins_are_written_as_browsers_do() -> None:
    assert origin_of("https://Study.example.org:443/x?y") == "https://study.example.org"
    assert origin_of("ftp://study.example.org") == origin_of("study.example.org") == origin_of("") == ""


def test_no_page_is_framed_and_no_script_but_streamlits_runs() -> None:
    headers = dict(security_headers())
    policy = headers[b"content-security-policy"].decode()
    assert "frame-ancestors 'none'" in policy
    (scripts,) = [rule for rule in policy.split("; ") if rule.startswith("script-src")]
    assert "unsafe-inline" not in scripts
    assert "http" not in policy
    assert headers[b"referrer-policy"] == b"no-referrer"


def test_the_token_its_ticket_and_its_cookie() -> None:
    mine = Ownership(port=8501)
    ticket = mine.ticket()
    assert mine.admits(mine.token)
    assert mine.admits(ticket)
    assert not mine.admits(ticket), "once"
    assert not mine.admits("")
    assert mine.keeps(mine.cookie)
    assert not mine.keeps(mine.token)
    assert not mine.admits(mine.cookie)
    assert mine.token != Ownership().token
    assert Ownership("sixteen signs!!!").cookie == Ownership("sixteen signs!!!").cookie, "of all servers of one app"
    with pytest.raises(InputError, match="at least 16"):
        Ownership("short")


# -- what runs are begun with ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        ("m" * 501, {}, "model has more than 500"),
        ("demo", {"heads": "1" * 131_072}, "heads has more than 500"),
        ("demo", {"heads": "0\0"}, "heads has a character"),
        ("a\nb", {}, "model has a character"),
        ("demo", {"only": "\x1b[31m"}, "only has a character"),
        ("demo", {"budget": float("nan")}, "budget is not a number"),
        ("demo", {"budget": float("inf")}, "budget is not a number"),
        ("--device", {}, "name a model"),
    ],
)
def test_fields_of_a_run_are_looked_at_before_there_is_one(model: str, options: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        command_line("extract", model, options)


def test_heads_have_numbers_that_databases_know() -> None:
    for text in ("9" * 20 + ".0", "0." + "9" * 5000, "٣.0", "-1.0", "1e400.0"):
        with pytest.raises(InputError, match="is not a head"):
            HeadId.parse(text)
    with pytest.raises(InputError, match="selects no heads"):
        parse_heads("0-" + "9" * 5000, 2, 2)
