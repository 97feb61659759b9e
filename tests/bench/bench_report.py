"""The report of 8 layers of 4,096 neurons, over invented results: seconds, size, memory; and in Chromium.

A tenth of the neurons are candidates, each neuron has 20 MAPs. In Chromium, without a GPU: from opening to
the table, and from a key in the search field to the rows that it leaves. To print it alone:

    .venv/bin/python tests/bench/bench_report.py
"""

from __future__ import annotations

import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # of a program that is run as a file
from bench_sql import apart
from invented_layers import Size, make

from pipeline.config import Config
from pipeline.engine.processes import cores
from pipeline.results import database
from pipeline.results.report import pages

SIZE = Size(layers=8, neurons=4096)
GOAL_S, GOAL_MB, GOAL_MS = 600, 200, 100
_TYPED = "river stone"
_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
# milliseconds from a change of the form until the browser has drawn what it leaves
_TIMED = """
async ([id, value]) => {
  const field = document.getElementById(id);
  const start = performance.now();
  field.value = value;
  field.dispatchEvent(new Event("input"));
  while (document.getElementById("shown").textContent === "loading")
    await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  return performance.now() - start;
}
"""


def written(folder: Path) -> dict[str, Any]:
    """Seconds and most memory of writing the report of a folder's results, which is made beside them."""
    config = Config(source="scan", data=str(folder / "data"))
    start = time.perf_counter()
    with database.connect(config) as con:
        made = pages.write(con, config, folder / "report")
    seconds = time.perf_counter() - start
    of_others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return dict(
        seconds=seconds,
        cpu_s=time.process_time() + of_others.ru_utime + of_others.ru_stime,
        other_gb=of_others.ru_maxrss * 1024 / 1e9,
        neurons=made.neurons,
        pages=made.pages,
    )


def in_chromium(report: Path) -> dict[str, float] | None:
    """Milliseconds of opening, of each key while the feature neurons or all neurons are shown, of loading
    and of sorting these; None where there is no Chromium."""
    if _CHROMIUM is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        screen = browser.new_page(viewport=dict(width=1280, height=900))
        start = time.perf_counter()
        screen.goto((report / "index.html").as_uri(), wait_until="commit")
        screen.wait_for_function("document.querySelectorAll('#neurons tbody tr').length > 0")
        screen.evaluate("() => new Promise(requestAnimationFrame)")
        found = dict(open_ms=1000 * (time.perf_counter() - start))
        screen.wait_for_load_state("load")

        def typed() -> float:
            keys = [_TYPED[:n] for n in range(1, len(_TYPED) + 1)]
            times = [screen.evaluate(_TIMED, ["search", text]) for text in keys]
            screen.evaluate(_TIMED, ["search", ""])
            return statistics.median(times)

        found["key_ms"] = typed()
        found["load_all_ms"] = screen.evaluate(_TIMED, ["among", "2"])
        found["key_all_ms"] = typed()
        start = time.perf_counter()
        screen.evaluate("() => document.querySelector('#neurons th:nth-child(3) button').click()")
        found["sort_all_ms"] = 1000 * (time.perf_counter() - start)
        browser.close()
    return found


def row(size: Size = SIZE) -> dict[str, Any]:
    """Everything of a report of this size."""
    folder = Path(tempfile.mkdtemp(prefix="bench-report-"))
    try:
        (folder / "data").mkdir()
        apart(make, folder / "data", size)
        found, memory_gb = apart(written, folder)
        files = [path for path in (folder / "report").rglob("*") if path.is_file()]
        sizes = dict(files=len(files), mb=sum(path.stat().st_size for path in files) / 1e6)
        return found | sizes | dict(gb=memory_gb, cores=cores(), chromium=in_chromium(folder / "report"))
    finally:
        shutil.rmtree(folder)


def told(found: dict[str, Any]) -> str:
    """Lines for people."""
    says = (
        f"report of {found['neurons']:,} neurons, {found['pages']:,} pages: {found['seconds']:.0f} s "
        f"({found['cpu_s']:.0f} s of processors, {found['cores']} cores), {found['mb']:.0f} MB in "
        f"{found['files']:,} files, {found['gb']:.2f} GB of memory and {found['other_gb']:.2f} GB in each "
        f"other process; goals: {GOAL_S} s, {GOAL_MB} MB\n"
    )
    shown = found["chromium"]
    if shown is None:
        return says + "    in Chromium: there is none here"
    return says + (
        f"    in Chromium: open {shown['open_ms']:.0f} ms, a key {shown['key_ms']:.0f} ms; of all neurons: "
        f"loaded {shown['load_all_ms']:.0f} ms, a key {shown['key_all_ms']:.0f} ms, sorted "
        f"{shown['sort_all_ms']:.0f} ms; goal: {GOAL_MS} ms a key"
    )


if __name__ == "__main__":
    print(told(row()))
