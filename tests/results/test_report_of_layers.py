"""A report of several layers of different size, over invented results: what it holds, and in a browser."""

import filecmp
import json
import re
import shutil
from html import unescape
from pathlib import Path

import invented_layers
import pytest
from results.test_report import CHROMIUM, FLAGS, fits, rows_of

from pipeline import cli
from pipeline.engine.processes import Processes
from pipeline.results import database, findings
from pipeline.results.report import pages

SIZE = invented_layers.Size(layers=3, neurons=400, variants=12, fewer=60)
LAYERS = {0: 400, 1: 340, 2: 280}
FOLDER = f"neurons/{invented_layers.MODEL}"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The config of the invented results."""
    return invented_layers.make(tmp_path_factory.mktemp("layers") / "data", SIZE)


@pytest.fixture(scope="module")
def con(config):
    """Their database."""
    with database.connect(config) as found:
        yield found


@pytest.fixture(scope="module")
def report(config, con):
    """Their report, of which candidates and what comes near have pages."""
    folder = Path(config.data) / "report"
    assert pages.write(con, config, folder).neurons == sum(LAYERS.values())
    return folder


def asked(con, query):
    return con.sql(query).fetchall()


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def with_page(con):
    """Layer and number of candidates, feature neurons and the nearest misses."""
    wanted = asked(con, "select layer, neuron from overview where is_candidate or is_selected")
    return {*wanted, *((row["layer"], row["neuron"]) for row in findings.near_misses(con, 30)[:30])}


def test_candidates_feature_neurons_and_nearest_misses_have_a_page_and_no_others(con, report):
    wanted = with_page(con)
    assert 0 < len(wanted) < sum(LAYERS.values()) / 4
    found = {tuple(map(int, path.with_suffix("").parts[-2:])) for path in (report / FOLDER).rglob("*.html")}
    assert found == wanted


@pytest.mark.slow
def test_with_all_every_neuron_has_a_page(config, tmp_path, capsys):
    given = ["--data", config.data, "--source", "scan"]
    assert cli.main(["report", str(tmp_path / "report"), "--all", *given]) == 0
    n = sum(LAYERS.values())
    assert capsys.readouterr().out == f"{n:,} neurons, {n:,} pages; open {tmp_path}/report/index.html\n"
    for layer, neurons in LAYERS.items():
        names = {path.stem for path in (tmp_path / "report" / FOLDER / str(layer)).iterdir()}
        assert names == set(map(str, range(neurons)))


def test_every_link_of_every_page_and_row_leads_to_a_page(report):
    rows = [row[0] for file in (report / "table").iterdir() for row in rows_of(file)]
    assert len(rows) == sum(LAYERS.values())
    texts = {report: "".join(rows), **{path.parent: "" for path in report.rglob("*.html")}}
    for path in report.rglob("*.html"):
        texts[path.parent] += path.read_text()
    for folder, text in texts.items():
        for link in set(re.findall(r'(?:href|src)="([^"]*)"', text)):
            assert link.startswith("data:") or (folder / link).is_file(), link


def test_pages_lead_to_the_next_page_of_their_layer(con, report):
    for layer in LAYERS:
        numbers = sorted(number for of, number in with_page(con) if of == layer)
        for before, number, after in zip([None, *numbers], numbers, [*numbers[1:], None], strict=False):
            text = (report / FOLDER / f"{layer}/{number}.html").read_text()
            beside = re.findall(r'rel="(prev|next)" href="(\d+)\.html"', text)
            expected = [("prev", before), ("next", after)]
            assert beside == [(rel, str(other)) for rel, other in expected if other is not None]


def test_each_layers_count_and_share_are_those_of_the_tables(con, report):
    text = (report / "index.html").read_text().partition('id="by-layer"')[2].partition("</table>")[0]
    rows = re.findall(r'data-place="(\d)".*?</tr>', text)
    cells = [re.findall(r"<td.*?>(?:<span.*?</span>)?([^<]*)</td>", row) for row in text.split("<tr>")[2:]]
    expected = asked(
        con,
        """
        select count(*) filter (is_selected), 100 * count(*) filter (is_selected) / count(*),
            count(*) filter (is_candidate), count(*)
        from overview group by layer order by layer
        """,
    )
    assert rows == ["0", "1", "2"]
    assert [row[1:5] for row in cells] == [
        [f"{found:,}", f"{share:.1f} %", f"{candidates:,}", f"{neurons:,}"]
        for found, share, candidates, neurons in expected
    ]
    widths = [
        [float(width) for width in re.findall(r"width: ([\d.]+)rem", row)] for row in text.split("<tr>")[2:]
    ]
    most, largest = (max(row[i] for row in expected) for i in (0, 1))
    for [count, share], row in zip(widths, expected, strict=True):
        assert count == pytest.approx(5 * row[0] / most, abs=0.01)
        assert share == pytest.approx(5 * row[1] / largest, abs=0.01)


def test_the_files_of_the_table_hold_each_neuron_once(con, report):
    label = "layer || '/' || neuron"
    order = [f"{row['layer']}/{row['neuron']}" for row in findings.neurons(con)]
    assert [shown(row) for row in rows_of(report / "table/found.js")] == order
    for layer in LAYERS:
        rest = asked(
            con,
            f"select {label}, is_candidate from overview "
            f"where layer = {layer} and not is_selected order by neuron",
        )
        rows = rows_of(report / f"table/{layer}.js")
        assert [(shown(row), row[2] == 1, row[3]) for row in rows] == [(*each, layer) for each in rest]
    assert sorted(path.name for path in (report / "table").iterdir()) == [
        "0.js",
        "1.js",
        "2.js",
        "found.js",
    ]


def shown(row):
    """The name of a neuron in its row."""
    return re.search(r'class="number">(?:<a [^>]*>)?([^<]*)<', row[0])[1]


def test_a_report_is_the_same_from_one_process_and_from_two(config, con, report, tmp_path):
    for count in (1, 2):
        pages.write(con, config, tmp_path / str(count), engine=Processes(count, few=1))
    names = files(report)
    assert names == files(tmp_path / "1") == files(tmp_path / "2")
    for folder in (report, tmp_path / "1"):
        _, other, wrong = filecmp.cmpfiles(folder, tmp_path / "2", names, shallow=False)
        assert (other, wrong) == ([], [])


def test_small_multiples_have_a_panel_for_each_layer_on_the_same_scales(con, report):
    text = (report / "charts.js").read_text().removeprefix("window.figures = ").removesuffix(";\n")
    figures = json.loads(text)
    assert [figure["layout"]["meta"] for figure in figures] == [{"panels": 3}] * 4
    for figure in figures:
        assert [note["text"] for note in figure["layout"]["annotations"]] == [f"layer {n}" for n in LAYERS]
        assert all(len(trace["x"]) and any(trace["y"]) for trace in figure["data"])
    evidence = next(figure for figure in figures if figure["layout"]["xaxis"]["title"]["text"] == "p")
    assert len({json.dumps(trace["x"]) for trace in evidence["data"]}) == 1
    counted = [sum(trace["y"]) for trace in evidence["data"]]
    assert counted == [
        n for (n,) in asked(con, "select count(*) from overview where p < 1 group by layer order by layer")
    ]


@pytest.fixture(scope="module", params=["a wide screen in the light", "a phone in the dark"])
def screen(request, report):
    """The report in a browser; it complains of nothing and asks for nothing outside."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    wide = "wide" in request.param
    size = dict(width=1200, height=900) if wide else dict(width=390, height=844)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport=size, color_scheme="light" if wide else "dark")
        complaints, requests = [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((report / "index.html").as_uri())
        yield page
        assert complaints == []
        assert all(url.startswith(("file:", "data:")) for url in requests)
        browser.close()


@pytest.fixture
def overview(screen, report):
    """The overview with nothing filtered."""
    address = (report / "index.html").as_uri()
    if screen.url != address:
        screen.goto(address)
    for name in ("#search", "#limit-q", "#limit-selectivity"):
        screen.locator(name).fill("")
    for name in ("#layer", "#kind"):
        screen.locator(name).select_option("")
    screen.locator("#among").select_option("feature neurons")
    return screen


def column(screen, number):
    return screen.locator(f"#neurons tbody td:nth-child({number})").all_text_contents()


def all_rows(screen, number=1):
    """A column of all rows, whichever part of the table they stand in."""
    found = column(screen, number)
    while screen.locator("#next").is_visible() and screen.locator("#next").is_enabled():
        screen.locator("#next").focus()
        screen.keyboard.press("Enter")
        assert screen.locator("#neurons tbody tr").count() <= 100
        found += column(screen, number)
    return found


def of(con, condition):
    return {
        name for (name,) in asked(con, f"select layer || '/' || neuron from overview where {condition}")
    }


@pytest.mark.parametrize(
    ("among", "condition"),
    [("feature neurons", "is_selected"), ("and candidates", "is_candidate"), ("all neurons", "true")],
)
def test_the_table_shows_those_of_a_layer_as_far_as_asked_for(con, overview, among, condition):
    overview.locator("#among").select_option(among)
    total = len(of(con, condition))
    overview.locator("#shown", has_text=f"{total:,} of {total:,}").wait_for()
    assert sorted(all_rows(overview)) == sorted(of(con, condition))
    for layer in LAYERS:
        overview.locator("#layer").select_option(str(layer))
        own = of(con, f"{condition} and layer = {layer}")
        overview.locator("#shown", has_text=f"{len(own):,} of {len(own):,}").wait_for()
        assert sorted(all_rows(overview)) == sorted(own)


def test_a_layer_is_filtered_together_with_kind_words_and_limits(con, overview):
    overview.locator("#layer").select_option("1")
    where = "is_selected and layer = 1"
    for kind in asked(con, f"select distinct kind from overview where {where}"):
        overview.locator("#kind").select_option(kind[0])
        assert set(all_rows(overview)) == of(con, f"{where} and kind = '{kind[0]}'")
    overview.locator("#kind").select_option("")
    [(said, phrase)] = asked(con, f"select description, max_phrases[3] from overview where {where} limit 1")
    for text in (said.upper(), phrase):
        overview.locator("#search").fill(text)
        words = "(description || ' ' || array_to_string(max_phrases, ' ')).lower()"
        spoken = of(con, f"{where} and {words}.contains($${text.strip()}$$.lower())")
        assert set(all_rows(overview)) == spoken != of(con, where)
        assert spoken
    overview.locator("#search").fill("")
    overview.locator("#limit-q").fill("0.0001")
    assert set(all_rows(overview)) == of(con, f"{where} and q <= 0.0001") != of(con, where)
    overview.locator("#limit-selectivity").fill("0.2")
    assert set(all_rows(overview)) == of(con, f"{where} and q <= 0.0001 and selectivity >= 0.2")


def test_other_neurons_are_sorted_among_the_feature_neurons(con, overview):
    overview.locator("#among").select_option("all neurons")
    n = sum(LAYERS.values())
    overview.locator("#shown", has_text=f"{n:,} of {n:,}").wait_for()
    heads = overview.locator("#neurons th").all_text_contents()
    for name in ("coverage", "neuron"):
        button = overview.locator(f"#neurons th:nth-child({heads.index(name) + 1}) button")
        button.focus()
        overview.keyboard.press("Enter")
        overview.keyboard.press("Enter")
    order = [
        name for (name,) in asked(con, "select layer || '/' || neuron from overview order by layer, neuron")
    ]
    assert all_rows(overview) == order
    overview.locator(f"#neurons th:nth-child({heads.index('q') + 1}) button").click()
    overview.locator(f"#neurons th:nth-child({heads.index('q') + 1}) button").click()


def test_a_neuron_that_is_not_found_has_its_reason_and_a_phrase_in_the_table(con, overview):
    overview.locator("#among").select_option("all neurons")
    overview.locator("#layer").select_option("2")
    [(number, phrase)] = asked(
        con,
        """
        select neuron, any_value(phrases.tokens) from overview join phrases using (model, layer, neuron)
        where layer = 2 and q > 0.9 and rank = 0 group by neuron order by neuron limit 1
        """,
    )
    overview.locator("#search").fill("".join(phrase).strip().lower())
    row = overview.locator("#neurons tbody tr", has_text=f"2/{number}")
    assert "what its phrases share may be chance, q is 0.9" in row.text_content()
    assert "".join(phrase) in row.locator(".phrase").text_content()
    assert row.locator("a").count() == 0


def test_a_layer_is_chosen_in_the_list_of_layers_by_keyboard(con, overview):
    overview.locator("#by-layer button", has_text="2").focus()
    overview.keyboard.press("Enter")
    assert overview.locator("#layer").input_value() == "2"
    assert set(all_rows(overview)) == of(con, "is_selected and layer = 2")


def test_every_chart_is_drawn_with_all_of_its_layers_when_it_is_reached(overview):
    charts = overview.locator(".chart")
    assert charts.count() == 4
    for chart in charts.all():
        chart.scroll_into_view_if_needed()
        chart.locator("svg.main-svg").first.wait_for()
        assert chart.locator(".subplot").count() == 3
        for part in chart.locator(".subplot").all():
            assert part.locator("path.point, .point path").count() > 5
    names = [charts.nth(i).locator(".annotation-text").all_text_contents() for i in range(4)]
    assert names == [["layer 0", "layer 1", "layer 2"]] * 4
    assert fits(overview)


def test_a_neuron_is_reached_by_layer_and_number_and_one_without_a_page_says_so(con, overview):
    pages_of = with_page(con)
    without = next(number for number in range(LAYERS[1]) if (1, number) not in pages_of)
    unknown = overview.locator("#unknown")
    for name, says in (
        (f"1/{without}", f"neuron 1/{without} is no candidate and has no page"),
        ("2/399", "the run did not look at neuron 2/399"),
        ("7", "the run did not look at neuron 7"),
        ("3/7", "the run did not look at neuron 3/7"),
        ("nonsense", "the run did not look at neuron nonsense"),
    ):
        overview.locator("#number").fill(name)
        overview.keyboard.press("Enter")
        assert unescape(unknown.text_content()).startswith(says)
    number = min(number for layer, number in pages_of if layer == 1)
    overview.locator("#number").fill(f"1/00{number}")
    overview.keyboard.press("Enter")
    overview.wait_for_url(f"**/{FOLDER}/1/{number}.html")


def test_a_file_of_the_table_that_is_missing_is_named(report, screen, tmp_path):
    shutil.copytree(report, tmp_path / "report")
    (tmp_path / "report/table/1.js").unlink()
    other = screen.context.browser.new_page()
    other.goto((tmp_path / "report/index.html").as_uri())
    other.locator("#among").select_option("all neurons")
    other.locator("#shown", has_text="table/1.js is not there").wait_for()
    other.close()
