"""The report: right, safe with hostile tokens, and usable in a browser without a network."""

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser

import duckdb
import pytest

from pipeline import cli
from pipeline.errors import UserError
from pipeline.results import database, render
from pipeline.results.report import pages

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "javascript:alert(1)",
    "\x1b[31m\u202e",
    "' onmouseover='alert(1)",
]
HOSTILE_SQL = "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in HOSTILE) + "]"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def written(small, tmp_path_factory):
    """The report of a small run with scores, and its tables."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(small.data, folder / "data")
    config = dataclasses.replace(small, data=str(folder / "data"), score=True)
    tables = database.run(config)
    with database.connect(config) as con:
        assert pages.write(con, config, folder / "report", everything=True).neurons == 96
    return folder / "report", tables, config


class Page(HTMLParser):
    """What a page holds: text by tag, and the attributes of its elements."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def page(folder, name):
    return Page((folder / name).read_text())


def rows_of(file):
    """The rows of a table's file: HTML, words, how far it came, place, number, kind and scores."""
    text = file.read_text().partition("] = ")[2].removesuffix("];\n").rstrip(",\n")
    return json.loads(text + "]")


def of(neuron):
    """Where the page of a neuron of the small run is."""
    return f"neurons/demo/1/{neuron}.html"


def test_every_neuron_has_a_page_and_feature_neurons_are_in_the_table(written):
    folder, tables, _ = written
    assert len(list((folder / "neurons/demo/1").glob("*.html"))) == 96
    index = page(folder, "index.html")
    linked = [a["href"] for tag, a in index.elements if tag == "a"]
    chosen = sorted(tables["feature_neurons"].to_pylist(), key=lambda r: -r["avg_activation"])
    table = [of(row["neuron"]) for row in chosen for _ in range(2)]
    assert linked[: len(table)] == table
    assert all((folder / name).is_file() for name in linked)
    text = " ".join(index.text)
    for row in chosen:
        assert row["description"] in text


def test_a_page_shows_the_maps_with_the_mat_and_the_substitutions(written):
    folder, tables, _ = written
    neuron = tables["feature_neurons"]["neuron"][0].as_py()
    found = page(folder, of(neuron))
    mats = [a for tag, a in found.elements if tag == "i" and a.get("class") == "mat"]
    maps = [row for row in tables["maps"].to_pylist() if row["neuron"] == neuron]
    assert len(mats) == len(maps)
    text = "".join(found.text)
    for row in maps:
        assert row["phrase"].replace("\n", "⏎") in text
    for title in ("Raised or kept it most", "Lowered it most", "Texts that its description was judged by"):
        assert title in text
    best = max(
        (
            r
            for r in tables["retentions"].to_pylist()
            if r["neuron"] == neuron
            and r["kind"] == "synonym"
            and r["retention"] is not None
            and r["upto_mat"]
        ),
        key=lambda r: r["retention"],
    )
    assert f"{best['retention']:.2f}" in text


def test_neighbouring_pages_are_linked(written):
    folder, _, _ = written
    first, last = page(folder, of(0)), page(folder, of(95))
    assert [a["href"] for tag, a in first.elements if a.get("rel") in ("prev", "next")] == ["1.html"]
    assert [a["href"] for tag, a in last.elements if a.get("rel") in ("prev", "next")] == ["94.html"]


HARM = f"""
create or replace table maps as select * replace (
    list_transform(tokens, lambda x, i: ({HOSTILE_SQL})[(i - 1) % {len(HOSTILE)} + 1]) as tokens
) from maps;
update descriptions set description = ({HOSTILE_SQL})[3];
update feature_neurons set description = ({HOSTILE_SQL})[3], max_phrases = {HOSTILE_SQL};
update groups set mats = {HOSTILE_SQL}, clean = true;
insert into pages (model, layer, neuron, address, status)
    select model, layer, neuron, 'javascript:alert(1)', 'ok' from similarity;
update places set replacements = [({HOSTILE_SQL})[2] for each in replacements] where place > 0;
"""


@pytest.fixture(scope="module")
def hostile(written, tmp_path_factory):
    """The same report with tokens, phrases, descriptions and addresses that would do harm."""
    _, _, config = written
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copyfile(database.path_of(config), folder / "neurons.duckdb")
    with duckdb.connect(str(folder / "neurons.duckdb")) as con:
        con.execute(HARM)
        pages.write(con, config, folder / "report")
    return folder / "report"


