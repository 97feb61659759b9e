"""Results fit the terminal that shows them."""

import duckdb
import pytest

from pipeline.printable import cells
from pipeline.results import database, findings, terminal


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 100, 116])
def test_no_line_of_the_results_or_of_a_neuron_is_wider_than_the_terminal(small, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    with database.connect(small) as con:
        shown = terminal.results(con, small)
        neurons = [terminal.neuron(con, number, colour=False) for number in range(0, 96, 8)]
    assert max(map(cells, "\n".join([shown, *neurons]).splitlines())) <= columns
    assert "feature neurons" in " ".join(shown.split())


def test_a_wide_terminal_shows_every_column_and_a_narrow_one_the_first(small, monkeypatch):
    titles = {}
    for width in (80, 40):
        monkeypatch.setenv("COLUMNS", str(width))
        with database.connect(small) as con:
            lines = terminal.results(con, small).splitlines()
        titles[width] = next(line.split() for line in lines if line.startswith("neuron "))
    first = ["neuron", "kind", "q", "cover", "avg", "act"]
    assert titles[80] == [*first, "norm", "select", "description"]
    assert titles[40] == first


@pytest.fixture
def wide():
    """A result whose neuron's MAPs are of characters that take two columns, or none."""
    own = "select 'm' as model, 0 as layer, 'positive' as sign, 1 as neuron"
    nulls = ("reason", "detection_f1", "similarity", "normalised_activation", "selectivity", "description")
    unknown = ", ".join(f"null as {name}" for name in (*nulls, "description_coverage"))
    ps = ", ".join(f"0.1 as {name}" for name in ("p", "q", "coverage", *findings.TESTS))
    tokens = "['日本語日本語日本語', 'e\u0301e\u0301', '中', 'ｗｉｄｅ', '日本語日本語']"
    kinds = "'word' as kind, 'word' as likely_kind, false as is_selected, 0 as n_clean_groups"
    with duckdb.connect() as con:
        con.execute(f"create table overview as {own}, {kinds}, {ps}, {unknown}")
        con.execute("create table near_misses as from (from overview) limit 0")
        con.execute(f"create table verdicts as {own}, {ps}")
        con.execute(f"create table described_groups as {own}, 0 as number, true as clean limit 0")
        con.execute(
            f"create table phrases as {own}, 0 as rank, 1.0 as max_activation, 2 as mat, "
            f"false as duplicate, {tokens} as tokens, [0.1, 0.2, 1.0, 0.3, 0.4] as activations"
        )
        yield con


@pytest.mark.parametrize("columns", range(20, 60, 3))
def test_wide_and_combining_characters_fit_too(wide, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    line = terminal.neuron(wide, 1, colour=False).splitlines()[-1]
    assert "[中]" in line
    assert cells(line) <= columns
    assert ("…" in line) == (columns < 58)


def test_colours_change_nothing_of_what_is_shown(wide, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    plain, coloured = (terminal.neuron(wide, 1, colour=colour).splitlines()[-1] for colour in (False, True))
    assert "\x1b[48;2;75;255;75;38;2;0;0;0m中\x1b[0m" in coloured
    assert "\x1b" not in plain
