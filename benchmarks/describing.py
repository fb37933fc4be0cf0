"""The cost of describing besides the LLM, at 64 calls in flight against a server that answers each in 200 ms.

    python -m benchmarks.describing [--heads N] [--json PATH]

The server is a process of its own that only counts bytes and waits; the model is a random one with as many heads as
wanted. Of one run, in a process without torch, as the command is: CPU time per call, everything included, and its
parts; transactions per call; and calls per second as a share of 64 / 0.2 s, which nobody can pass, beside the share
that a core busy all the time would reach at that CPU time per call. The parts: heads
read from the catalogue, prompts made of them, results committed; the rest is HTTP, replies and the event loop. The
server's own CPU time per call shows that it is not what is waited for. Then what a catalogue of 100,000 described heads
costs a run that has nothing to do, and one that has a hundred heads left, as ratios to a catalogue of 1,000.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import insert

from app.main import main
from describe import pipeline
from describe.catalog import Catalogue, schema
from describe.catalog.database import begin_write
from describe.catalog.writes import Writes
from describe.labelling import Template
from describe.llm import Request, parse_llm
from describe.pipeline.extraction.asked import AskedReading
from describe.readings import PAPER
from describe.records import HeadId, HeadMapping, MappingRow, ModelInfo, Target
from describe.weights import content_hash, locate
from tests import tiny
from tests.fake_llm import completion

IN_FLIGHT, LATENCY = 64, 0.2
ANSWER = {"reasoning": "seen", "inputs": "tokens", "pattern": "does what it does"}


class Answering(asyncio.Protocol):
    """One connection: each request is answered after `LATENCY` seconds with the same bytes."""

    body = json.dumps(completion(json.dumps(ANSWER))).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def connection_made(self, transport: Any) -> None:
        self._transport, self._came = transport, b""

    def data_received(self, data: bytes) -> None:
        self._came += data
        asked, end, rest = self._came.partition(b"\r\n\r\n")
        if end and len(rest) >= int(asked.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            self._came = b""
            asyncio.get_running_loop().call_later(LATENCY, self._transport.write, self.head + self.body)


def serve(port: Any) -> None:
    """Answer until killed."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=256)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


class Timed:
    """How often a method was called since now, and the CPU seconds of this process that it took."""

    def __init__(self, owner: type, name: str) -> None:
        self.calls, self.seconds = 0, 0.0
        method = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return method(*arguments, **named)
            finally:
                self.calls, self.seconds = self.calls + 1, self.seconds + time.process_time() - started

        setattr(owner, name, timed)


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def describe(catalogue: Catalogue, model: Path, heads: str = "all") -> tuple[float, float, Any]:
    """Wall and CPU seconds of a run, and its result."""
    request = Request(max_tokens=64)
    started, used = time.perf_counter(), cpu()
    result = pipeline.describe(
        catalogue, str(model), parse_llm("openai:fixed"), request=request, heads=heads, concurrency=IN_FLIGHT
    )
    return time.perf_counter() - started, cpu() - used, result


def calls(folder: Path, n_heads: int, server: int) -> dict[str, float]:
    """CPU per call, and the share of the rate that the server allows."""
    shape = {
        "num_hidden_layers": n_heads // 100,
        "num_attention_heads": 100,
        "num_key_value_heads": 1,
        "hidden_size": 200,
    }
    model = tiny.save(tiny.tiny_model("llama", **shape), folder / "wide")
    with Catalogue(str(folder / "calls.db"), create=True) as catalogue:
        pipeline.extract(catalogue, str(model), device="cpu")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:  # without torch, as the command runs
        return fresh.submit(_calls, folder / "calls.db", model, server).result()