def test_hostile_tokens_are_only_text(hostile, written):
    _, tables, _ = written
    allowed = {"table/found.js", "report.js", None}
    for name in ("index.html", of(tables["feature_neurons"]["neuron"][0].as_py())):
        found = page(hostile, name)
        assert {a.get("src") for tag, a in found.elements if tag == "script"} <= allowed
        assert not [tag for tag, _ in found.elements if tag in ("img", "iframe", "object")]
        assert not [k for _, a in found.elements for k in a if k.startswith("on")]
        assert not [a for _, a in found.elements if (a.get("href") or "").startswith("javascript")]
        text = (hostile / name).read_text()
        assert not re.search("[\x1b\u202e]", text)
        assert "{{ 7 * 7 }}" in text


def test_hostile_tokens_are_only_text_in_the_rows_of_the_table_too(hostile, written):
    _, tables, _ = written
    found = [row for name in ("found", "0") for row in rows_of(hostile / f"table/{name}.js")]
    assert len(found) == len(tables["similarity"])
    for html, *_ in found:
        row = Page(html)
        assert {tag for tag, _ in row.elements} <= {"tr", "td", "a", "small", "div", "i"}
        assert not [k for _, a in row.elements for k in a if k.startswith("on")]
        assert all(a["href"].startswith("neurons/") for tag, a in row.elements if tag == "a")
        assert "{{ 7 * 7 }}" in "".join(row.text)
        assert not re.search("[\x1b\u202e]", html)


def test_a_report_is_replaced_and_anything_else_is_not(written, tmp_path):
    folder, _, config = written
    (tmp_path / "report.js").write_text("mine")
    with database.connect(config) as con:
        pages.write(con, config, folder, everything=True)
        with pytest.raises(UserError, match="holds something else"):
            pages.write(con, config, tmp_path)
    assert (tmp_path / "report.js").read_text() == "mine"


