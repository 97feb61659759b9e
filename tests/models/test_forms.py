"""Variants that resume equal one hooked pass each, in every form of model."""

from itertools import chain

import pytest
import tiny_models
import torch
from tiny_models import FORMS, N_LAYERS

from pipeline.models import resumed_passes
from pipeline.models.blocks import forms
from pipeline.models.phrases import Batch

LENGTHS = (2, 5, 12, 25, 40)


@pytest.fixture(scope="module", params=FORMS)
def form(request, tmp_path_factory):
    """A tiny model of each form."""
    return tiny_models.tiny(request.param, tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize(
    ("layer", "sizes"), [(0, (1, 10**9)), (1, (60, 30_000)), (N_LAYERS - 1, (10**6, 10**9))]
)
def test_every_variant_equals_a_whole_pass(form, layer, sizes):
    given = tiny_models.texts(LENGTHS, seed=layer)
    tower = forms.tower(form.bridge.original_model, layer)
    for block in tower.blocks:
        block.rows = 10  # fewer than a text has, as are the queries
    found = resumed_passes.peaks(tower, given, Batch(*sizes, queries=7))
    flat = list(chain.from_iterable(chain.from_iterable(found)))
    expected = [tiny_models.whole_pass(form, layer, *each) for each in tiny_models.asked(given)]
    scale = torch.tensor(expected).abs().median().item()
    assert flat == pytest.approx(expected, rel=1e-4, abs=1e-5 * scale)
