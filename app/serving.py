"""The command ``app``: looks whether the web app may be opened where it is asked to, and hands over to Streamlit."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from app import options as o
from app.addresses import is_loopback, named_in

if TYPE_CHECKING:
    from describe.catalog import Catalogue

__all__ = ["app_command"]

SCRIPT = Path(__file__).parent / "web" / "main.py"


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
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
) -> None:
    """Serve the web app: raters judge descriptions, the owner makes studies and reads their reports."""
    from describe.catalog import Catalogue

    flags = _options(host, port, no_browser)
    with Catalogue(catalog) as opened:
        if set_password:
            return _set_password(opened)
        _check_owner(opened, host, owners or "", flags)
    _check_port(host, port)
    os.environ |= {"HEADSCRIBE_CATALOG": catalog, "HEADSCRIBE_OWNERS": owners or ""}
    _serve(host, port, flags)


def _check_owner(catalogue: Catalogue, host: str, owners: str, flags: dict[str, Any]) -> None:
    """Raise `InputError` where the owner's pages would be open to strangers, or to nobody."""
    from annotations.access import has_password
    from describe.errors import InputError

    login = _login_configured(flags)
    if login and not named_in(owners):
        raise InputError("a login is configured ([auth] in Streamlit's secrets): name the owners with --owners")
    if not (login or has_password(catalogue) or is_loopback(host)):
        raise InputError(
            f"--host {host} lets others in, and the owner's pages have no password: set one with"
            " headscribe app --set-password"
        )


def _check_port(host: str, port: int) -> None:
    """Raise `InputError` where Streamlit could not listen: it would go on to print a traceback."""
    from describe.errors import InputError

    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            if os.name == "posix":  # as servers do: a port that was left a moment ago is free
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen on {host} port {port}: {reason}") from error


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
    typer.echo("The owner's password is set. Whoever is signed in stays so until the app is started again.", err=True)


def _login_configured(flags: dict[str, Any]) -> bool:
    """Whether Streamlit's secrets have ``[auth]``. Reading them needs Streamlit's options, so these come first."""
    from streamlit.runtime.secrets import secrets_singleton
    from streamlit.web import bootstrap

    bootstrap.load_config_options(flags)
    return secrets_singleton.load_if_toml_exists() and "auth" in secrets_singleton


def _options(host: str, port: int, no_browser: bool) -> dict[str, Any]:
    """Streamlit's options: ours hold, whatever a configuration file or the environment says."""
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": no_browser,
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
        "theme.dark.primaryColor": "#3f83c4",
    }


def _serve(host: str, port: int, flags: dict[str, Any]) -> None:
    """Run until interrupted. In this process: one process id, Ctrl-C reaches it, nothing is left behind."""
    from streamlit.web import bootstrap

    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    typer.echo(f"http://{shown}:{port}   (Ctrl-C ends it; nothing is lost)", err=True)
    bootstrap.run(str(SCRIPT), False, [], flags)
