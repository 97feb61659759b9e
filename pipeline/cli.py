"""The command: `python -m pipeline` or `feature-neurons`.

Results go to stdout, progress and errors to stderr. Exit code 2 is a mistake of the user, 1 any other
error. Heavy packages are imported where they are used, so --help answers at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import Field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pipeline import __version__
from pipeline.config import OPTIONS, Config
from pipeline.errors import DamagedError, PipelineError, UserError, lacks_memory, short_of_memory
from pipeline.output import colours, show, spoken, tell
from pipeline.results.export import FORMS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.engine.made import Part, Tables
# of a run looked at again: where its results are, and what computes
_HERE = ("data", "engine", "workers", "cpus_per_worker", "gpus_per_worker")


def _switch(value: str) -> bool:
    """The value of a switch, as make passes it: REFRESH=1 is --refresh 1, which is --refresh."""
    if value.lower() not in ("1", "yes", "true", "0", "no", "false"):
        raise argparse.ArgumentTypeError(f"{value!r} is neither 1 nor 0")
    return value.lower() in ("1", "yes", "true")


_DATA = tuple(f for f in OPTIONS if f.name == "data")
_KINDS = {"int": int, "float": float, "str": str, "bool": _switch}


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code; a PipelineError becomes one line on stderr."""
    for stream in (sys.stdout, sys.stderr):  # tokens hold any character, a terminal may not show all
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    args = parser().parse_args(argv)
    try:
        given = {f.name: value for f in OPTIONS if (value := getattr(args, f.name, None)) is not None}
        config = Config(**given)
        return args.command(config, args)
    except BrokenPipeError:  # the reader of the output has ended
        sys.stderr.close()
        return 0
    except PipelineError as exc:
        tell(f"error: {exc}")
        return exc.exit_code
    except (MemoryError, RuntimeError) as exc:  # PyTorch's is a RuntimeError
        if not lacks_memory(exc):
            raise
        tell(f"error: {short_of_memory('for this', exc)}")
        return 1
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        tell(f"error: {where}{exc.strerror or exc}")
        return 1
    except KeyboardInterrupt:
        tell("interrupted; what was finished is kept, the same command continues")
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    program = _Parser(
        prog=_name(),
        description="Find the single neurons of a language model that stand for one recognisable thing.",
    )
    program.add_argument("--version", action="version", version=__version__)
    commands = program.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, "run", _run, "make what is missing and print the feature neurons", OPTIONS)
    _command(commands, "plan", _plan, "what is done, what would run and why", OPTIONS)
    _reading(commands)
    site = _command(commands, "site", _site, "write samples as a static site in Neuroscope's form", OPTIONS)
    site.add_argument("folder", nargs="?", type=Path, help="where to write (default: site in DATA)")
    site.add_argument("--samples", type=Path, help="Parquet of any `samples` table, instead of a run's")
    site.add_argument("--circuitsvis", action="store_true", help="draw with CircuitsVis from unpkg.com")
    export = _command(commands, "export", _export, "write results in the form of another tool", OPTIONS)
    export.add_argument("form", choices=FORMS, help="of Neuronpedia, or of OpenAI's neuron-explainer")
    export.add_argument(
        "folder", nargs="?", type=Path, help="where to write (default: export/FORM in DATA)"
    )
    publish = _command(
        commands,
        "publish",
        _publish,
        "put the tables on the Hub, private by default",
        OPTIONS,
    )
    publish.add_argument("repo", metavar="USER/NAME", help="the data set's name on the Hub")
    publish.add_argument("folder", nargs="?", type=Path, help="where to write (default: dataset in DATA)")
    _add_switch(publish, "--public", "make it visible to everybody")
    _command(commands, "check", _check, "compare the store with its schemas and checksums", _DATA)
    return program


def _reading(commands) -> None:
    """The commands that read the results of a run."""
    sql = _command(commands, "sql", _sql, "query the results in SQL; without a query, open a prompt", _DATA)
    sql.add_argument(
        "query",
        nargs="?",
        help="a SELECT in DuckDB's SQL over the tables of the last run, or a .sql file with one",
    )
    sql.add_argument("--format", choices=("table", "csv", "json"), default="table")
    _of_run(sql)
    sql.add_argument(
        "--unsafe", action="store_true", help="allow what does not merely read, files and extensions"
    )
    show = _command(commands, "show", _show, "a neuron's MAPs, coloured by activation", _DATA)
    show.add_argument(
        "neuron", type=_neuron, metavar="[LAYER:]NEURON", help="its number, such as 292, or 6:292"
    )
    _of_run(show)
    show.add_argument("--model", dest="in_model", metavar="MODEL", help="only of the model of this name")
    _command(commands, "runs", _runs, "the runs of the store: model, layers, settings, when", _DATA)
    report = _command(commands, "report", _report, "write pages for a browser, opened from disk", OPTIONS)
    report.add_argument("folder", nargs="?", type=Path, help="where to write (default: report in DATA)")
    _add_switch(report, "--all", "a page of every neuron, not only of candidates and feature neurons")
    _of_run(report)


