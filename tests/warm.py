"""``headscribe`` without the seconds that each new process spends on importing torch and transformers.

A server imports them once for all; for every command it forks, and the child takes over the client's arguments,
environment, folder and open files, as if it had been started there. `start` makes the server and a ``headscribe`` for
the PATH; ``headscribe -c CODE`` is ``python -c CODE``, and so pytest's workers are made. `Process` is one that can be
killed. What is tested about imports, time, or what Python reads when it starts, starts processes of its own.
"""

from __future__ import annotations

import array
import gc
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

__all__ = ["Process", "start"]

IMPORTED = (
    *("torch", "transformers.models.llama.modeling_llama", "transformers.models.auto", "gguf"),
    *("transformers.convert_slow_tokenizer", "transformers.modeling_gguf_pytorch_utils"),
    *("pandas", "pyarrow.parquet", "scipy.stats", "altair", "vl_convert", "rich.progress"),
    *("alembic.command", "psycopg", "openai.resources", "anthropic.resources", "aiohttp", "anyio._backends._asyncio"),
    *("describe.pipeline.extraction.compute", "describe.evidence", "describe.export.dataset", "annotations.report"),
    *("streamlit", "websockets", "app.main", "app.commands", "app.serving", "app.describers", "app.reporting"),
)
"""What commands and workers import, by what takes longest. None of it may start a thread: forks have none."""

TELL = "HEADSCRIBE_TELL_PID"
"""Where a client finds the number of the file that it writes the id of its process to."""

CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
there = socket.socket(socket.AF_UNIX)
there.connect({address!r})
tell = os.environ.pop({tell!r}, None)
socket.send_fds(there, [json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\0"], [0, 1, 2])
said = there.makefile()
pid = said.readline()
if tell:
    os.write(int(tell), pid.encode())
code = int(said.readline() or 70)
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if code != -signal.SIGKILL else None
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Process(subprocess.Popen[Any]):
    """The program as `subprocess.Popen` starts it; a signal goes to the process that was forked for it."""

    def __init__(self, program: Path, *arguments: object, **options: Any) -> None:
        reading, writing = os.pipe()
        environment = {**options.pop("env", os.environ), TELL: str(writing)}
        words = [str(program), *map(str, arguments)]
        super().__init__(words, env=environment, pass_fds=(writing,), **({"text": True} | options))
        os.close(writing)
        with os.fdopen(reading) as told:
            self.forked = int(told.readline())

    def send_signal(self, number: int) -> None:
        """Send it to the forked process; this one ends as that does."""
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.forked, number)


def start(folder: Path, owner: int) -> Path:
    """The path of a program ``headscribe`` in a folder, made by whoever comes first.

    The server behind it ends when the process ``owner`` has.
    """
    address, program = folder / "warm", folder / "headscribe"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    command = [sys.executable, "-m", "tests.warm", str(address), str(owner)]
    with FileLock(folder / "warm.lock"):
        if not program.exists():
            server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            program.write_text(CLIENT.format(python=sys.executable, address=str(address), tell=TELL))
            program.chmod(0o755)
    return program


def _serve(address: str, owner: int) -> None:
    for name in IMPORTED:
        if importlib.util.find_spec(name.partition(".")[0]):  # some packages are optional
            importlib.import_module(name)
    gc.freeze()  # what is there stays: a child that looked through it would get a copy of every page
    clients: dict[int, socket.socket] = {}
    signal.signal(signal.SIGCHLD, lambda *_: _tell_ended(clients))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        server.settimeout(1)
        print("ready", flush=True)
        while _lives(owner):
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            client.settimeout(None)
            _attend(client, server, clients)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _attend(client: socket.socket, server: socket.socket, clients: dict[int, socket.socket]) -> None:
    """Run a client's command in a process of its own, of which it is told the id; ``clients`` are those that wait."""
    message, files = b"", array.array("i")
    while not message.endswith(b"\0"):
        part, ancillary, _, _ = client.recvmsg(1 << 16, socket.CMSG_SPACE(3 * files.itemsize))
        if not part:  # it has ended
            return client.close()
        message += part
        for _, _, data in ancillary:
            files.frombytes(data)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # until it is known who waits
    child = os.fork()
    if child == 0:
        for ours in (server, client, *clients.values()):
            ours.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever tests in the background had it ignored
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        for place, file in enumerate(files):
            os.dup2(file, place)
            os.close(file)
        arguments, cwd, environment = json.loads(message[:-1])
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        os._exit(_run(arguments))
    for file in files:
        os.close(file)
    clients[child] = client
    with suppress(OSError):
        client.sendall(f"{child}\n".encode())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


def _tell_ended(clients: dict[int, socket.socket]) -> None:
    """Tell the clients whose commands have ended how."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with clients.pop(ended[0]) as client, suppress(OSError):
                client.sendall(f"{os.waitstatus_to_exitcode(ended[1])}\n".encode())


def _run(arguments: list[str]) -> int:
    code = "from app.main import run; run()"
    sys.argv = ["headscribe", *arguments]
    if arguments[:1] == ["-u"]:  # of Python, by which pytest starts its workers
        arguments = arguments[1:]
    if arguments[:1] == ["-c"]:
        code, sys.argv = arguments[1], ["-c", *arguments[2:]]
    try:
        exec(code, {"__name__": "__main__"})
        return _flushed(0)
    except SystemExit as ended:
        return _flushed(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
    except BaseException:
        traceback.print_exc()
        return _flushed(1)


def _flushed(code: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