def _calls(place: Path, model: Path, server: int) -> dict[str, float]:
    options = ["--llm", "openai:fixed", "--max-tokens", "64", "--placebos", "0", "-q"]
    arguments = ["describe", str(model), "--catalog", str(place), *options]
    main([*arguments, "--heads", "0.0,0.1"])  # imports
    parts = {
        "read": Timed(Catalogue, "mapping"),
        "prompt": Timed(Template, "render"),
        "commit": (committing := Timed(Writes, "_write")),
    }
    theirs = psutil.Process(server)
    before = time.perf_counter(), cpu(), sum(theirs.cpu_times()[:2])
    code = main([*arguments, "--concurrency", str(IN_FLIGHT)])
    after = time.perf_counter(), cpu(), sum(theirs.cpu_times()[:2])
    wall, used, used_there = (now - then for now, then in zip(after, before, strict=True))
    with Catalogue(str(place)) as catalogue:
        asked = len(catalogue.ledger.calls(1)) - 2
    assert code == 0
    taken = {name: part.seconds for name, part in parts.items()}
    taken |= {"rest": used - sum(taken.values())}
    return {
        "calls": asked,
        "cpu_ms_per_call": 1000 * used / asked,
        **{f"cpu_ms_per_call_{name}": 1000 * seconds / asked for name, seconds in taken.items()},
        "cpu_ms_per_call_of_the_server": 1000 * used_there / asked,
        "transactions_per_call": committing.calls / asked,
        "calls_per_second": asked / wall,
        "share_of_rate": asked / wall * LATENCY / IN_FLIGHT,
        "share_that_one_core_allows": min(1.0, LATENCY / IN_FLIGHT * asked / used),
    }


def resumed(folder: Path, n_heads: int) -> tuple[float, float]:
    """CPU seconds of a run on a catalogue with so many heads: with nothing to do, and with 100 left to describe.

    The heads are copies of one, entered by hand; the model's files are those of a small one.
    """
    model = tiny.save(tiny.tiny_model("llama"), folder / f"model-{n_heads}")
    where = locate(str(model))
    info = ModelInfo(where.name, content_hash(where), "llama", n_heads // 1000, 1000, 1, 8, 4, 300)
    with Catalogue(str(folder / f"{n_heads}.db"), create=True) as catalogue:
        extraction = catalogue.begin_extraction(
            catalogue.register_model(info), AskedReading("paper", None, "float32").settings(PAPER, info), {}
        )
        targets = tuple(Target(i, f" target{i}", 1.0) for i in range(5))
        rows = tuple(MappingRow(i, f" source{i}", 1.0, targets, targets) for i in range(30))
        catalogue.save_head(extraction, HeadMapping(HeadId(0, 0), rows))
        describe(catalogue, model, "0.0")
        with begin_write(catalogue._engine) as connection:
            head = dict(connection.execute(schema.head.select()).mappings().one())
            told = dict(connection.execute(schema.description.select()).mappings().one())
            for layer in range(n_heads // 1000):
                places = [(layer, i) for i in range(1000) if (layer, i) != (0, 0)]
                ids = [1 + 1000 * layer + i for layer, i in places]
                same = [
                    head | {"id": n, "layer": place[0], "head": place[1]} for n, place in zip(ids, places, strict=True)
                ]
                connection.execute(insert(schema.head), same)
                done = [told | {"id": n, "head_id": n} for n in ids if n <= n_heads - 100]
                connection.execute(insert(schema.description), done)
        left = describe(catalogue, model)
        nothing = describe(catalogue, model)
    assert (left[2].new, nothing[2].new) == (100, 0)
    return nothing[1], left[1]


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=5000)
    parser.add_argument("--calls-only", action="store_true", help="leave the large catalogues out")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    os.environ |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{ours.recv()}/v1", "OPENAI_API_KEY": "none"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = calls(folder, options.heads, server.pid)
        for n_heads in () if options.calls_only else (1000, 100_000):
            nothing, left = resumed(folder, n_heads)
            figures |= {f"cpu_s_of_{n_heads}_nothing_left": nothing, f"cpu_s_of_{n_heads}_100_left": left}
    server.terminate()
    for label, value in figures.items():
        print(f"{label:36} {value:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    run()
