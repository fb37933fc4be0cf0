"""What describing costs besides the LLM, at 64 calls in flight against a server that answers each in 200 ms.

    python -m benchmarks.describing [--heads N] [--json PATH]

The server is a process of its own; the model is a random one with as many heads as wanted. Two figures of one run: CPU
time of our process per call, everything included (prompt, HTTP, ledger, catalogue), and calls per second as a share of
64 / 0.2 s, which nobody can pass. Then what a catalogue of 100,000 described heads costs a run that has nothing to do,
and one that has a hundred heads left, as ratios to a catalogue of 1,000.
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

from sqlalchemy import insert

from app.main import main
from describe import pipeline
from describe.catalog import Catalogue, schema
from describe.catalog.database import begin_write
from describe.llm import Request, parse_llm
from describe.pipeline.extracting import extraction_settings
from describe.records import HeadId, HeadMapping, MappingRow, ModelInfo, Target
from describe.weights import content_hash, locate
from tests import tiny
from tests.fake_llm import completion

IN_FLIGHT, LATENCY = 64, 0.2
ANSWER = {"reasoning": "seen", "inputs": "tokens", "pattern": "does what it does"}


def serve(port: Any) -> None:
    """Answer every request after `LATENCY` seconds, until killed."""
    body = json.dumps(completion(json.dumps(ANSWER))).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                await reader.readexactly(int(asked.split("content-length:")[1].split("\r\n")[0]))
                await asyncio.sleep(LATENCY)
                writer.write(head + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=256)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


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


def calls(folder: Path, n_heads: int) -> dict[str, float]:
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
        return fresh.submit(_calls, folder / "calls.db", model).result()


def _calls(place: Path, model: Path) -> dict[str, float]:
    arguments = ["describe", str(model), "--llm", "openai:fixed", "--catalog", str(place), "--max-tokens", "64", "-q"]
    main([*arguments, "--heads", "0.0,0.1"])  # imports
    started, used = time.perf_counter(), cpu()
    code = main([*arguments, "--concurrency", str(IN_FLIGHT)])
    wall, used = time.perf_counter() - started, cpu() - used
    with Catalogue(str(place)) as catalogue:
        asked = len(catalogue.ledger.calls(1)) - 2
    assert code == 0
    return {"calls": asked, "cpu_ms_per_call": 1000 * used / asked, "share_of_rate": asked / wall * LATENCY / IN_FLIGHT}


def resumed(folder: Path, n_heads: int) -> tuple[float, float]:
    """CPU seconds of a run on a catalogue with so many heads: with nothing to do, and with 100 left to describe.

    The heads are copies of one, entered by hand; the model's files are those of a small one.
    """
    model = tiny.save(tiny.tiny_model("llama"), folder / f"model-{n_heads}")
    where = locate(str(model))
    info = ModelInfo(where.name, content_hash(where), "llama", n_heads // 1000, 1000, 1, 8, 4, 300)
    with Catalogue(str(folder / f"{n_heads}.db"), create=True) as catalogue:
        extraction = catalogue.begin_extraction(catalogue.register_model(info), extraction_settings("float32"), {})
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
    parser.add_argument("--heads", type=int, default=2000)
    parser.add_argument("--calls-only", action="store_true", help="leave the large catalogues out")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    os.environ |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{ours.recv()}/v1", "OPENAI_API_KEY": "none"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = calls(folder, options.heads)
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
