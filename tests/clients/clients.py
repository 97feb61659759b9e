"""Whether other people's programs read the results: `make clients`.

Makes a small run, then asks the same of each client, in an environment of its own under .venv-clients/:
every table and view, every macro and every example, of the database and of a data set's folder; and of
pandas and polars the folders of tables. Answers have to equal those of the DuckDB that wrote the file. A
package that cannot be fetched is told and skipped; a client that is there and fails is a failure.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from pipeline.config import Config  # noqa: E402
from pipeline.results import database  # noqa: E402
from pipeline.results.publish import dataset  # noqa: E402
from pipeline.tables import TABLES, VIEWS  # noqa: E402

_ASK = Path(__file__).with_name("ask.py")
_MACROS = (
    "feature_neurons_at(0.3, 0.2)",
    "feature_neurons_at(0.3, 0.2, min_selectivity := 0.1)",
    "found_at(max_q := 0.5, min_coverage := 0.3)",
    "found_at()",
    "neurons_with_word('genus')",
    "neighbours_of(7)",
    "neighbours_of(7, most := 3, in_layer := 1)",
    "activation_histogram(3)",
    "activation_histogram(3, bins := 5, in_model := 'demo')",
    "polysemantic_neurons()",
    "polysemantic_neurons(min_coverage := 0.1)",
)
_N_TEXTS = 900
_BAR = set("█▉▊▋▌▍▎▏ ")


@dataclass(frozen=True)
class Client:
    """A program that reads results: what is installed, and how it is asked (as `ask.py`, or `cli`)."""

    name: str
    packages: tuple[str, ...]
    kind: str = "duckdb"

    @property
    def folder(self) -> Path:
        """Its environment."""
        return ROOT / ".venv-clients" / self.name

    def install(self) -> str | None:
        """Make the environment unless it is there; the last line of why not, where it cannot be fetched."""
        done = self.folder / "installed"
        if done.exists():
            return None
        subprocess.run([sys.executable, "-m", "venv", "--clear", self.folder], check=True)
        pip = [self.folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        limits = ["--only-binary", ":all:", "--retries", "1", "--timeout", "30"]
        tried = subprocess.run([*pip, *limits, *self.packages], capture_output=True, text=True, check=False)
        if tried.returncode:
            return (tried.stderr.strip() or "pip says nothing").splitlines()[-1]
        done.touch()
        return None

    def answers(self, place: Path, items: list[str]) -> list[Any]:
        """Its answer to each question over a database or data set, or for each folder; errors are texts."""
        if self.kind == "cli":
            return [self._shell(place, question) for question in items]
        given = [self.folder / "bin/python", _ASK, self.kind, place]
        asked = subprocess.run(given, input=json.dumps(items), capture_output=True, text=True, check=False)
        return json.loads(asked.stdout) if asked.returncode == 0 else [asked.stderr] * len(items)

    def _shell(self, place: Path, question: str) -> Any:
        own = (
            ["-init", "neurons.sql"] if place.is_dir() else ["-init", "/dev/null", "-readonly", str(place)]
        )
        asked = subprocess.run(
            [self.folder / "bin/duckdb", *own, "-json", "-c", question],
            cwd=place if place.is_dir() else place.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode:
            return asked.stderr
        text = asked.stdout[asked.stdout.find("[{") :] if "[{" in asked.stdout else "[]"
        return [list(row.values()) for row in json.loads(text)]


CLIENTS = (
    Client("duckdb-1.1.3", ("duckdb==1.1.3",)),
    Client("duckdb-1.4", ("duckdb==1.4.*",)),
    Client("duckdb-current", ("duckdb",)),
    Client("duckdb-cli", ("duckdb-cli",), "cli"),
    Client("pandas", ("pandas", "pyarrow"), "pandas"),
    Client("polars", ("polars",), "polars"),
)


def questions() -> Iterator[str]:
    """Everything that is asked of a database; each has a total order."""
    for name in [*TABLES, *VIEWS]:
        yield f"select count(*) from {name}"
    for name, table in VIEWS.items():
        key = ", ".join(f'"{column}"' for column in table.key)
        yield f"select * from {name} order by {key}"
    for macro in _MACROS:
        yield f"select * from {macro}"
    for path in sorted((ROOT / "sql/queries").glob("*.sql")):
        yield path.read_text(encoding="utf-8")


def same(found: Any, expected: Any) -> bool:
    """Whether two answers are equal but for rounding, and for how a client words a value."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float) and isinstance(found, float | int):
        return math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(found, str) and isinstance(expected, str) and not set(found + expected) - _BAR:
        return True  # versions draw a bar's last part differently
    return found == expected


def run(folder: Path) -> Config:
    """A small run in a folder."""
    [part] = sorted((ROOT / "data/demo/text").glob("*.parquet"))
    (folder / "text").mkdir()
    pq.write_table(pq.read_table(part).slice(0, _N_TEXTS), folder / "text/part.parquet")
    config = Config(
        text=str(folder / "text"), data=str(folder / "data"), neurons="0-95", similarity=0.25,
        activation=0.1, synonyms=2,
    )  # fmt: skip
    tables = database.run(config)
    dataset.write(config, tables, folder / "set", "ada/neurons")
    return config


@dataclass(frozen=True)
class Job:
    """What clients of some kinds are asked: of a place, some items; and the answers that are right."""

    kinds: tuple[str, ...]
    what: str
    place: Path
    items: list[str]
    right: list[Any]


def jobs(config: Config, folder: Path) -> list[Job]:
    """All that is asked over a finished run."""
    tables = database.run(config)
    asked = list(questions())
    with database.connect(config) as con:
        right = json.loads(json.dumps([con.execute(q).fetchall() for q in asked], default=str))
    public = [(question, answer) for question, answer in zip(asked, right, strict=True) if in_set(question)]
    set_asked, set_right = ([pair[i] for pair in public] for i in (0, 1))
    folders = [str(file.parent) for table in tables for file in tables.files(table)]
    sizes = [[tables.n_rows(table), TABLES[table].schema.names] for table in tables]
    return [
        Job(("duckdb", "cli"), "neurons.duckdb", database.path_of(config), asked, right),
        Job(("duckdb", "cli"), "a data set", folder / "set", set_asked, set_right),
        Job(("pandas", "polars"), "folders of tables", folder, folders, sizes),
    ]


def in_set(question: str) -> bool:
    """Whether a data set gives the same answer: it has no ledger, other settings, views for tables."""
    return not any(part in question for part in ("from ledger", "from settings", "current_database()"))


def failures(client: Client, asked: list[Job]) -> int:
    """Ask a client all that is of its kind, and say how it answers; the number of wrong answers."""
    failed = 0
    for job in asked:
        if client.kind not in job.kinds:
            continue
        answers = zip(job.items, client.answers(job.place, job.items), job.right, strict=True)
        wrong = [(item, found) for item, found, right in answers if not same(found, right)]
        failed += len(wrong)
        right = f"{len(job.items) - len(wrong):>3} of {len(job.items)} answers right"
        print(f"{client.name:<16} {job.what:<20} {right}", flush=True)
        for item, found in wrong:
            print(f"  {' '.join(item.split())[:100]}\n    {str(found)[:300]}")
    return failed


def main() -> int:
    """Ask every client; 1 where one that is there fails."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="clients-") as name:
        asked = jobs(run(Path(name)), Path(name))
        for client in CLIENTS:
            if why := client.install():
                print(f"{client.name:<16} skipped, it cannot be fetched: {why}", flush=True)
            else:
                failed += failures(client, asked)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
