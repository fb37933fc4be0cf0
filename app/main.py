"""The command ``headscribe``: errors become one line and an exit code here, and nowhere else."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO

import typer

from describe.errors import HeadscribeError
from describe.process import prepare_process
from describe.secrets import keep_secrets_of_environment, redacted
from describe.text import printable

__all__ = ["READING_MODELS", "main", "run"]

READING_MODELS = ("torch", "transformers", "accelerate", "safetensors", "gguf")
"""Packages that reading and running models take; what only reads a catalogue does without (requirements-browse.txt)."""

_UsageError: Any = typer.BadParameter.__mro__[1]  # Click's, of which Typer carries a copy that has no public name


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0 done, 1 heads failed or missing, 2 bad input, 130 interrupted."""
    from app.commands import app
    from app.parameters import check_parameters

    keep_secrets_of_environment()
    arguments = _json_to_stdout(list(sys.argv[1:] if argv is None else argv))
    try:
        command = check_parameters(typer.main.get_command(app))
        code = command(args=arguments, prog_name="headscribe", standalone_mode=False)
    except HeadscribeError as error:
        return _complain(str(error))
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # Click's, whose message is the help
            print(error.format_message())
            return 2
        command = error.ctx.command_path if error.ctx else "headscribe"
        return _complain(f"{error.format_message().rstrip('.')} (see {command} --help)")
    except (typer.Abort, KeyboardInterrupt):
        print("headscribe: interrupted; what came in is kept, run the same command again to go on", file=sys.stderr)
        return 130
    except (
        BrokenPipeError,
        SystemExit,
    ) as error:  # the reader, such as head, has seen enough: Click and rich exit then
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        _write_no_more()
        return 0
    except OSError as error:  # the system's words: a disk that is full, a file that may not be read, a name too long
        named = f"'{str(error.filename)[:200]}': " if error.filename is not None else ""
        return _complain(f"{named}{error.strerror or error}")
    except Exception as error:
        said = _of_database(error) or _of_install(error)
        if said is None:
            raise
        return _complain(said)
    return code if isinstance(code, int) else 0


def run() -> NoReturn:
    """The console script. After an interrupt the process ends at once, whatever its other threads still do."""
    sys.stdout, sys.stderr = _without_secrets(sys.stdout), _without_secrets(sys.stderr)
    prepare_process()
    run_id = os.environ.pop("HEADSCRIBE_RUN", None)
    code = _recorded() if run_id is None else _reported(int(run_id))
    code = _flushed(code)
    if code == 130:
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _flushed(code: int) -> int:
    """The exit code once all is written that was to be: another where the disk is full."""
    output: TextIO | None = getattr(sys, "stdout", None)  # none where it was closed
    try:
        if output is not None:
            output.flush()
    except BrokenPipeError:
        _write_no_more()
    except OSError as error:
        _write_no_more()
        return code if code == 2 else _complain(f"standard output cannot be written: {error.strerror or error}")
    return code


def _write_no_more() -> None:
    """Have what is still to be written to standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Redacted(io.TextIOWrapper):
    """A standard stream that shows no secret, whoever writes to it: a traceback, a log or a warning too."""

    def write(self, text: str, /) -> int:
        return super().write(redacted(text))


def _without_secrets(stream: TextIO) -> TextIO:
    if isinstance(stream, _Redacted) or not isinstance(stream, io.TextIOWrapper):
        return stream  # somebody else's, such as a notebook's or a test's
    stream.flush()
    file = open(stream.fileno(), "wb", closefd=False)  # noqa: SIM115  (it is open as long as the process lives)
    # A terminal that has not every character ends no run.
    errors = "backslashreplace" if stream.errors == "strict" else stream.errors
    return _Redacted(file, stream.encoding, errors, None, stream.line_buffering, stream.write_through)


def _reported(run_id: int) -> int:
    """A run that the web app started: the same, and the catalogue is told how far it is."""
    from app.reporting import reported

    return reported(run_id, main)


def _recorded() -> int:
    """A command that was typed: the same, and the catalogue lists it among the runs if it is long enough to be one."""
    from app.terminal_runs import recorded

    return recorded(sys.argv[1:], main)


def _of_database(error: Exception) -> str | None:
    """The cause that keeps the database of the catalogue from answering, in a line; None for any other error."""
    if "sqlalchemy.exc" not in sys.modules:
        return None
    from sqlalchemy.exc import DBAPIError

    from describe.catalog.failures import reason

    return f"the catalogue {reason(error)}" if isinstance(error, DBAPIError) else None


def _of_install(error: Exception) -> str | None:
    """That a package is not installed without which models are not read, in a line; None for any other error."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package not in READING_MODELS:
        return None
    return (
        f"this reads or runs a model, which takes {package}, and that is not installed here: pip install"
        f" {' '.join(READING_MODELS)}. What a catalogue holds can be shown, searched, exported and judged without"
    )


def _json_to_stdout(arguments: list[str]) -> list[str]:
    """``--json`` without a file means standard output; the next word is one where it is named as JSON's files are, or a
    device (``--json=PATH``: whatever it is named)."""
    following = [*arguments[1:], "--end"]
    bare = [a == "--json" and not _is_json_file(b) for a, b in zip(arguments, following, strict=False)]
    return ["--json=-" if is_bare else argument for argument, is_bare in zip(arguments, bare, strict=True)]


def _is_json_file(word: str) -> bool:
    return word == "-" or word.startswith(("/dev/", "/proc/")) or word.lower().endswith((".json", ".jsonl"))


def _complain(message: str) -> int:
    print(f"headscribe: {printable(' '.join(redacted(message).split()))}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    run()