def test_a_bad_folder_is_refused_before_anything_runs(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("x")
    for args in (["report", str(tmp_path)], ["export", "neuronpedia", str(tmp_path)]):
        assert cli.main([*args, "--data", str(tmp_path / "data")]) == 2
        assert "holds something else" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_run_that_found_nothing_has_a_report(small, tmp_path, capsys):
    shutil.copytree(small.data, tmp_path / "data")
    args = ["--data", str(tmp_path / "data"), "--similarity", "1", "--neurons", "0-7", "--source", "scan"]
    assert cli.main(["report", str(tmp_path / "report"), *args, "--text", small.text]) == 0
    n_pages = len(list((tmp_path / "report/neurons").rglob("*.html")))
    said = f"8 neurons, {n_pages} pages; open {tmp_path / 'report/index.html'}\n"
    assert capsys.readouterr().out == said
    text = (tmp_path / "report/index.html").read_text()
    assert "No feature neuron; try SIMILARITY=" in text


@pytest.fixture(scope="module")
def browser():
    """Chromium of the system, driven by Playwright."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module", params=["a wide screen in the light", "a phone in the dark"])
def shared_screen(browser, request):
    """A page, with what it complains of and asks the network for."""
    wide = "wide" in request.param
    size = dict(width=1200, height=900) if wide else dict(width=390, height=844)
    context = browser.new_context(viewport=size, color_scheme="light" if wide else "dark")
    page = context.new_page()
    page.complaints, page.asked = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (page.complaints.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    context.close()


@pytest.fixture
def screen(shared_screen):
    """The same page; it complains of nothing and asks for nothing outside."""
    yield shared_screen
    assert shared_screen.complaints == []
    assert all(url.startswith(("file:", "data:")) for url in shared_screen.asked)


def open_overview(screen, folder):
    """Show the overview with nothing filtered; its charts take seconds, so it stays open between tests."""
    address = (folder / "index.html").as_uri()
    if screen.url != address:
        screen.goto(address)
    for field in ("#search", "#limit-q", "#limit-similarity", "#limit-selectivity"):
        screen.locator(field).fill("")
    screen.locator("#kind").select_option("")


def fits(screen):
    return screen.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_it_opens_and_every_kind_of_page_can_be_pictured(written, screen, tmp_path):
    folder, tables, _ = written
    neuron = tables["feature_neurons"]["neuron"][0].as_py()
    for name in (of(neuron), of(0), "index.html"):
        screen.goto((folder / name).as_uri())
        picture = tmp_path / f"{name.replace('/', '-')}.png"
        screen.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 10_000
        assert fits(screen), name
    charts = screen.locator(".chart")
    assert charts.count() == 4
    for chart in charts.all():
        chart.scroll_into_view_if_needed()
        chart.locator("svg.main-svg").first.wait_for()


def shown(screen, column):
    cells = screen.locator(f"#neurons tbody tr:visible td:nth-child({column})")
    return cells.all_text_contents()


def test_the_table_is_sorted_and_filtered_by_keyboard(written, screen):
    folder, tables, _ = written
    open_overview(screen, folder)
    ours = tables["feature_neurons"].to_pylist()
    heads = screen.locator("#neurons th").all_text_contents()
    at = heads.index("similarity") + 1
    button = screen.locator(f"#neurons th:nth-child({at}) button")
    button.focus()
    screen.keyboard.press("Enter")
    values = [float(text) for text in shown(screen, at)]
    assert values == sorted(values, reverse=True)
    screen.keyboard.press("Enter")
    assert [float(text) for text in shown(screen, at)] == values[::-1]
    at = heads.index("selectivity") + 1
    screen.locator(f"#neurons th:nth-child({at}) button").click()
    texts = shown(screen, at)
    known = [float(text) for text in texts if text != "–"]
    assert known == sorted(known, reverse=True)
    assert texts[len(known) :] == ["–"] * (len(texts) - len(known))

    word = ours[0]["max_phrases"][0].split()[0].lower()
    screen.locator("#search").fill(word)
    expected = {
        str(row["neuron"])
        for row in ours
        if word in " ".join([row["description"], *row["max_phrases"]]).lower()
    }
    assert set(shown(screen, 1)) == expected
    assert screen.locator("#shown").text_content() == f"{len(expected)} of {len(ours)}"
    screen.locator("#search").fill("")
    middle = sorted(row["similarity"] for row in ours)[len(ours) // 2]
    screen.locator("#limit-similarity").fill(str(middle))
    assert set(shown(screen, 1)) == {str(row["neuron"]) for row in ours if row["similarity"] >= middle}
    screen.locator("#limit-similarity").fill("")
    middle = sorted(row["q"] for row in ours)[len(ours) // 2]
    screen.locator("#limit-q").fill(str(middle))
    assert set(shown(screen, 1)) == {str(row["neuron"]) for row in ours if row["q"] <= middle}


def test_the_table_is_filtered_by_kind(written, screen):
    folder, tables, _ = written
    open_overview(screen, folder)
    ours = tables["feature_neurons"].to_pylist()
    kinds = {row["kind"] for row in ours}
    offered = screen.locator("#kind option").all_text_contents()
    assert offered == ["all", *sorted(kinds)]
    for kind in kinds:
        screen.locator("#kind").select_option(kind)
        assert set(shown(screen, 1)) == {str(row["neuron"]) for row in ours if row["kind"] == kind}


def test_a_neuron_is_reached_by_its_number(written, screen):
    folder, _, _ = written
    open_overview(screen, folder)
    screen.locator("#number").fill("500")
    screen.keyboard.press("Enter")
    assert screen.locator("#unknown").text_content() == "the run did not look at neuron 500"
    screen.locator("#number").fill("17")
    screen.keyboard.press("Enter")
    screen.wait_for_url(f"**/{of(17)}")
    assert screen.locator("h1").text_content() == "Neuron 17 of demo, layer 1"


def test_activations_of_tokens_are_shown_in_numbers_by_keyboard(written, screen):
    folder, tables, _ = written
    screen.goto((folder / of(17)).as_uri())
    number = "getComputedStyle(document.querySelector('.phrase i[title]'), '::after').content"
    assert screen.evaluate(number) == "none"
    screen.locator("#values").focus()
    screen.keyboard.press("Space")
    first = next(row for row in tables["maps"].to_pylist() if row["neuron"] == 17)
    assert screen.evaluate(number) == f'"{first["activations"][0]:.3g}"'
    assert fits(screen)


def test_hostile_pages_run_nothing(hostile, written, screen):
    _, tables, _ = written
    screen.goto((hostile / "index.html").as_uri())
    screen.locator("#among").select_option("all neurons")
    screen.locator("#neurons tbody tr").nth(95).wait_for()
    screen.goto((hostile / of(tables["feature_neurons"]["neuron"][0].as_py())).as_uri())


def test_templates_ship_in_the_wheel():
    assert {path.name for path in render.FOLDER.iterdir()} == {
        "base.html",
        "card.md",
        "index.html",
        "neuron.html",
        "phrases.html",
        "report.js",
        "rows.html",
        "style.css",
    }
