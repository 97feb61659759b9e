"""A small part of `make truth`: what is planted is found, and what is not is not."""

import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from pipeline.config import Config
from pipeline.results import database
from tests.bench import planted, truth

FAMILIES = dict(set=16, unrelated=10, random=12, always=2, two=6, word=6, punctuation=4, spelling=4)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What a run says of a small planted model, neuron by neuron."""
    folder = tmp_path_factory.mktemp("planted")
    [part] = sorted((ROOT / "data/demo/text").glob("*.parquet"))
    text = folder / "text.parquet"
    pq.write_table(pq.read_table(part).slice(0, 5000), text)
    lines = pq.read_table(text)["text"].to_pylist()
    model = planted.plant(folder / "model", lines, 7, FAMILIES)
    config = Config(
        model=str(folder / "model"),
        source="scan",
        layer=0,
        text=str(text),
        data=str(folder / "data"),
        synonyms=2,
    )
    database.run(config)
    return truth.answers(folder / "data/neurons.duckdb", model)


def of(answers, *families):
    return [answer for answer in answers if answer.planted.family in families]


def test_sets_are_found_and_said_to_be_sets_of_their_own_words(answers):
    sets = [answer for answer in of(answers, "set") if answer.shown >= 0.5]
    found = [answer for answer in sets if answer.is_found]
    assert len(found) >= len(sets) / 2  # with vectors of so little text
    assert sum(answer.is_right for answer in found) >= 0.7 * len(found)
    measured = truth.measures(answers)
    assert measured["only planted words"] >= 0.9
    assert measured["half of the words"] >= 0.8


def test_neurons_of_no_meaning_are_hardly_ever_found(answers):
    assert sum(answer.is_found for answer in of(answers, *planted.FALSE)) <= 2


def test_what_has_a_meaning_is_surer_than_what_has_none(answers):
    assert truth.measures(answers)["AUROC"] > 0.9


def test_words_marks_and_spellings_are_told_apart(answers):
    for family in ("word", "punctuation", "spelling"):
        own = [answer for answer in of(answers, family) if answer.shown >= 0.5]
        assert sum(answer.is_right for answer in own) >= 0.7 * len(own), family


def test_two_sets_are_two_groups_more_often_than_one_is(answers):
    two = [answer for answer in of(answers, "two") if answer.shows_both]
    assert sum(answer.is_split for answer in two) >= len(two) / 3
    assert sum(len(answer.groups) > 1 for answer in of(answers, "set")) <= 2
