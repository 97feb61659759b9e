"""Results fit the terminal that shows them."""

import duckdb
import pytest

from pipeline.printable import cells
from pipeline.results import database, terminal


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 100, 116])
def test_no_line_of_the_results_or_of_a_neuron_is_wider_than_the_terminal(small, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    with database.connect(small) as con:
        shown = terminal.results(con, small)
        shown += "".join(terminal.neuron(con, number, colour=False) for number in range(0, 96, 8))
    assert max(map(cells, shown.splitlines())) <= columns
    assert "feature neurons" in " ".join(shown.split())


def test_a_wide_terminal_shows_every_column_and_a_narrow_one_the_first(small, monkeypatch):
    with database.connect(small) as con:
        monkeypatch.setenv("COLUMNS", "80")
        heads = {80: terminal.results(con, small)}
        monkeypatch.setenv("COLUMNS", "40")
        heads[40] = terminal.results(con, small)
    titles = {
        width: next(x for x in text.splitlines() if x.startswith("neuron "))
        for width, text in heads.items()
    }
    assert titles[80].split() == [
        "neuron",
        "kind",
        "q",
        "cover",
        "avg",
        "act",
        "norm",
        "select",
        "description",
    ]
    assert titles[40].split() == ["neuron", "kind", "q", "cover", "avg", "act"]


@pytest.fixture
def wide():
    """A result whose neuron's MAPs are of characters that take two columns, or none."""
    with duckdb.connect() as con:
        con.execute(
            """
            create table overview as select 'm' as model, 0 as layer, 1 as neuron, 'word' as likely_kind,
                false as is_selected, null as reason, 0 as n_clean_groups, null::double as detection_f1,
                'word' as kind, 0.1 as p, 0.1 as q, 0.5 as coverage, null::double as similarity,
                null::double as normalised_activation, null::double as selectivity, null as description,
                null::double as description_coverage
            """
        )
        con.execute("create table near_misses as from (select * from overview) limit 0")
        con.execute(
            "create table verdicts as select 'm' as model, 0 as layer, 1 as neuron, 0.1 as p_words, 0.1 as p_group,"
            " 0.1 as p_phrases, 0.1 as p_token, 0.1 as p_spelling, 0.1 as p_substitution"
        )
        con.execute(
            "create table phrases as select 'm' as model, 0 as layer, 1 as neuron, 0 as rank, 1.0 as max_activation,"
            " 2 as mat, false as duplicate, ['日本語日本語日本語', 'e\u0301e\u0301', '中', 'ｗｉｄｅ', '日本語日本語'] as tokens,"
            " [0.1, 0.2, 1.0, 0.3, 0.4] as activations"
        )
        con.execute(
            "create table described_groups as select 'm' as model, 0 as layer, 1 as neuron, 0 as number, true as clean"
            " limit 0"
        )
        yield con


@pytest.mark.parametrize("columns", range(20, 60, 3))
def test_wide_and_combining_characters_fit_too(wide, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    line = terminal.neuron(wide, 1, colour=False).splitlines()[-1]
    assert "[中]" in line
    assert cells(line) <= columns
    assert ("…" in line) == (columns < 56)


def test_colours_change_nothing_of_what_is_shown(wide, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    plain, coloured = (terminal.neuron(wide, 1, colour=colour).splitlines()[-1] for colour in (False, True))
    assert "\x1b[48;2;75;255;75;38;2;0;0;0m中\x1b[0m" in coloured
    assert "\x1b" not in plain
