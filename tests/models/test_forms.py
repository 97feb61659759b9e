"""Variants that resume equal one hooked pass each, in every form of model, whichever way is taken."""

import functools
from functools import partial
from itertools import chain

import pytest
import tiny_models
import torch
from tiny_models import FORMS, N_CTX, N_LAYERS, N_TOKENS, OTHERS

from pipeline.models import cached_passes, resumed_passes
from pipeline.models.blocks.block import Tower, plain
from pipeline.models.phrases import Batch

LAST = N_LAYERS - 1
TEXTS = tiny_models.texts([2, 13, 25, 40])


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A form's tiny model, and what whole passes give; each made once."""

    def made(form):
        model = tiny_models.tiny(form, tmp_path_factory.mktemp("model"))
        return model, tiny_models.whole_passes(model, LAST, tiny_models.asked(TEXTS))

    return functools.cache(made)


def assert_equal(found, expected):
    """All within 1e-4, or 1e-5 of what is usual where a value is near zero."""
    flat = list(chain.from_iterable(chain.from_iterable(found)))
    usual = torch.tensor(expected).abs().median().item()
    assert flat == pytest.approx(expected, rel=1e-4, abs=1e-5 * usual)


@pytest.mark.parametrize("form", FORMS)
def test_every_variant_equals_a_whole_pass_in_blocks_without_hooks(form, measured):
    model, expected = measured(form)
    tower = model.tower(LAST)
    for block in tower.blocks:
        block.rows = 10  # fewer than a text has, as are the queries
    for sizes in ((10**6, 10**9), (60, 30_000)):
        assert_equal(resumed_passes.peaks(tower, TEXTS, Batch(*sizes, queries=7)), expected)


@pytest.mark.parametrize("form", [*FORMS, *OTHERS])
def test_every_variant_equals_a_whole_pass_by_the_models_own_cache(form, measured):
    model, expected = measured(form)
    assert cached_passes.refusal(model, LAST) == ""
    assert_equal(cached_passes.peaks(model, LAST, TEXTS, Batch(60, 10**6)), expected)


@pytest.mark.parametrize("form", [*FORMS, *OTHERS])
def test_texts_that_are_looked_through_show_what_hooks_give_in_each_layer_asked_for(form, measured):
    model, _ = measured(form)
    lengths = [2, 13, 25, N_CTX]
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(N_TOKENS, (len(lengths), N_CTX), generator=draw)
    expected = {layer: model.measured(ids, layer) for layer in range(N_LAYERS)}
    padded = ids.clone()
    for row, length in zip(padded, lengths, strict=True):
        row[length:] = 0
    for layers in (range(N_LAYERS), [LAST], [0]):
        shown = {}
        model.look_through(padded, {layer: partial(shown.__setitem__, layer) for layer in layers})
        assert list(shown) == list(layers)
        for layer, values in shown.items():
            usual = expected[layer].abs().mean().item()
            for row, length in enumerate(lengths):
                own = values[row, :length], expected[layer][row, :length]
                torch.testing.assert_close(*own, rtol=1e-4, atol=1e-4 * usual)


@pytest.mark.parametrize("form", OTHERS)
def test_other_forms_have_no_blocks(form, measured):
    assert " no blocks here" in measured(form)[0].tower(LAST)


CHANGES = {
    "its rotary positions are of a kind unknown here (new)": (
        ("Llama", lambda own: set_rotary(own.model)),
        ("GPT-NeoX", lambda own: set_rotary(own.gpt_neox)),
        ("Falcon", lambda own: set_rotary(own.transformer)),
    ),
    "one of its layers is of a kind unknown here (chunked_attention)": (
        ("Qwen 2", lambda own: set_kind(own.config)),
    ),
    "it looks ahead": (("Gemma 3", lambda own: set_ahead(own.config)),),
}


def set_rotary(inner):
    plain(inner.rotary_emb).rope_type = "new"


def set_kind(config):
    config.layer_types = ["chunked_attention", *config.layer_types[1:]]


def set_ahead(config):
    config.use_bidirectional_attention = True


@pytest.mark.parametrize("why", CHANGES)
def test_what_is_not_known_of_a_form_has_no_blocks(why, tmp_path):
    for number, (form, change) in enumerate(CHANGES[why]):
        model = tiny_models.tiny(form, tmp_path / str(number))
        assert isinstance(model.tower(LAST), Tower)
        change(model.bridge.original_model)
        assert model.tower(LAST) == why