def _of_run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--run", dest="of_run", metavar="ID", help="an earlier run, as `runs` lists them, not the last one"
    )


def _neuron(given: str) -> tuple[int | None, int]:
    """A neuron as layer (None for any) and number."""
    match = re.fullmatch(r"(?:(\d{1,9}):)?(\d{1,9})", given.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"{given!r} is no neuron; give its number (292) or 6:292")
    return None if match[1] is None else int(match[1]), int(match[2])


def _add_switch(command: argparse.ArgumentParser, name: str, doc: str) -> None:
    command.add_argument(name, nargs="?", const=True, default=False, type=_switch, help=doc)


def _name() -> str:
    """The command as it was called."""
    called = Path(sys.argv[0])
    own = called.name == "__main__.py" and called.parent.name in ("pipeline", "feature_neurons")
    return f"python -m {called.parent.name}" if own else "feature-neurons"


class _Parser(argparse.ArgumentParser):
    """Says what it refuses as everything else is printed."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong after the usage, and exit with code 2."""
        self.print_usage(sys.stderr)
        tell(f"{self.prog}: error: {message}")
        self.exit(2)


def _command(commands, name: str, function, doc: str, options: tuple[Field, ...]):
    parser = commands.add_parser(name, help=doc, description=doc[0].upper() + doc[1:] + ".")
    parser.set_defaults(command=function)
    for option in options:
        silent = option.default is None or option.default is False
        default = "" if silent else f" (default: {option.default})"
        alone = option.metadata["alone"]
        is_switch = {} if alone is None else dict(nargs="?", const=alone)
        parser.add_argument(
            "--" + option.name.replace("_", "-"),
            type=_KINDS[option.type.removesuffix(" | None")],
            choices=option.metadata["choices"],
            metavar=option.name.upper(),
            help=option.metadata["help"] + default,
            **is_switch,
        )
    return parser


def _run(config: Config, args: argparse.Namespace) -> int:
    from pipeline.results import database, terminal

    start = time.monotonic()
    tables = database.run(config)
    if not tables.made:
        tell("nothing left to do: every table is in the store")
    with database.over(config, tables) as con:
        show(terminal.results(con, config))
    tell(f"{time.monotonic() - start:.1f} s; {database.path_of(config)}")
    return _without(tables)


def _without(tables: Tables) -> int:
    """The exit code of a run, after what is said of layers that failed."""
    for place, exc in tables.failed.items():
        tell(f"error: without {place}: {exc}")
    return max((exc.exit_code for exc in tables.failed.values()), default=0)


def _plan(config: Config, args: argparse.Namespace) -> int:
    from pipeline import parts
    from pipeline.run import left_out, part_of

    planned = [part for each in parts.of(config) if not left_out(part := part_of(each))]
    for part in planned:
        if len(planned) > 1:
            show(part.place)
        _plan_of_part(part)
    return 0


def _plan_of_part(part: Part) -> None:
    from pipeline import plan

    config, store, stages = part.config, part.store, part.planned
    for planned in stages.values():
        if planned.stage.fetch:
            tell(planned.stage.fetch.outstanding(planned.stage.handed(config)))
    n_rows: dict[str, int] = {}
    for table, planned in stages.items():
        try:
            manifest, damaged = store.manifest(table, planned.key), ""
        except DamagedError as exc:
            manifest, damaged = None, str(exc)
        if manifest and not manifest.get("unfinished"):
            made = manifest["created"][:16].replace("T", " ")
            other = plan.other_packages(planned, manifest)
            n_rows[table] = manifest["rows"]
            state = f"done   {manifest['rows']:>9,} rows, {made}{'; ' if other else ''}{other}"
        else:
            work = "".join(
                f"; from {n_rows[read]:,} {read}" for read in planned.stage.reads[:1] if read in n_rows
            )
            state = f"to do  {damaged or plan.reason(planned, store)}{work}"
        show(f"{planned.stage.number} {table:<18} {spoken(state)}")


def _runs(config: Config, args: argparse.Namespace) -> int:
    from pipeline.results import past, terminal
    from pipeline.run import store_of

    show(terminal.runs(past.runs(store_of(config))))
    return 0


