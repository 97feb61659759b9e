"""Variants that resume equal one hooked pass each, in every form of model, whichever way is taken."""

import functools
from itertools import chain

import pytest
import tiny_models
import torch
from tiny_models import FORMS, N_LAYERS

from pipeline.models import cached_passes, resumed_passes
from pipeline.models.phrases import Batch

LENGTHS = (2, 5, 12, 25, 40)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Tiny models by their form, each made once."""
    return functools.cache(lambda form: tiny_models.tiny(form, tmp_path_factory.mktemp("model")))


def assert_whole(found, model, layer, given):
    """What was found is what whole passes give."""
    flat = list(chain.from_iterable(chain.from_iterable(found)))
    expected = tiny_models.whole_passes(model, layer, tiny_models.asked(given))
    scale = torch.tensor(expected).abs().median().item()
    assert flat == pytest.approx(expected, rel=1e-4, abs=1e-5 * scale)


@pytest.mark.parametrize(
    ("layer", "sizes"), [(0, (1, 10**9)), (1, (60, 30_000)), (N_LAYERS - 1, (10**6, 10**9))]
)
@pytest.mark.parametrize("form", FORMS)
def test_every_variant_equals_a_whole_pass_in_blocks_of_our_own(form, layer, sizes, made):
    model, given = made(form), tiny_models.texts(LENGTHS, seed=layer)
    tower = model.tower(layer)
    for block in tower.blocks:
        block.rows = 10  # fewer than a text has, as are the queries
    assert_whole(resumed_passes.peaks(tower, given, Batch(*sizes, queries=7)), model, layer, given)


@pytest.mark.parametrize(("layer", "sizes"), [(1, (20, 10**6)), (N_LAYERS - 1, (10**6, 10**9))])
@pytest.mark.parametrize("form", [*FORMS, *tiny_models.OTHERS])
def test_every_variant_equals_a_whole_pass_by_the_models_own_cache(form, layer, sizes, made):
    model, given = made(form), tiny_models.texts(LENGTHS, seed=layer)
    assert cached_passes.refusal(model, layer) == ""
    assert_whole(cached_passes.peaks(model, layer, given, Batch(*sizes)), model, layer, given)
