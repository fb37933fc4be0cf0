"""The web app's pages as Streamlit runs them, without a browser: who gets in, what is asked of the database."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from sqlalchemy import event, update
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from annotations.access import code_hash, set_password
from annotations.design import new_study
from annotations.export import events
from annotations.frame import ratings
from annotations.rating import RatingDesk
from annotations.records import Invitation, Row, Study
from annotations.recruiting import Recruiting, recruit
from annotations.schema import study_place
from annotations.status import status
from annotations.storage import find_study, invite, revoke, stop
from app.addresses import READ_ONLY, is_loopback, network_of
from app.browsing.route import Browsing
from app.front_door.ownership import TOKEN_PARAMETER, ownership
from app.main import main
from app.serving import SCRIPT
from app.web import gate, shared
from app.web.drawing import description, mapping_table, token
from app.web.questions import mistaken_keys
from app.web.shared import desk as shared_desk
from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from describe.catalog.rows import now
from tests.check_samples import NAMES, add_checks, add_model
from tests.study_samples import answer, described_catalogue, design, let_in, rate_all

PASSWORD = "correct horse battery"


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    """A catalogue that the app is started on."""
    where = tmp_path / "catalogue.db"
    monkeypatch.setenv("HEADSCRIBE_CATALOG", str(where))
    monkeypatch.setattr(gate, "_client", lambda: "client")  # there is no real connection
    with described_catalogue(where) as opened:
        yield opened
    shared.close()
    st.cache_resource.clear()


@pytest.fixture
def study(catalogue: Catalogue) -> Study:
    return new_study(catalogue, design(heads="sample:4"))


@pytest.fixture
def invited(catalogue: Catalogue, study: Study) -> list[Invitation]:
    return invite(catalogue, study, 2)


def page(code: str | None = None, *, owner: bool = False) -> AppTest:
    """The app as a visitor's new browser tab finds it."""
    test = AppTest.from_file(str(SCRIPT), default_timeout=30)
    if code is not None:
        test.query_params["code"] = code
    if owner:
        test.session_state["owner"] = ownership().token
    return test.run()


def owner_at(file: str) -> AppTest:
    """One of the owner's pages."""
    return page(owner=True).switch_page(file).run()


def words(test: AppTest) -> str:
    assert not test.exception
    shown = [element.value for kind in ("title", "markdown", "caption") for element in test.get(kind)]
    shown += [bar.proto.text for bar in test.get("progress")]
    bodies = [element.proto.body for element in test.get("html") if "<style>" not in element.proto.body]
    return unescape("\n".join(shown + bodies))


def press(test: AppTest, label: str) -> AppTest:
    return next(button for button in test.button if button.label.removeprefix("✓ ") == label).click().run()


def labels(test: AppTest) -> list[str]:
    return [button.label for button in test.button]


def hold_all(catalogue: Catalogue, rater: int) -> None:
    """Make this rater hold every place that is free."""
    with begin_write(catalogue.engine) as connection:
        free = study_place.c.rater_id.is_(None)
        held = {"rater_id": rater, "leased_until": now() + timedelta(days=1)}
        connection.execute(update(study_place).where(free).values(**held))


# -- rating ----------------------------------------------------------------------------------------------------------


def test_a_rater_goes_from_consent_to_the_end(catalogue: Catalogue, study: Study, invited: list[Invitation]) -> None:
    test = page(invited[0].code)
    assert study.consent[:40] in words(test)
    press(test, "I have read this, and agree to take part")
    press(press(test, "none"), "Compare")
    assert "We see it otherwise" in words(test)
    desk = RatingDesk(catalogue)
    let_in(desk, invited[0].rater.id)
    test = page(invited[0].code)
    while "judged all your items" not in words(test):
        assert not any(words_of_b in words(test) for words_of_b in ("The inputs are", "The description"))
        press(press(test, "weak"), "Save and go on")
        press(test, "partly")
        if "most" in labels(test):
            press(test, "most")
        press(test, "Save and go on")
        assert "Saved." in words(test)
    frame = ratings(catalogue, study)
    assert sum(frame.occasion == 1) == sum(study.n_items.values())
    assert set(frame.presence) == {"weak"}
    press(test, "Back to the last")
    press(press(test, "fits"), "Save and go on")
    frame = ratings(catalogue, study)
    assert list(frame.revisions) == [0] * (len(frame) - 1) + [1]
    assert frame.fit.iloc[-1] == "fits"


