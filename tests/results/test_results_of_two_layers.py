"""Results that hold two layers, where neuron 7 of one is not neuron 7 of the other."""

import contextlib
import dataclasses
import gzip
import json
import re
import shutil
from html import unescape
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import ROOT
from two_layers import NEURONS

from pipeline import cli
from pipeline.results import database, export, terminal
from pipeline.results.publish import dataset
from pipeline.results.report import pages
from pipeline.tables import TABLES, VIEWS

QUERIES = (
    *(f"from {view}" for view in VIEWS),
    "from neighbours_of(7, most := 3)",
    "from neighbours_of(7, in_layer := 1)",
    "from neighbours_of(7, in_model := 'demo')",
    "from activation_histogram(7, bins := 6)",
    "from activation_histogram(7, in_layer := 0, in_model := 'demo')",
    "from feature_neurons_at(0.01, 0.4)",
    "from neurons_with_word('the')",
    "from polysemantic_neurons()",
    "from found_at(1, 0)",
)
NONE_IN_A_SMALL_LAYER = ("from described_groups", "from polysemantic_neurons()")  # too few words to tell


@pytest.fixture
def con(both):
    """The database of both layers."""
    with database.connect(both[0]) as found:
        yield found


def by_place(table):
    """Rows by layer and neuron."""
    places = {}
    for row in table.to_pylist():
        places.setdefault((row["layer"], row["neuron"]), []).append(row)
    return places


def answers(con, query):
    return con.sql(query).to_arrow_table().to_pylist()


def test_neuron_7_is_another_in_each_layer_and_the_steps_leave_others(both):
    _, tables = both
    chosen = by_place(tables["feature_neurons"])
    assert chosen[0, 7][0]["max_phrases"] != chosen[1, 7][0]["max_phrases"]
    assert {layer for layer, _ in by_place(tables["candidates"])} == {0, 1}
    left = [[layer for layer, _ in by_place(tables[t])] for t in ("candidates", "selected")]
    assert left[0].count(0) != left[0].count(1)


def counted(tables):
    """How many neurons of each layer each step left."""
    similarity = by_place(tables["similarity"])
    compared = [place for place, [row] in similarity.items() if row["similarity"] is not None]
    steps = [similarity, compared, by_place(tables["candidates"]), by_place(tables["selected"])]
    return {layer: [sum(place[0] == layer for place in step) for step in steps] for layer in NEURONS}


def test_report_terminal_and_sql_count_the_same_funnel(both, con, report):
    config, tables = both
    expected = counted(tables)
    funnel = answers(con, "from funnel")
    assert {n: [r["neurons"] for r in funnel if r["layer"] == n] for n in NEURONS} == expected
    for row, before in zip(funnel, [None, *funnel], strict=False):
        assert row["taken_away"] == (before["neurons"] - row["neurons"] if row["step"] > 1 else 0)

    asked = con.sql((ROOT / "sql/queries/funnel.sql").read_text()).fetchall()
    assert asked == [(r["what"], r["neurons"], r["taken_away"], r["why"]) for r in funnel]

    index = (report / "index.html").read_text()
    cells = re.findall(r"<tr><td>demo</td>(.*?)</tr>", index)
    shown = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in cells]
    took = [f"{r['taken_away']} {r['why']}" if r["taken_away"] else "" for r in funnel]
    assert [[unescape(text) for text in row] for row in shown] == [
        [str(r["layer"]), r["what"], str(r["neurons"]), why] for r, why in zip(funnel, took, strict=True)
    ]

    printed = terminal.results(con, config).splitlines()
    for layer, (looked_at, _, candidates, selected) in expected.items():
        [line] = [line for line in printed if line.startswith(f"demo, layer {layer}: ")]
        for part in (f"{looked_at} neurons", f"{candidates} candidate", f"{selected} feature neuron"):
            assert part in line


@pytest.fixture(scope="module")
def report(both, tmp_path_factory):
    """The report of both layers."""
    config, _ = both
    folder = tmp_path_factory.mktemp("report") / "report"
    with database.connect(config) as con:
        assert pages.write(con, config, folder, everything=True) == (12, 12)
    return folder


def text_of(page):
    """What a page shows, without its elements."""
    return unescape(re.sub(r"<[^>]*>", "", page.read_text()))


