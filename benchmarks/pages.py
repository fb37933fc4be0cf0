"""Server time of the web app's pages with 100,000 heads in the catalogue: ``python -m benchmarks.pages``.

A page is what Streamlit does on the server to answer one visit or key: the script from its start to its end, with every
query of the database. Measured with Streamlit's own test runner, in this process, on SQLite.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotations.access import LINK_PARAMETER
from annotations.rating import RatingDesk
from annotations.storage import invite
from tests.study_samples import described_catalogue, design, rate_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "catalogue.db"
        with described_catalogue(where, layers=100, heads=arguments.heads // 100) as catalogue:
            from annotations.design import new_study

            start = time.perf_counter()
            study = new_study(catalogue, design(heads="sample:120", raters_per_item=3))
            print(f"{arguments.heads:,} heads; a study of 120 descriptions made in {time.perf_counter() - start:.1f} s")
            code, *others = invite(catalogue, study, 5)
            desk = RatingDesk(catalogue)
            for one in others[:2]:
                rate_all(desk, one.rater.id)
            rate_all(desk, code.rater.id, 40)
        os.environ["HEADSCRIBE_CATALOG"] = str(where)
        _measure(code.code, arguments.runs)


def _measure(code: str, runs: int) -> None:
    from streamlit.testing.v1 import AppTest

    from app.front_door.ownership import ownership
    from app.serving import SCRIPT

    def visit(**state: Any) -> Any:
        page = AppTest.from_file(str(SCRIPT), default_timeout=60)
        if not state:
            page.query_params[LINK_PARAMETER] = code
        for name, value in state.items():
            page.session_state[name] = value
        return page

    rater, owner = visit(), visit(owner=ownership().token).run()
    pages: dict[str, Callable[[], Any]] = {
        "rating page, first visit": lambda: visit().run(),
        "rating page, a key": rater.run,
        "study status": lambda: owner.switch_page("studies_page.py").run(),
        "new study": lambda: owner.switch_page("new_study_page.py").run(),
    }
    for name, run in pages.items():
        times = []
        for _ in range(runs + 1):
            start = time.perf_counter()
            done = run()
            times.append(time.perf_counter() - start)
            assert not done.exception
        median, slowest = statistics.median(times[1:]) * 1000, max(times[1:]) * 1000
        print(f"{name:<26} median {median:4.0f} ms, slowest of {runs} {slowest:4.0f} ms")


if __name__ == "__main__":
    main()