def test_nothing_is_saved_that_is_not_complete(catalogue: Catalogue, study: Study, invited: list[Invitation]) -> None:
    let_in(RatingDesk(catalogue), invited[0].rater.id)
    test = page(invited[0].code)
    press(test, "Save and go on")
    assert "Not saved yet. Is there a pattern" in words(test)
    press(press(test, "clear"), "Save and go on")
    press(press(test, "fits"), "Save and go on")
    assert "Not saved yet. How many rows" in words(test) or "Saved." in words(test)


def test_what_could_not_be_saved_stays_on_the_page(
    catalogue: Catalogue, study: Study, invited: list[Invitation], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_in(RatingDesk(catalogue), invited[0].rater.id)
    test = press(page(invited[0].code), "weak")
    test.text_input[0].set_value("colours")
    monkeypatch.setattr(shared_desk().patience, "longest", 0.1)
    with begin_write(catalogue.engine):
        assert "Not saved yet. The database did not answer" in words(press(test, "Save and go on"))
    assert "✓ weak" in labels(test)
    assert "Not saved" not in words(press(press(test, "clear"), "weak"))
    assert "Saved." in words(press(test, "Save and go on"))
    said = [event for event in events(catalogue, study) if event["type"] == "answered_a"]
    assert [one["payload"]["own_words"] for one in said] == ["colours"]


@pytest.mark.parametrize("ended", ["done", "waiting", "stopped", "revoked", "paused"])
def test_every_end_is_said_in_words(catalogue: Catalogue, study: Study, invited: list[Invitation], ended: str) -> None:
    desk, (first, second) = RatingDesk(catalogue), invited
    let_in(desk, first.rater.id)
    if ended == "done":
        rate_all(desk, first.rater.id)
    elif ended == "waiting":
        rate_all(desk, first.rater.id, 1)
        rate_all(desk, second.rater.id)
        hold_all(catalogue, invite(catalogue, study)[0].rater.id)
        task = desk.next_item(first.rater.id).task
        assert task is not None
        answer(desk, first.rater.id, task)
    elif ended == "stopped":
        stop(catalogue, study)
        rate_all(desk, first.rater.id)
    elif ended == "revoked":
        revoke(catalogue, study, first.rater.pseudonym)
    test = page(first.code)
    if ended == "paused":
        press(test, "Pause")
    found = {
        "done": "Thank you",
        "waiting": "look again later",
        "stopped": "The study has ended",
        "revoked": "not valid any more",
        "paused": "All you answered is saved",
    }
    assert found[ended] in words(test)


def test_no_key_means_two_things() -> None:
    assert not mistaken_keys()


# -- who gets in -----------------------------------------------------------------------------------------------------


def test_a_visitor_finds_the_door_and_a_rater_one_page(study: Study, invited: list[Invitation]) -> None:
    assert "Your personal code" in [field.label for field in page().text_input]
    for file in ("studies_page.py", "new_study_page.py", "report_page.py"):
        for code in (None, invited[0].code):
            with pytest.raises(ValueError, match="Could not find a navigation page"):
                page(code).switch_page(file)
        assert not owner_at(file).exception


def test_a_code_in_the_link_makes_a_rater_of_the_owner_too(study: Study, invited: list[Invitation]) -> None:
    test = AppTest.from_file(str(SCRIPT), default_timeout=30)
    test.session_state["owner"] = ownership().token
    test.query_params["code"] = invited[0].code
    assert study.consent[:40] in words(test.run())


def test_wrong_codes_are_counted_and_a_right_one_is_let_in(
    catalogue: Catalogue, study: Study, invited: list[Invitation]
) -> None:
    assert "not known" in words(page("WRONG-CODE"))
    again = page("WRONG-CODE")
    assert "not known" in words(again.run().run())  # a rerun is no new attempt
    for _ in range(28):
        gate.door().codes.failed("client")
    assert "too many failed attempts" in words(page("WRONG-CODE"))
    assert study.consent[:40] in words(page(invited[0].code)), "strangers keep no rater out"


def test_wrong_passwords_are_counted_and_then_refused(catalogue: Catalogue) -> None:
    set_password(catalogue, PASSWORD)
    test = page()

    def enter(password: str) -> AppTest:
        next(field for field in test.text_input if field.label == "Password").set_value(password)
        return press(test, "Sign in with the password")

    assert "The map of all heads" in words(enter(PASSWORD))
    test = page()
    assert "not the password" in words(enter("wrong"))
    for _ in range(9):
        gate.door().passwords.failed("client", "")
    assert "too many failed attempts" in words(enter(PASSWORD))


def test_the_owner_is_known_by_the_link_and_by_nothing_else(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = ownership()
    test = AppTest.from_file(str(SCRIPT), default_timeout=30)
    test.query_params["token"] = mine.token[:-1]
    assert "headscribe app printed" in words(test.run())
    test.query_params["token"] = mine.token
    assert "The map of all heads" in words(test.run())
    assert "token" not in test.query_params
    for cookie, opened in ((mine.cookie, True), (mine.token, False), ("", False)):
        monkeypatch.setattr(type(st.context), "cookies", property(lambda self, one=cookie: {mine.cookie_name: one}))
        assert gate._came_by_the_link() is opened


def test_a_password_ends_what_the_link_opened_and_another_one_signs_out(catalogue: Catalogue) -> None:
    test = page(owner=True)
    assert "The map of all heads" in words(test)
    set_password(catalogue, PASSWORD)
    assert "Password" in [field.label for field in test.run().text_input]

    def enter(password: str) -> AppTest:
        next(field for field in test.text_input if field.label == "Password").set_value(password)
        return press(test, "Sign in with the password")

    assert "The map of all heads" in words(enter(PASSWORD))
    set_password(catalogue, PASSWORD + "2")
    assert "Password" in [field.label for field in test.run().text_input]
    test = page()
    test.query_params["token"] = ownership().token
    assert "The map of all heads" not in words(test.run()), "a password is the proof where there is one"


def test_strangers_cannot_keep_the_owner_out_of_a_browser_that_signed_in_before(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_password(catalogue, PASSWORD)
    for _ in range(10):
        gate.door().passwords.failed("client", "")
    assert gate.sign_in(PASSWORD) == gate.TOO_MANY
    monkeypatch.setattr(gate, "_browser", lambda: "mine")
    assert gate.sign_in(PASSWORD) == gate.TOO_MANY, "a name alone is none that signed in"
    gate.door().passwords.succeeded("mine")
    assert gate.sign_in("wrong password") == "This is not the password."
    assert gate.sign_in(PASSWORD) == ""


@pytest.mark.parametrize(
    ("user", "owner"),
    [
        ({"is_logged_in": True, "email": "Ada@example.org"}, True),
        ({"is_logged_in": True, "email": "ada@example.org", "email_verified": False}, False),
        ({"is_logged_in": True, "email": "eve@example.org"}, False),
        ({"is_logged_in": True}, False),
        ({"is_logged_in": False, "email": "ada@example.org"}, False),
    ],
)
def test_a_login_makes_an_owner_of_those_named(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, user: dict[str, Any], owner: bool
) -> None:
    monkeypatch.setenv("HEADSCRIBE_OWNERS", "ada@example.org, bob@example.org")
    monkeypatch.setattr(gate.st, "user", user)
    assert gate._is_owner() is owner


def test_who_may_only_read_browses_and_changes_nothing(
    catalogue: Catalogue, invited: list[Invitation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(READ_ONLY, "1")
    sent: list[str] = []
    monkeypatch.setattr(gate, "_redirect", sent.append)
    browser = TestClient(Browsing(PlainTextResponse("passed on")), follow_redirects=False)
    for test in (page(), page(invited[0].code), page(owner=True)):
        assert "The map of all heads" in words(test)
        left_for = sent.pop()
        assert TOKEN_PARAMETER not in left_for, "a reader is given no ticket for the owner's cookie"
        assert 'id="overview"' in browser.get(left_for).text, "and is not sent there again"
        for file in ("runs_page.py", "studies_page.py", "new_study_page.py", "report_page.py", "rate_page.py"):
            with pytest.raises(ValueError, match="Could not find a navigation page"):
                test.switch_page(file)
    test = page().switch_page("operations_page.py").run()
    assert "No operation was scored" in words(test)
    assert not test.get("page_link")
    monkeypatch.setenv(READ_ONLY, "")
    assert "Your personal code" in [field.label for field in page().text_input]


def test_a_link_for_all_makes_a_rater_of_who_agrees(catalogue: Catalogue, study: Study) -> None:
    code = recruit(catalogue, study, Recruiting(1, "PROLIFIC_PID"))
    test = AppTest.from_file(str(SCRIPT), default_timeout=30)
    test.session_state["owner"] = ownership().token
    test.query_params |= {"join": code, "PROLIFIC_PID": "<script>"}
    assert study.consent[:40] in words(test.run())
    agree = "I have read this, and agree to take part"
    assert "is none. Open it from where" in words(press(test, agree))
    test.query_params["PROLIFIC_PID"] = "5f1a2b3c4d5e6f7a8b9c0d1e"
    assert "Practice 1 of 4" in words(press(test.run(), agree))
    assert set(test.query_params) == {"code"}
    test = AppTest.from_file(str(SCRIPT), default_timeout=30)
    test.query_params["join"] = "WRONG"
    assert "not known" in words(test.run())


# -- the owner's pages -----------------------------------------------------------------------------------------------


def test_the_owner_makes_a_study_invites_and_reads_the_report(catalogue: Catalogue) -> None:
    test = owner_at("studies_page.py")
    assert "There is no study yet." in words(test)
    test.switch_page("new_study_page.py").run()
    fields = {field.label: field for field in test.text_input}
    press(test, "Make the study")
    assert "a study needs a name" in words(test)
    fields = {field.label: field for field in test.text_input}
    fields["Name"].set_value("<b>s</b> & *x*")
    fields["Heads"].set_value("sample:4")
    press(test, "Make the study")
    study = owner_at("studies_page.py")
    press(study, "Invite")
    links = [code.value for code in study.code]
    assert len(links) == 3
    for link in links:
        assert (
            catalogue.engine.connect()
            .exec_driver_sql(
                "SELECT count(*) FROM study_rater WHERE code_hash = ?", (code_hash(link.partition("code=")[2]),)
            )
            .scalar()
        )
    press(study, "I have them: hide")
    assert not study.code
    press(study, "Shut out")
    press(study, "Stop now")
    assert [row["state"] for row in status(catalogue, find_study(catalogue))["raters"]] == ["revoked"] + ["invited"] * 2
    assert find_study(catalogue).stopped
    next(field for field in study.number_input if field.label == "Raters per item").set_value(5)
    press(study, "Go on with the study")
    assert (found := find_study(catalogue)).raters_per_item == 5
    assert found.stopped is None
    rate_all(RatingDesk(catalogue), 2)
    report = owner_at("report_page.py")
    assert "Plausibility" in [one.value for one in report.subheader]
    assert not report.exception


def test_what_is_known_is_chosen_and_a_run_leads_to_what_it_left(catalogue: Catalogue) -> None:
    catalogue.runs.end(catalogue.runs.begin(["relations", "m"]), 0, "all done")
    catalogue.runs.tell(catalogue.runs.begin(["describe", "elsewhere/m", "--llm=openai:y"]), message="so far")
    test = owner_at("runs_page.py")
    known = {one.label: one for one in test.selectbox}
    assert known["Models that are known"].options == ["elsewhere/m", "m", "demo"]
    known["Models that are known"].select("m").run()
    assert next(field for field in test.text_input if field.label == "Model").value == "m"
    assert "so far" in [code.value for code in test.code]
    assert [link.proto.label for link in test.get("page_link")] == ["Heads: what it left", "Operations: what it left"]
    assert {link.proto.query_string for link in test.get("page_link")} == {"model=m"}


# -- what a page costs, and what goes wrong ----------------------------------------------------------------------------


def test_a_page_asks_little_of_the_database_and_nothing_of_its_heads(
    catalogue: Catalogue, study: Study, invited: list[Invitation], monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    desk = RatingDesk(catalogue)
    let_in(desk, invited[0].rater.id)
    rate_all(desk, invited[0].rater.id, 2)
    page(invited[0].code)  # opens the app's own engine
    engine = gate.catalogue().engine
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    test = page(invited[0].code)
    press(test, "clear")
    assert "Table of item" in words(test)
    assert 4 <= len(statements) <= 40, statements
    before = len(statements)
    owner_page = page(owner=True)  # the catalogue's pages ask for heads; those of studies do not
    of_rater = statements[:before]
    statements.clear()
    owner_page.switch_page("studies_page.py").run()
    assert len(statements) <= 40
    owner_page.switch_page("report_page.py").run()
    for statement in of_rater + statements:
        tables = set(statement.split("WHERE")[0].replace(",", " ").split())
        assert not {"evidence", "call"} & tables, statement
        if "score" not in tables:  # the scores of what was rated, of all of it at once
            assert not {"head", "description"} & tables, statement
    assert sum("FROM score" in statement for statement in statements) <= 3
    assert not any("FROM score" in statement for statement in of_rater)


def test_the_app_draws_everything_without_torch(catalogue: Catalogue) -> None:
    add_checks(catalogue, add_model(catalogue, "checked", "cd" * 32), NAMES[:2])
    code = (
        "import sys\nfrom streamlit.testing.v1 import AppTest\nfrom app.front_door.ownership import ownership\n"
        "from app.serving import SCRIPT\n"
        "test = AppTest.from_file(str(SCRIPT), default_timeout=60)\ntest.session_state['owner'] = ownership().token\n"
        "assert not test.run().exception\nassert not test.switch_page('new_study_page.py').run().exception\n"
        "for file in ('runs_page.py', 'operations_page.py', 'checks_page.py'):\n"
        "    assert not test.switch_page(file).run().exception\n"
        "assert test.get('vega_lite_chart')\n"
        "found = {'torch', 'transformers', 'matplotlib'} & set(sys.modules)\nassert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SCRIPT.parents[2])
    assert done.returncode == 0, done.stderr


def test_nothing_that_goes_wrong_is_shown_as_a_traceback(
    invited: list[Invitation], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(RatingDesk, "next_item", fail)
    shown = words(page(invited[0].code))
    assert "Something went wrong here" in shown
    assert "secret" not in shown
    assert "secret detail" in caplog.text


def test_tokens_are_text_with_what_is_not_seen_made_visible() -> None:
    assert token("<script>") == '<bdi class="hs-token">&lt;script&gt;</bdi>'
    spaced = token(" a\n\u202eb\u00a0\\")
    assert 'aria-label="space">␣</span>a' in spaced
    assert 'aria-label="newline">↵</span>' in spaced
    assert '<span class="hs-mark">\\u202e</span>b<span class="hs-mark">\\xa0</span>\\</bdi>' in spaced
    table = mapping_table([Row("a", ("b", "c")), Row('"><img>', ())], "Table")
    assert table.count("<td>") == 4
    assert '<th scope="row">' in table
    assert "<caption>Table</caption>" in table
    assert "<img" not in table


def test_a_quoted_token_of_a_description_does_not_break_at_its_space() -> None:
    drawn = description(f'words such as " free", “ big” <b> and "{"x" * 40}', 'another " 12 "', False)
    quoted = re.findall('<span class="hs-quoted">(.*?)</span>', drawn)
    assert quoted == ["&quot; free&quot;", "“ big”", "&quot; 12 &quot;"]
    assert "<b>" not in drawn
    assert re.sub("<.*?>", "", drawn).count("&quot;") == 5, "the words are all there"


# -- the launcher ----------------------------------------------------------------------------------------------------


def test_the_app_refuses_to_start_where_strangers_would_be_owners(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = str(tmp_path / "c.db")
    described_catalogue(where, 1, 2).close()
    monkeypatch.setattr("app.serving._serve", lambda *given: pytest.fail("it started"))
    assert main(["app", "--catalog", where, "--host", "0.0.0.0"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "--set-password" in told
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["app", "--catalog", where, "--port", str(port)]) == 2
        told = capsys.readouterr().err
        assert told.splitlines()[-1].startswith(f"headscribe: cannot listen on 127.0.0.1 port {port}")
    assert main(["app", "--catalog", str(tmp_path / "none.db")]) == 2
    assert "there is no catalogue" in capsys.readouterr().err
    monkeypatch.setattr("app.serving._login_configured", lambda flags: True)
    assert main(["app", "--catalog", where]) == 2
    assert "--owners" in capsys.readouterr().err


def test_addresses_of_this_machine() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", "")))


def test_households_have_one_address() -> None:
    assert network_of("203.0.113.7") == "203.0.113.7" == network_of("::ffff:203.0.113.7")
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::9") != network_of("2001:db8:1:3::9")
    assert network_of("") == ""