def test_each_page_of_the_report_shows_its_own_neuron(both, report):
    _, tables = both
    maps, descriptions = by_place(tables["maps"]), by_place(tables["descriptions"])
    changed, windows = by_place(tables["retentions"]), by_place(tables["windows"])
    files = {path.relative_to(report).as_posix() for path in (report / "neurons").rglob("*.html")}
    assert files == {f"neurons/demo/{layer}/{neuron}.html" for layer, neuron in maps}
    for (layer, neuron), own in maps.items():
        page = report / f"neurons/demo/{layer}/{neuron}.html"
        text = text_of(page)
        assert f"Neuron {neuron} of demo, layer {layer}" in text
        assert all(row["phrase"].replace("\n", "⏎") in text for row in own)
        others = {row["phrase"] for row in maps.get((1 - layer, neuron), ())} - {r["phrase"] for r in own}
        first = text_of(page).partition("Substitutions")[0].partition("Groups of phrases")[0]
        assert not [phrase for phrase in others if phrase.replace("\n", "⏎") in first]
        if (layer, neuron) in descriptions:
            assert descriptions[layer, neuron][0]["description"] in text
        table = page.read_text().partition("Controls: unrelated words")[2].partition("</table>")[0]
        controls = [
            row
            for row in changed.get((layer, neuron), ())
            if row["kind"] == "control" and row["retention"] is not None and row["upto_mat"] is not False
        ]
        assert table.count("<tr>") - bool(table) == min(len(controls), 10)
        judged = page.read_text().partition('id="windows"')[2].partition("</table>")[0]
        assert judged.count("<tr>") - bool(judged) == len(windows.get((layer, neuron), ()))


def test_links_of_the_report_lead_to_pages_and_stay_in_their_layer(report):
    index = (report / "index.html").read_text()
    places = json.loads(re.search(r'id="places">(.*?)</script>', index)[1])
    assert [(each["name"], each["folder"]) for each in places] == [
        (str(layer), f"neurons/demo/{layer}") for layer in NEURONS
    ]
    for place, own in zip(places, NEURONS.values(), strict=True):
        [[first, last]] = place["paged"]
        assert place["looked"] == place["paged"]
        assert f"{first}-{last}" == own
    linked = re.findall(r'href="(neurons/[^"]*)">([^<]*)<', index)
    assert {("neurons/demo/0/7.html", "0/7"), ("neurons/demo/1/7.html", "1/7")} <= set(linked)
    assert all((report / page).is_file() for page in dict(linked))
    for page in (report / "neurons").rglob("*.html"):
        links = re.findall(r'(?:href|src)="([^"]*)"', page.read_text())
        assert all((page.parent / link).is_file() for link in links if not link.startswith("data:"))
        beside = re.findall(r'rel="(?:prev|next)" href="(\d+)\.html"', page.read_text())
        there = {int(other.stem) for other in page.parent.iterdir()}
        number = int(page.stem)
        assert {int(name) for name in beside} == there & {number - 1, number + 1}


def test_the_terminal_shows_each_neuron_with_its_own_phrases(both, con):
    config, tables = both
    lines = terminal.results(con, config).splitlines()
    maps, verdicts = by_place(tables["maps"]), by_place(tables["verdicts"])
    for (layer, neuron), [row] in by_place(tables["feature_neurons"]).items():
        [at] = [i for i, line in enumerate(lines) if re.match(rf" *{neuron} +{layer} ", line)]
        described = " ".join("".join(f"{line:<200}" for line in lines[at : at + 8]).split())
        assert " ".join(terminal.plain(row["description"]).split()) in described
        assert f"{row['avg_activation']:.3g}" in lines[at]
        ranks = verdicts[layer, neuron][0]["ranks"] if row["kind"] != "none" else range(20)
        own = [row for row in maps[layer, neuron] if not row["duplicate"] and row["rank"] in ranks][:3]
        first = next(i for i in range(at + 1, len(lines)) if re.match(" {8}\\S", lines[i]))
        marked = [line.strip() for line in lines[first : first + len(own)]]
        expected = ["".join(map(terminal.plain, row["tokens"])).strip() for row in own]
        assert [line.replace("[", "").replace("]", "") for line in marked] == [
            text.replace("[", "").replace("]", "") for text in expected
        ]


def shown(capsys, config, *args):
    """The exit code of `show`, and what it prints."""
    code = cli.main(["show", "--data", config.data, *args])
    return code, *capsys.readouterr()


def test_show_takes_every_layer_or_the_one_that_is_named(both, capsys):
    config, tables = both
    code, out, _ = shown(capsys, config, "7")
    assert code == 0
    of_0, of_1 = out.split("\n\n")
    assert of_0.startswith("demo, layer 0, neuron 7: ")
    assert of_1.startswith("demo, layer 1, neuron 7: ")
    for layer, part in enumerate((of_0, of_1)):
        peaks = [f"{row['max_activation']:.3g}" for row in by_place(tables["maps"])[layer, 7]]
        assert re.findall(r"(?m)^ *\d+ +(\S+)  ", part) == peaks
        assert shown(capsys, config, f"{layer}:7")[1] == f"{part.rstrip()}\n"
        assert shown(capsys, config, f"{layer}:7", "--model", "demo")[0] == 0
    assert shown(capsys, config, "0:3")[2] == (
        "error: neuron 3, layer 0 is not in the last run, which had NEURONS=3-9 of demo, layer 0; "
        "demo, layer 1\n"
    )
    code, _, err = shown(capsys, config, "7", "--model", "other")
    assert (code, "neuron 7, model other is not in the last run" in err) == (2, True)


