"""What people see of a run in which chance decides: in a terminal, in the report, and as a data set."""

import dataclasses
import re
import shutil
from html import unescape

import pytest

from pipeline import cli
from pipeline.results import database, findings, terminal
from pipeline.results.publish import dataset
from pipeline.results.report import pages


def run_in(folder, small, **given):
    """The config and tables of a run like the small one, but for these settings."""
    shutil.copytree(small.data, folder / "data")
    config = dataclasses.replace(
        small, data=str(folder / "data"), **dict(similarity=None, activation=None) | given
    )
    return config, database.run(config)


@pytest.fixture(scope="module")
def chance(small, tmp_path_factory):
    """A run without thresholds, at a rate that a small layer allows."""
    return run_in(tmp_path_factory.mktemp("chance"), small, fdr=0.25)


@pytest.fixture(scope="module")
def too_small(small, tmp_path_factory):
    """A run without thresholds over neurons that are too few for chance to decide."""
    return run_in(tmp_path_factory.mktemp("few"), small, neurons="0-7")


@pytest.fixture(scope="module")
def report(chance, tmp_path_factory):
    """The report of that run."""
    folder = tmp_path_factory.mktemp("report") / "report"
    with database.connect(chance[0]) as con:
        pages.write(con, chance[0], folder)
    return folder


def printed(run):
    config, tables = run
    with database.over(config, tables) as con:
        return terminal.results(con, config).splitlines()


def ours(run, table="feature_neurons"):
    return {row["neuron"]: row for row in run[1][table].to_pylist()}


def in_order(run):
    with database.over(*run) as con:
        return [row["neuron"] for row in findings.neurons(con)]


def test_the_terminal_says_at_which_rate_and_counts_the_kinds(chance):
    found = ours(chance)
    assert found
    told = " ".join(" ".join(printed(chance)).split())
    assert told.startswith("demo, layer 1: 96 neurons, ")
    assert f"{len(found)} feature neurons at a false discovery rate of 0.25 (" in told
    assert "expected to be false)" in told
    for kind in {row["kind"] for row in found.values()}:
        assert f"{sum(row['kind'] == kind for row in found.values())} {kind}" in told


def test_the_surest_come_first_whatever_their_activation(chance):
    found = ours(chance)
    order = in_order(chance)
    assert sorted(order) == sorted(found)
    q = [found[neuron]["q"] for neuron in order]
    assert q == pytest.approx(sorted(q))
    listed = [int(match[1]) for line in printed(chance) if (match := re.match(r" *(\d+)  [a-z]+ ", line))]
    assert listed == order[:30]


def test_each_line_fits_and_has_kind_q_and_coverage(chance):
    lines = printed(chance)
    assert max(map(len, lines)) <= 116
    for neuron, row in ours(chance).items():
        share = findings.percent(row["coverage"])
        start = f"{neuron:>6}  {row['kind']:<8} {row['q']:>7.2g}{share:>7} "
        assert neuron not in in_order(chance)[:30] or [line for line in lines if line.startswith(start)]


def test_phrases_of_a_neuron_are_those_that_show_what_it_stands_for(chance):
    lines = printed(chance)
    verdicts = ours(chance, "verdicts")
    maps = chance[1]["maps"].to_pylist()
    for neuron in in_order(chance)[:30]:
        own = [r for r in maps if r["neuron"] == neuron and not r["duplicate"]]
        showing = [r for r in own if r["rank"] in verdicts[neuron]["ranks"]][:3]
        [at] = [i for i, line in enumerate(lines) if re.match(rf" *{neuron}  [a-z]", line)]
        shown = []
        for line in lines[at + 1 :]:
            if re.match(r" {8}\S", line):
                shown.append(line.strip().replace("[", "").replace("]", ""))
            elif not line.startswith(" " * 9):
                break
        assert shown == [
            terminal.plain("".join(r["tokens"])).strip().replace("[", "").replace("]", "") for r in showing
        ]


def test_the_nearest_misses_are_told_with_what_would_find_them(chance):
    with database.over(*chance) as con:
        near = findings.near_misses(con, 3)
    assert near
    lines = printed(chance)
    after = lines[lines.index("nearest misses:") + 1 :]
    assert after == [f"  neuron {r['neuron']}: {r['likely_kind']}, {r['reason']}" for r in near]


@pytest.mark.slow
def test_what_a_near_miss_asks_for_finds_it(chance, small, tmp_path):
    with database.over(*chance) as con:
        [near] = findings.near_misses(con, 1)
    again = run_in(tmp_path, small, **dict(fdr=0.25) | {near["setting"].lower(): near["value"]})
    assert near["neuron"] not in ours(chance)
    assert near["neuron"] in ours(again)


def test_show_tells_kind_evidence_and_the_p_of_each_test(chance, capsys):
    config, _ = chance
    neuron = in_order(chance)[0]
    row, verdict = ours(chance)[neuron], ours(chance, "verdicts")[neuron]
    assert cli.main(["show", str(neuron), "--data", config.data]) == 0
    first, second, third = capsys.readouterr().out.splitlines()[:3]
    assert first.startswith(f"demo, layer 1, neuron {neuron}: {terminal.plain(row['description'])}")
    assert second.startswith(
        f"kind {row['kind']}, q {row['q']:.2g}, covers {100 * row['coverage']:.0f} %, "
    )
    for name in ("words", "group", "phrases", "token", "spelling", "substitution"):
        assert f"{name} {findings.sure(verdict[f'p_{name}'])}" in third


