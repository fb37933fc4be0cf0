"""The command ``app``: looks whether the web app may be opened where it is asked to, and serves it."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from app import options as o
from app.addresses import READ_ONLY, is_loopback, named_in

if TYPE_CHECKING:
    from describe.catalog import Catalogue

__all__ = ["app_command"]

SCRIPT = Path(__file__).parent / "web" / "main.py"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the app listens, and the origin under which a proxy shows it, if it was named."""

    host: str
    port: int
    public: str = ""

    def link(self, *, tls: bool, base: str) -> str:
        """A function that opens the app in a browser, or on this machine at least."""
        shown = "localhost" if self.host in ("0.0.0.0", "::") else f"[{self.host}]" if ":" in self.host else self.host  # noqa: S104
        origin = self.public or f"{'https' if tls else 'http'}://{shown}:{self.port}"
        return f"{origin}{base}/"


def app_command(
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="Where to listen; 0.0.0.0: everywhere. Needs an owner's login."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, metavar="N", help="The port.")] = 8501,
    owners: Annotated[
        Optional[str],  # noqa: UP045  (Typer reads the annotation at run time, on Python 3.10 too)
        typer.Option(
            "--owners",
            envvar="HEADSCRIBE_OWNERS",
            metavar="E-MAILS",
            help="Who owns the studies, with commas, where Streamlit's [auth] is configured.",
        ),
    ] = None,
    set_password: Annotated[
        bool, typer.Option("--set-password", help="Ask for the owner's new password (or read a line), and end.")
    ] = False,
    public_url: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--public-url",
            envvar="HEADSCRIBE_PUBLIC_URL",
            metavar="URL",
            help="Where a proxy shows the app, if it does not pass on the Host that browsers asked for.",
        ),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Whoever comes may browse; nobody signs in, rates, or starts anything.")
    ] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Begin a catalogue where there is none; fill it under Runs.")
    ] = False,
) -> None:
    """Serve the web app: raters judge descriptions, the owner makes studies and reads their reports."""
    from app.front_door.server import listening
    from describe.catalog import Catalogue

    flags = _options(host, port)
    with Catalogue(catalog, create=new) as opened:
        if set_password:
            return _set_password(opened)
        login = _login_configured(flags)
        by_link = not read_only and _check_owner(opened, host, owners or "", login)
    public = _public(public_url)
    listener = listening(host, port)
    os.environ |= {"HEADSCRIBE_CATALOG": catalog, "HEADSCRIBE_OWNERS": owners or ""}
    os.environ[READ_ONLY] = "1" if read_only else ""
    _serve(listener, Address(host, port, public), by_link=by_link, browser=not no_browser)


def _check_owner(catalogue: Catalogue, host: str, owners: str, login: bool) -> bool:
    """Whether the owner is known by the link with the token: where there is neither a password nor a login.

    Raises `InputError` where the owner's pages would be open to strangers, or to nobody.
    """
    from annotations.access import has_password
    from describe.errors import InputError

    if login and not named_in(owners):
        raise InputError("a login is configured ([auth] in Streamlit's secrets): name the owners with --owners")
    if not (login or has_password(catalogue) or is_loopback(host)):
        raise InputError(
            f"--host {host} lets others in, and the owner's pages have no password: set one with"
            " headscribe app --set-password"
        )
    return not (login or has_password(catalogue))


def _public(url: str | None) -> str:
    """The origin of an address. Raises `InputError` for what is none."""
    from app.front_door.policy import origin_of
    from describe.errors import InputError

    found = origin_of(url or "")
    if url and not found:
        raise InputError(f"--public-url '{url}' is no address of the web, such as https://study.example.org")
    return found


def _set_password(catalogue: Catalogue) -> None:
    """Read the password without an echo, twice; from a pipe, a line of it."""
    import getpass

    from annotations.access import set_password
    from describe.errors import InputError

    if sys.stdin.isatty():
        password = getpass.getpass("The owner's new password: ")
        if getpass.getpass("Again: ") != password:
            raise InputError("the two were not the same: the password is as it was")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    set_password(catalogue, password)
    typer.echo("The owner's password is set. Whoever had signed in with another is signed out.", err=True)


def _login_configured(flags: dict[str, Any]) -> bool:
    """Whether Streamlit's secrets have ``[auth]``. Reading them needs Streamlit's options, so these come first."""
    from streamlit.runtime.secrets import secrets_singleton
    from streamlit.web import bootstrap

    bootstrap.load_config_options(flags)
    return secrets_singleton.load_if_toml_exists() and "auth" in secrets_singleton


def _options(host: str, port: int) -> dict[str, Any]:
    """Streamlit's options: ours hold, whatever a configuration file or the environment says."""
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.corsAllowedOrigins": [],
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.enableStaticServing": False,
        "server.fileWatcherType": "none",
        "server.maxUploadSize": 1,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "viewer",
        "client.showSidebarNavigation": False,
        "browser.gatherUsageStats": False,
        "global.developmentMode": False,
        "logger.hideWelcomeMessage": True,
        "logger.level": "warning",
        "runner.magicEnabled": False,
        "runner.postScriptGC": False,  # it goes through every object of the process at each click: 60 ms of its 80
        "theme.light.primaryColor": "#2f6fab",  # of both: a theme without a mode would be light for everyone
        "theme.dark.primaryColor": "#3575b8",
    }


def _serve(listener: socket.socket, address: Address, *, by_link: bool, browser: bool) -> None:
    """Run until interrupted. In this process: one process id, Ctrl-C reaches it, nothing is left behind."""
    from starlette.middleware import Middleware
    from streamlit import App, cli_util, get_option

    from app.browsing.route import Browsing
    from app.front_door.door import FrontDoor
    from app.front_door.ownership import TOKEN_PARAMETER, TOKEN_VARIABLE, own
    from app.front_door.server import serve
    from app.front_door.visits import visits

    given = os.environ.pop(TOKEN_VARIABLE, None)
    owner = own(given, address.port)
    certificate, key, base = (get_option(f"server.{name}") for name in ("sslCertFile", "sslKeyFile", "baseUrlPath"))
    base = f"/{base.strip('/')}" if base.strip("/") else ""
    link = address.link(tls=bool(certificate), base=base)
    shown = f"{link}?{TOKEN_PARAMETER}={'...' if given else owner.token}" if by_link else link
    typer.echo(f"{shown}   (Ctrl-C ends it; nothing is lost)", err=True)
    if by_link:
        typer.echo("This link makes the owner of whoever has it, and no other does.", err=True)
    if browser:
        cli_util.open_browser(f"{link}?{TOKEN_PARAMETER}={owner.ticket()}" if by_link else link)
    door = Middleware(FrontDoor, visits=visits(), ownership=owner, public=address.public, base=base)
    serve(App(SCRIPT, middleware=[door, Middleware(Browsing, base=base)]), listener, certificate, key)
    _close()


def _close() -> None:
    from app.web.shared import close

    close()