def test_phrases_for_a_notebook_are_those_of_the_layer_that_is_named(both, con):
    _, tables = both
    texts = [unescape(re.sub(r"<[^>]*>", "", pages.phrases(con, 7, layer=layer))) for layer in (0, 1)]
    for layer, text in enumerate(texts):
        assert all(row["phrase"].replace("\n", "⏎") in text for row in by_place(tables["maps"])[layer, 7])
    assert pages.phrases(con, 7) == pages.phrases(con, 7, layer=0) + pages.phrases(con, 7, layer=1)


@pytest.fixture(scope="module")
def exported(both, tmp_path_factory):
    """Both forms of both layers."""
    folder = tmp_path_factory.mktemp("exported")
    for form in export.FORMS:
        assert export.write(form, *both, folder / form) == 14
    return folder


@pytest.fixture(scope="module")
def sampled(both):
    """The samples of each neuron that is exported, strongest first."""
    neuron = pc.field("neuron")
    return by_place(both[1]["samples"].filter((neuron >= 3) & (neuron <= 9)))


def lines(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def test_neuronpedia_has_a_source_for_each_layer(both, exported, sampled):
    described = by_place(both[1]["descriptions"])
    for layer in NEURONS:
        folder = exported / f"neuronpedia/demo/{layer}-feature-neurons"
        assert json.loads((folder / "source.jsonl").read_text())["id"] == folder.name
        features = lines(folder / "features/batch-0.jsonl.gz")
        assert {row["hookName"] for row in features} == {f"blocks.{layer}.mlp.ln.hook_in"}
        for row in features:
            own = sampled[layer, int(row["index"])]
            assert row["maxActApprox"] == own[0]["max_activation"]
        found = lines(folder / "activations/batch-0.jsonl.gz")
        assert {row["layer"] for row in found} == {folder.name}
        own = [row for (n, _), rows in sampled.items() for row in rows if n == layer]
        assert [(row["tokens"], row["values"]) for row in found] == [
            (row["tokens"], row["activations"]) for row in own
        ]
        told = {int(r["index"]): r["description"] for r in lines(folder / "explanations/batch-0.jsonl.gz")}
        assert told == {n: row["description"] for (of, n), [row] in described.items() if of == layer}


def test_neuron_records_lie_by_layer(exported, sampled):
    for (layer, neuron), own in sampled.items():
        record = json.loads((exported / f"neuron-record/{layer}/{neuron}.json").read_text())
        assert record["neuron_id"]["layer_index"] == layer
        strongest = record["most_positive_activation_records"]
        assert [r["activations"] for r in strongest] == [r["activations"] for r in own]
    records = [json.loads((exported / f"neuron-record/{n}/7.json").read_text()) for n in NEURONS]
    assert records[0]["mean"] != records[1]["mean"]


def test_neighbours_are_those_of_the_own_layer(both, con):
    vectors = {
        place: np.array([row["vector"] for row in rows if row["vector"]], np.float64)
        for place, rows in by_place(both[1]["vectors"]).items()
    }
    for layer in NEURONS:
        expected = {
            neuron: float((vectors[layer, 7] @ other.T).mean())
            for (of, neuron), other in vectors.items()
            if of == layer and neuron != 7
        }
        found = answers(con, f"from neighbours_of(7, most := 3, in_layer := {layer})")
        assert {row["layer"] for row in found} == {layer}
        assert [row["neuron"] for row in found] == sorted(expected, key=lambda n: -expected[n])[:3]
        assert [row["similarity"] for row in found] == pytest.approx(
            sorted(expected.values(), reverse=True)[:3], abs=1e-5
        )
    parts = [answers(con, f"from neighbours_of(7, most := 3, in_layer := {layer})") for layer in (0, 1)]
    assert answers(con, "from neighbours_of(7, most := 3)") == parts[0] + parts[1]


def test_a_histogram_counts_the_tokens_of_one_layer(con, sampled):
    parts = []
    for layer in NEURONS:
        values = [v for row in sampled[layer, 7] for v in row["activations"][row["text_start"] :]]
        counts, edges = np.histogram(np.array(values, np.float64), bins=6)
        found = answers(con, f"from activation_histogram(7, bins := 6, in_layer := {layer})")
        assert [row["n_tokens"] for row in found] == [n for n in counts.tolist() if n]
        assert found[0]["from_activation"] == pytest.approx(edges[0])
        assert found[-1]["to_activation"] == pytest.approx(edges[-1])
        parts += found
    assert answers(con, "from activation_histogram(7, bins := 6)") == parts
    assert answers(con, "from activation_histogram(7, in_model := 'other')") == []


@pytest.mark.parametrize(("similarity", "activation"), [(0.01, 0.2), (0.03, 0.5)])
def test_other_thresholds_are_relative_to_the_strongest_of_the_own_layer(both, con, similarity, activation):
    _, tables = both
    averages = by_place(tables["averages"])
    verified = {
        place: averages[place][0]["avg_activation"]
        for place, [row] in by_place(tables["candidates"]).items()
        if row["similarity"] >= similarity
    }
    highest = {n: max(v for (layer, _), v in verified.items() if layer == n) for n in NEURONS}
    assert highest[0] != highest[1]
    expected = {p: v / highest[p[0]] for p, v in verified.items() if v / highest[p[0]] >= activation}
    found = answers(con, f"from feature_neurons_at({similarity}, {activation})")
    values = {(row["layer"], row["neuron"]): row["normalised_activation"] for row in found}
    assert values == pytest.approx(expected)
    maps = by_place(tables["maps"])
    for row in found:
        own = [each["phrase"] for each in maps[row["layer"], row["neuron"]] if not each["duplicate"]]
        assert row["max_phrases"] == own


def test_a_word_is_counted_in_each_layer_apart(both, con):
    holding = {}
    for row in both[1]["words"].to_pylist():
        if row["word"] == "the":
            own = holding.setdefault((row["layer"], row["neuron"]), {})
            own[row["rank"]] = own.get(row["rank"], False) or row["is_mat"]
    assert {0, 1} == {layer for layer, _ in holding}
    found = {(r["layer"], r["neuron"]): r for r in answers(con, "from neurons_with_word('the')")}
    assert {place: (row["n_maps"], row["n_mats"]) for place, row in found.items()} == {
        place: (len(ranks), sum(ranks.values())) for place, ranks in holding.items()
    }
    maps = by_place(both[1]["maps"])
    for place, row in found.items():
        assert row["phrases"] == [each["phrase"] for each in maps[place] if each["rank"] in holding[place]]


@pytest.fixture(scope="module")
def published(both, tmp_path_factory):
    """What the folder that would be published answers to each query."""
    made = dataset.write(*both, tmp_path_factory.mktemp("published") / "dataset", "ada/neurons")
    with contextlib.chdir(made.folder), duckdb.connect() as con:
        con.execute(Path("neurons.sql").read_text())
        return {query: answers(con, query) for query in QUERIES}


@pytest.mark.parametrize("query", QUERIES)
def test_a_published_folder_answers_as_the_database_does(con, published, query):
    assert published[query] == answers(con, query)
    assert published[query] or query in NONE_IN_A_SMALL_LAYER
    assert {row["layer"] for row in published[query]} <= {0, 1}


@pytest.fixture
def renamed(both, tmp_path):
    """The database and config of the same rows, layer 0 as that of another model."""
    config = dataclasses.replace(both[0], data=str(tmp_path))
    shutil.copyfile(database.path_of(both[0]), database.path_of(config))
    with duckdb.connect(str(database.path_of(config))) as con:
        for name, table in TABLES.items():
            if "layer" in table.key:
                con.execute(f"update {name} set model = 'a/b', layer = 1 where layer = 0")
    return config


def test_two_models_are_kept_apart_too(renamed, tmp_path, capsys):
    with database.connect(renamed) as con:
        assert pages.write(con, renamed, tmp_path / "report", everything=True) == (12, 12)
        in_models = [
            answers(con, f"from neighbours_of(7, in_model := '{name}')") for name in ("a/b", "demo")
        ]
        assert answers(con, "from neighbours_of(7, in_layer := 1)") == in_models[0] + in_models[1]
        histograms = [
            answers(con, f"from activation_histogram(7, in_model := '{n}')") for n in ("a/b", "demo")
        ]
        assert answers(con, "from activation_histogram(7)") == histograms[0] + histograms[1]
        printed = terminal.results(con, renamed)
    assert printed.startswith("a/b, layer 1: 6 neurons, ")
    assert "\ndemo, layer 1: 6 neurons, " in printed
    titles = [text_of(tmp_path / f"report/neurons/{name}/1/7.html") for name in ("a_b", "demo")]
    assert ["Neuron 7 of a/b, layer 1" in titles[0], "Neuron 7 of demo, layer 1" in titles[1]] == [True] * 2
    assert 'href="neurons/a_b/1/7.html">a/b/1/7<' in (tmp_path / "report/index.html").read_text()
    assert shown(capsys, renamed, "7", "--model", "a/b")[1].startswith("a/b, layer 1, neuron 7: ")
    assert Path(renamed.data).is_dir()
