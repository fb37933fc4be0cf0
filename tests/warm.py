"""``headscribe`` without the seconds that each new process spends on importing torch and transformers.

A server imports them once; for every command it forks, and the child takes over the client's arguments, environment,
folder and open files, as if it had been started there. `start` makes the server and a ``headscribe`` to put on the
PATH. What is tested by killing processes, or about what gets imported, starts processes of its own.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["start"]

CLIENT = """#!{python} -IS
import json, os, socket, sys
there = socket.socket(socket.AF_UNIX)
there.connect({address!r})
socket.send_fds(there, [json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\0"], [0, 1, 2])
sys.exit(int(there.makefile().read() or 70))
"""


@contextmanager
def start(folder: Path) -> Iterator[Path]:
    """The path of a program ``headscribe``, as long as the server behind it is there."""
    address, program = folder / "warm", folder / "headscribe"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    command = [sys.executable, "-m", "tests.warm", str(address)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        program.write_text(CLIENT.format(python=sys.executable, address=str(address)))
        program.chmod(0o755)
        yield program
    finally:
        server.kill()
        server.wait()


def _serve(address: str) -> None:
    import aiohttp
    import altair
    import openai
    import pandas
    import scipy.stats
    import torch
    import transformers.models.llama.configuration_llama
    import vl_convert
    from transformers import AutoTokenizer

    import app.commands
    import describe.evidence
    import describe.pipeline.extraction.compute

    del aiohttp, altair, openai, vl_convert, pandas, scipy, torch, transformers, AutoTokenizer, app, describe
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _attend(client)
            client.close()


def _attend(client: socket.socket) -> None:
    """Run the command in a process of its own, and tell the client how it ended."""
    message, files = b"", array.array("i")
    while not message.endswith(b"\0"):
        part, ancillary, _, _ = client.recvmsg(1 << 16, socket.CMSG_SPACE(3 * files.itemsize))
        message += part
        for _, _, data in ancillary:
            files.frombytes(data)
    arguments, cwd, environment = json.loads(message[:-1])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        client.close()
        for place, file in enumerate(files):
            os.dup2(file, place)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["headscribe", *arguments]
        os._exit(_run())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    client.sendall(str(code).encode())
    os._exit(0)


def _run() -> int:
    from app.main import run

    try:
        run()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve(sys.argv[1])
