"""Variants are measured as whole passes do, whichever way their model takes."""

import re

import pytest
import tiny_models
import torch
from conftest import rows

from pipeline.config import Config
from pipeline.models import cached_passes
from pipeline.models.blocks.block import Tower
from pipeline.models.language_model import LanguageModel
from pipeline.verification import measurement

LONG = dict(
    rope_type="longrope",
    rope_theta=100.0,
    short_factor=[1.0] * 4,
    long_factor=[2.0, 4.0, 6.0, 8.0],
    original_max_position_embeddings=20,
)
WAYS = {
    "blocks": ("Mistral", {}),
    "blocks, other positions in long texts": ("Phi3", dict(rope_parameters=LONG)),
    "cache": ("Starcoder2", {}),
    "cache, other positions in long texts": ("Granite", dict(rope_parameters=LONG)),
    "plain": ("FalconH1", dict(mamba_n_heads=4, mamba_d_head=8, mamba_d_ssm=32)),  # also keeps other states
}


@pytest.fixture(scope="module", params=WAYS)
def model(request, tmp_path_factory):
    """A tiny model that takes each way."""
    kind, special = WAYS[request.param]
    special = dict(num_key_value_heads=2, sliding_window=tiny_models.WINDOW) | special
    made = tiny_models.of(kind, special, tmp_path_factory.mktemp("model"))
    way = (
        "blocks"
        if isinstance(made.tower(1), Tower)
        else "plain"
        if cached_passes.refusal(made, 1)
        else "cache"
    )
    assert way == request.param.split(",")[0]
    return made


def encodings(texts, layer):
    """The rows that ask for what the texts do."""
    return rows(
        "encodings",
        *[
            dict(
                key=f"{text} {phrase} {variant}",
                layer=layer,
                text=f"{text}",
                neuron=asked.neuron,
                rank=100 * text + phrase,
                variant=variant,
                phrase_start=asked.start,
                first_token=first,
                token_ids=ids,
                tokens="exact",
                status="ok",
            )
            for text, of in enumerate(texts)
            for phrase, asked in enumerate(of.phrases)
            for variant, (first, ids) in enumerate([(0, of.ids[: asked.end]), *asked.variants])
        ],
    )


def test_a_rotary_kind_that_nobody_knows_takes_the_cache_and_is_told(tmp_path, capsys):
    made = tiny_models.of("Mistral", dict(num_key_value_heads=2, sliding_window=None), tmp_path)
    made.bridge.original_model.model.rotary_emb._original_component.rope_type = "new"
    measurement.tell(made, Config(model=str(tmp_path)))
    assert capsys.readouterr().err.endswith(
        ": variants resume by the model's own cache, since its rotary positions are of a kind unknown here "
        "(new)\n"
    )
    texts = tiny_models.texts([9, 30])
    found = measurement.measure(encodings(texts, 1), made, Config(layer=1))
    expected = tiny_models.whole_passes(made, 1, tiny_models.asked(texts))
    scale = torch.tensor(expected).abs().median().item()
    assert found["activation"].to_pylist() == pytest.approx(expected, rel=1e-4, abs=1e-5 * scale)


@pytest.mark.parametrize("batch_tokens", [30, 4000])
def test_every_way_gives_what_whole_passes_give(model, batch_tokens):
    texts = tiny_models.texts([9, 18, 22, 40])
    found = measurement.measure(encodings(texts, 1), model, Config(layer=1, batch_tokens=batch_tokens))
    expected = tiny_models.whole_passes(model, 1, tiny_models.asked(texts))
    scale = torch.tensor(expected).abs().median().item()
    assert found["activation"].to_pylist() == pytest.approx(expected, rel=1e-4, abs=1e-5 * scale)


def test_a_model_that_makes_nothing_of_its_cache_is_not_resumed(tmp_path):
    class Forgetful(LanguageModel):
        def measured(self, ids, layer, cache=None):
            super().measured(ids, layer, cache)
            return super().measured(ids, layer)

    made = tiny_models.of("Granite", {}, tmp_path)
    forgetful = Forgetful(made.name, made.bridge, made.tokenizer)
    assert cached_passes.refusal(made, 1) == ""
    assert re.fullmatch(r"activations are [\d.]+ off", cached_passes.refusal(forgetful, 1))