@contextmanager
def _asked(
    config: Config, args: argparse.Namespace
) -> Iterator[tuple[Config, DuckDBPyConnection, list[Path]]]:
    """The results of the last run, or of the one that was asked for: its settings, a connection, and the
    files that this one reads."""
    from pipeline.results import database, past
    from pipeline.run import store_of

    if args.of_run is None:
        with database.opened(config) as con:
            yield config, con, []
        return
    run, tables = past.tables(store_of(config), args.of_run)
    here = {name: getattr(config, name) for name in _HERE}
    own = dataclasses.replace(run.config, **here)
    with database.over(own, tables) as con:
        yield own, con, [file for table in tables for file in tables.files(table)]


def _sql(config: Config, args: argparse.Namespace) -> int:
    from pipeline.results import questions

    with _asked(config, args) as (_, con, files):
        if not args.unsafe:
            questions.restrict(con, files)
        if args.query is None:
            return questions.prompt(con, unsafe=args.unsafe)
        query = _file(args.query) if args.query.lower().endswith(".sql") else args.query
        show(questions.answer(con, query, args.format, unsafe=args.unsafe), end="")
    return 0


def _file(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise UserError(f"{name} is not text: {exc}") from exc


def _show(config: Config, args: argparse.Namespace) -> int:
    from pipeline.results import terminal

    layer, number = args.neuron
    with _asked(config, args) as (_, con, _files):
        text = terminal.neuron(con, number, layer=layer, model=args.in_model, colour=colours())
    show(text, coloured=True)
    return 0


def _site(config: Config, args: argparse.Namespace) -> int:
    from pipeline.results import neuroscope_site
    from pipeline.run import run

    folder = args.folder or Path(config.data) / "site"
    if args.samples:
        samples = neuroscope_site.read(args.samples)
    else:
        samples = neuroscope_site.only(run(config, until="samples")["samples"], config.neuron_ranges)
    n_pages = neuroscope_site.write(samples, folder, circuitsvis=args.circuitsvis)
    show(f"{n_pages:,} pages; open {folder / 'index.html'}")
    return 0


def _report(config: Config, args: argparse.Namespace) -> int:
    from pipeline.results import database, folders
    from pipeline.results.report import pages

    folder = args.folder or Path(config.data) / "report"
    folders.refuse(folder, pages.IS_OURS)
    code = 0 if args.of_run else _without(database.run(config))
    with _asked(config, args) as (own, con, _files):
        written = pages.write(con, own, folder, everything=args.all)
    show(f"{written.neurons:,} neurons, {written.pages:,} pages; open {folder / 'index.html'}")
    return code


def _export(config: Config, args: argparse.Namespace) -> int:
    from pipeline.results import database, export, folders

    folder = args.folder or Path(config.data) / "export" / args.form
    folders.refuse(folder, folders.is_a(args.form))
    tables = database.run(config)
    n_neurons = export.write(args.form, config, tables, folder)
    show(f"{n_neurons:,} neurons; {folder}")
    return _without(tables)


def _publish(config: Config, args: argparse.Namespace) -> int:
    from pipeline.results import database, folders
    from pipeline.results.publish import dataset, hub

    hub.check(args.repo)
    folder = args.folder or Path(config.data) / "dataset"
    folders.refuse(folder, dataset.is_ours)
    if not config.dry_run:
        hub.sign_in(args.repo)
    tables = database.run(config)
    if tables.failed:
        tell("nothing is published: not every layer asked for could be made")
        return _without(tables)
    made = dataset.write(config, tables, folder, args.repo)
    show(f"{folder}: {len(made.files)} files, {sum(made.files.values()):,} bytes, tag {made.tag}")
    if config.dry_run:
        for name, size in made.files.items():
            show(f"{size:>13,}  {name}")
        who = "everybody to see" if args.public else "you alone to see (PUBLIC=1: everybody)"
        show(f"nothing was sent; without DRY_RUN this goes to {args.repo}, for {who}")
        return 0
    published = hub.publish(made.folder, list(made.files), made.tag, args.repo, public=args.public)
    n_sent, n_deleted = len(published.sent), len(published.deleted)
    what = f"{n_sent} files sent, {n_deleted} deleted" if published.changed else "nothing new"
    show(f"{what}; {'public' if published.public else 'private'}: {published.address}")
    return 0


def _check(config: Config, args: argparse.Namespace) -> int:
    from pipeline.run import store_of
    from pipeline.samples.neuroscope import page_store

    store = store_of(config)
    if not store.folder.is_dir():
        raise UserError(f"no store at {store.folder}; make it with `make data`")
    faults = [*store.faults(), *page_store.faults(Path(config.data) / "pages")]
    for fault in faults:
        show(fault)
    tell(f"{len(faults)} faults in {store.folder}")
    return 1 if faults else 0
