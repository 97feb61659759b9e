"""The report of a whole model in Chromium: 4,096 neurons, and 32,768 where `make clients` runs this.

How long it takes is measured by `make bench`.
"""

import os

import invented_layers
import pytest
from results.test_report import CHROMIUM, FLAGS, fits

from pipeline.results import database
from pipeline.results.report import pages

SMALL = invented_layers.Size(layers=8, neurons=512, share=0.06, maps=3, variants=2)
WHOLE = invented_layers.Size(layers=8, neurons=4096)


@pytest.fixture(scope="module", params=[SMALL, WHOLE], ids=lambda size: f"{size.n_neurons} neurons")
def shown(request, tmp_path_factory):
    """The report in a browser, and a connection to what it shows."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    if request.param is WHOLE and "FETCH_CLIENTS" not in os.environ:
        pytest.skip("minutes of work: make clients does it")
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("model")
    config = invented_layers.make(folder / "data", request.param)
    with database.connect(config) as con, sync_playwright() as driver:
        assert pages.write(con, config, folder / "report").neurons == request.param.n_neurons
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport=dict(width=1280, height=900))
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((folder / "report/index.html").as_uri())
        yield page, con
        assert complaints == []
        browser.close()


def counted(con, condition):
    [(number,)] = con.sql(f"select count(*) from overview where {condition}").fetchall()
    return number


def told(page, number, total):
    """Whether so many are said to be shown, of which at most a hundred are rows of the page."""
    page.locator("#shown", has_text=f"{number:,} of {total:,}").wait_for()
    return page.locator("#neurons tbody tr").count() == min(number, 100)


def test_a_whole_model_is_opened_and_filtered_key_by_key_a_hundred_rows_at_a_time(shown):
    page, con = shown
    found, every = counted(con, "is_selected"), counted(con, "true")
    assert told(page, found, found)
    said = "(description || ' ' || array_to_string(max_phrases, ' ')).lower()"
    page.locator("#search").focus()
    typed = "such as ri"
    for n, key in enumerate(typed, 1):
        page.keyboard.type(key)
        assert told(page, counted(con, f"is_selected and {said}.contains(trim('{typed[:n]}'))"), found)
    page.locator("#search").fill("")
    page.locator("#among").select_option("all neurons")
    assert told(page, every, every)
    page.locator("#limit-q").fill("0.3")
    assert told(page, counted(con, "q <= 0.3"), every)
    page.locator("#layer").select_option("6")
    assert told(page, counted(con, "q <= 0.3 and layer = 6"), counted(con, "layer = 6"))
    page.locator("#limit-q").fill("")
    page.locator("#layer").select_option("")
    page.locator("#next").click()
    assert page.locator("#part").text_content() == "101 to 200"
    assert told(page, every, every)
    assert fits(page)


def test_a_neuron_of_any_layer_is_reached_from_a_whole_model(shown):
    page, con = shown
    [(layer, neuron)] = con.sql(
        "select layer, neuron from overview where is_selected order by layer desc, neuron desc limit 1"
    ).fetchall()
    page.locator("#number").fill(f"{layer}/{neuron}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{layer}/{neuron}.html")
    assert page.locator("h1").text_content() == f"Neuron {neuron} of {invented_layers.MODEL}, layer {layer}"
    page.locator("a[rel=prev]").click()
    page.wait_for_url(f"**/{layer}/*.html")
    page.locator("a", has_text="all feature neurons").click()
    page.locator("#neurons").wait_for()