def test_show_tells_what_would_find_a_near_miss(chance, capsys):
    config, tables = chance
    with database.over(config, tables) as con:
        [near] = findings.near_misses(con, 1)
    assert cli.main(["show", str(near["neuron"]), "--data", config.data]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert f"not a feature neuron: nearest to the kind {near['likely_kind']}: {near['reason']}" in first
    assert second.startswith(f"kind none (nearest: {near['likely_kind']}), q ")


def index_of(report):
    return (report / "index.html").read_text()


def test_the_report_opens_with_the_table_and_a_phrase_of_each_neuron(chance, report):
    text = index_of(report)
    sections = re.findall(r'<section aria-labelledby="(\w+)"', text)
    assert sections[:4] == ["found", "near", "steps", "charts"]
    body = text.partition('<table id="neurons">')[2].partition("</table>")[0]
    parts = body.partition("<tbody>")[2].split("<tr>")[1:]
    rows = [re.findall(r"<td>(\w+)</td>", part)[0] for part in parts]
    verdicts = ours(chance, "verdicts")
    maps = {(r["neuron"], r["rank"]): r for r in chance[1]["maps"].to_pylist()}
    assert rows == [ours(chance)[neuron]["kind"] for neuron in in_order(chance)]
    for neuron, part in zip(in_order(chance), parts, strict=True):
        shown = [
            unescape(re.sub("<[^>]*>", "", phrase))
            for phrase in re.findall(r'<div class="phrase">(.*?)</div>', part, re.DOTALL)
        ]
        phrases = {terminal.plain("".join(maps[neuron, n]["tokens"])) for n in verdicts[neuron]["ranks"]}
        assert shown
        assert set(shown) <= phrases


def test_the_report_says_above_the_table_what_the_terminal_says(chance, report):
    header = unescape(index_of(report).partition("<header>")[2].partition("</header>")[0])
    told = " ".join(
        " ".join(line for line in printed(chance)[:4] if line and "neuron  kind" not in line).split()
    )
    headline = told.partition(" expected to be false)")[0]
    assert headline in header


def test_near_misses_of_the_report_name_a_setting_and_its_value(chance, report):
    with database.over(*chance) as con:
        near = findings.near_misses(con, 30)
    section = index_of(report).partition('id="near"')[2].partition("</section>")[0]
    assert section.count('<tr><td class="number">') == len(near)
    for row in near:
        assert f"<td>{row['setting']}={row['value']:g}</td>" in section


def test_the_page_of_a_neuron_marks_the_phrases_that_show_it(chance, report):
    neuron = in_order(chance)[0]
    text = (report / f"neurons/demo/1/{neuron}.html").read_text()
    marks = [bool(mark) for mark in re.findall(r'<span class="shows">(●?)</span>', text)]
    ranks = set(ours(chance, "verdicts")[neuron]["ranks"])
    own = [r["rank"] for r in chance[1]["maps"].to_pylist() if r["neuron"] == neuron]
    assert marks == [rank in ranks for rank in own]
    assert "p of each test" in text


def test_the_card_and_the_published_views_say_that_chance_decided(chance, tmp_path):
    config, tables = chance
    made = dataset.write(config, tables, tmp_path / "dataset", "ada/neurons")
    card = (made.folder / "README.md").read_text()
    assert "Chance decided" in card and "Thresholds decided" not in card
    assert "have a q of at most 0.25 (FDR)" in card
    assert "expected to be false" in card
    settings = (made.folder / "neurons.sql").read_text()
    for line in ("('fdr', '0.25')", "('similarity', null)", "('activation', null)", "('kinds', null)"):
        assert line in settings


def test_a_layer_too_small_for_chance_goes_by_thresholds_and_says_so(too_small, tmp_path):
    lines = printed(too_small)
    assert "(similarity >= 0.6)" in lines[0]
    assert "(normalised activation >= 0.3)" in lines[0]
    assert lines[1] == "  too few neurons or words to tell what is by chance: thresholds decide"
    config, _ = too_small
    with database.connect(config) as con:
        assert pages.write(con, config, tmp_path / "report").neurons == 8
        for neuron in range(8):
            assert terminal.neuron(con, neuron, colour=False)
    index = index_of(tmp_path / "report")
    assert "too few neurons or words" in index
    assert index.count('class="chart"') == index.count("<figcaption>")


@pytest.mark.slow
def test_that_no_neuron_comes_near_is_said_plainly(small, tmp_path):
    config, tables = run_in(tmp_path, small, fdr=0.999, coverage=0.0)
    with database.over(config, tables) as con:
        assert findings.near_misses(con, 1) == []
        assert "nearest misses" not in terminal.results(con, config)
    with database.connect(config) as con:
        pages.write(con, config, tmp_path / "report")
    assert "None: no other neuron comes near." in index_of(tmp_path / "report")
