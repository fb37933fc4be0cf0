"""Many raters at once: ``python -m benchmarks.raters [--raters 50] [--think 0]``, by default on SQLite.

Each rater is a WebSocket to a real ``headscribe app`` and presses buttons as a browser does: an answer to each
question, then Save, item after item, with ``--think`` seconds between two clicks on average. A click lasts from the
press to the page that is drawn again. With ``--catalog URL`` the study is made in that empty PostgreSQL database, and
``--servers N`` processes share it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from sqlalchemy import func, select

from annotations import schema
from annotations.design import new_study
from annotations.rating import RatingDesk
from annotations.records import Invitation, Study
from annotations.storage import invite
from describe.catalog import Catalogue
from tests.study_samples import described_catalogue, design, let_in
from tests.visitors import AppProcess, Visitor, serving, visiting

CHOICES = ("presence-weak", "fit-partly", "coverage-most")


@dataclass
class Clicks:
    """Seconds that clicks took: those that chose an answer, and those that saved."""

    choosing: list[float] = field(default_factory=list)
    saving: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--clicks", type=int, default=50, help="of each rater")
    parser.add_argument("--think", type=float, default=0.0, metavar="SECONDS", help="mean time between two clicks")
    parser.add_argument("--heads", type=int, default=120, help="of the study, each with two descriptions")
    parser.add_argument("--catalog", metavar="URL", help="an empty database on PostgreSQL; default: SQLite")
    parser.add_argument("--servers", type=int, default=1, metavar="N")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        where = arguments.catalog or str(Path(folder) / "catalogue.db")
        catalogue = stack.enter_context(described_catalogue(where, layers=20, heads=20, salient=30))
        study, invited = _study(catalogue, arguments.raters, arguments.heads)
        servers = [stack.enter_context(serving(where)) for _ in range(arguments.servers)]
        asyncio.run(_rate(servers, invited[: len(servers)], 10, 0.0))  # what is imported at the first visit
        processes = [psutil.Process(server.process.pid) for server in servers]
        cpu, memory, start = _cpu(processes), _memory(processes), time.perf_counter()
        clicks = asyncio.run(_rate(servers, invited, arguments.clicks, arguments.think))
        seconds = time.perf_counter() - start
        _print(clicks, seconds, _cpu(processes) - cpu)
        print(f"memory of the servers      {memory:.0f} MB before, {_memory(processes):.0f} MB after")
        print(f"items with too many raters {_over_assigned(catalogue, study)}")


def _study(catalogue: Catalogue, raters: int, heads: int) -> tuple[Study, list[Invitation]]:
    """A study with places enough, and raters who have consented and practised."""
    study = new_study(catalogue, design(heads=f"sample:{heads}", raters_per_item=max(2, raters // 10)))
    invited = invite(catalogue, study, raters)
    for one in invited:
        let_in(RatingDesk(catalogue), one.rater.id)
    return study, invited


async def _rate(servers: Sequence[AppProcess], invited: Sequence[Invitation], most: int, think: float) -> Clicks:
    clicks = Clicks()

    async def rate(number: int, code: str) -> None:
        pace = random.Random(number)
        async with visiting(servers[number % len(servers)].port, f"code={code}") as tab:
            for _ in range(most):
                await asyncio.sleep(pace.expovariate(1 / think) if think else 0)
                if not await _click(tab, clicks):
                    return

    await asyncio.gather(*(rate(number, one.code) for number, one in enumerate(invited)))
    return clicks


async def _click(tab: Visitor, clicks: Clicks) -> bool:
    """Choose an answer to the first question without one, else save; False where there is nothing to do."""
    buttons = tab.buttons()
    open_ = [
        choice
        for choice in CHOICES
        if any(key.endswith(choice) and button.type != "primary" for key, button in buttons.items())
    ]
    if open_:
        clicks.choosing.append(await tab.press(open_[0], timeout=300))
    elif any(key.endswith("-save") for key in buttons):
        clicks.saving.append(await tab.press("-save", timeout=300))
    else:
        return False
    return True


def _print(clicks: Clicks, seconds: float, cpu: float) -> None:
    every = clicks.choosing + clicks.saving
    print(f"{len(every):,} clicks in {seconds:.0f} s; {1000 * cpu / len(every):.1f} ms of the servers' CPU a click\n")
    print(f"{'':<18} {'clicks':>7} {'median':>9} {'95 %':>9}")
    for name, times in {"all": every, "choosing": clicks.choosing, "saving": clicks.saving}.items():
        last = statistics.quantiles(times, n=20)[-1]
        print(f"{name:<18} {len(times):>7,} {1000 * statistics.median(times):>6.0f} ms {1000 * last:>6.0f} ms")
    print()


def _cpu(processes: Sequence[psutil.Process]) -> float:
    """Seconds of CPU, user and system, so far."""
    return sum(used.user + used.system for used in (process.cpu_times() for process in processes))


def _memory(processes: Sequence[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / 1e6


def _over_assigned(catalogue: Catalogue, study: Study) -> int:
    """Items that more raters were given than are wanted, repeats aside."""
    shown, item = schema.study_presentation, schema.study_item
    given = (
        select(func.count().label("raters"))
        .join(item, shown.c.item_id == item.c.id)
        .where(item.c.study_id == study.id, shown.c.occasion == 1)
        .group_by(item.c.id)
        .having(func.count() > study.raters_per_item)
    )
    with catalogue.engine.connect() as connection:
        return len(connection.execute(given).all())


if __name__ == "__main__":
    main()
