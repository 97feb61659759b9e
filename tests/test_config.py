import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.errors import UserError


@pytest.mark.parametrize(
    ("spec", "ranges"),
    [
        ("64", ((0, 63),)),
        ("0-63", ((0, 63),)),
        ("3,7,12", ((3, 3), (7, 7), (12, 12))),
        ("7,", ((7, 7),)),
        (" 9, 0-3 ", ((0, 3), (9, 9))),
        ("all", ((0, 2**31 - 1),)),
    ],
)
def test_neurons_take_a_count_a_range_a_list_or_all(spec, ranges):
    assert Config(neurons=spec).neuron_ranges == ranges


@given(st.integers(1, 10**6))
def test_a_count_is_the_same_as_its_range(count):
    settings = [Config(neurons=n).values(("neurons",)) for n in (f"{count}", f"0-{count - 1}")]
    assert settings[0] == settings[1]


@pytest.mark.parametrize("spec", ["", "0", "-3", "5-2", "a", "1,,2", "1.5", "1-2-3", "99999999999"])
def test_neurons_that_mean_nothing_are_refused(spec):
    with pytest.raises(UserError, match="NEURONS"):
        Config(neurons=spec)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"similarity": 1.01}, "SIMILARITY is 1.01; it must be from -1 to 1"),
        ({"similarity": float("nan")}, "SIMILARITY is nan"),
        ({"activation": -0.1}, "ACTIVATION is -0.1; it must be from 0 to 1"),
        ({"activation": "high"}, "ACTIVATION is 'high'; it must be a number"),
        ({"selectivity": "x"}, "SELECTIVITY is 'x'; it must be a number"),
        ({"model": ""}, "MODEL is empty"),
        ({"max_tokens": 1}, "MAX_TOKENS is 1; it must be 2 or more"),
        ({"layer": -1}, "LAYER is '-1'; give a number (6), a range"),
        ({"layer": 1.5}, "LAYER is 1.5; it must be a text or a whole number"),
        ({"synonyms": 0}, "SYNONYMS is 0"),
        ({"selectivity": float("inf")}, "SELECTIVITY"),
        ({"source": "web"}, "SOURCE is 'web'; choose neuroscope or scan"),
        ({"phrases": "sum"}, "PHRASES is 'sum'; choose sif or mean"),
        ({"describer": "me"}, "DESCRIBER is 'me'; choose lexical or openai"),
        ({"site": ""}, "SITE is empty"),
        ({"site": "http://exa mple"}, "an address has a host"),
        ({"site": "https://me:pw@h"}, "no name, password"),
        ({"site": "http://h:99999"}, "SITE is"),
        ({"site": "nowhere/"}, "SITE: no folder"),
        ({"rate": 0}, "RATE is 0"),
        ({"connections": 0}, "CONNECTIONS is 0"),
        ({"refresh": 1}, "REFRESH is 1; it must be true or false"),
        ({"fasttext": "nowhere.vec"}, "FASTTEXT: no file 'nowhere.vec'"),
    ],
)
def test_settings_outside_their_limits_are_refused_with_what_is_allowed(setting, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace(")", r"\)")):
        Config(**setting)


@pytest.mark.parametrize("setting", [{"similarity": -1}, {"similarity": 1}, {"activation": 0}])
def test_the_limits_themselves_are_allowed(setting):
    assert Config(**setting)


def test_numbers_are_one_setting_wherever_they_come_from():
    import numpy as np

    assert Config(similarity=1, layer=np.int64(1), neurons=64) == Config(similarity=1.0, neurons="64")
    assert str(Config(similarity=-0.0).similarity) == "0.0"
