"""Which form a model has, and its tower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.models.blocks import falcon, gpt2, gptj, llama, native, neox, opt
from pipeline.models.blocks.block import NoBlocksError, Tower

_FORMS: dict[str, Callable[[Any, int], Tower]] = {
    "NativeModel": native.tower,
    "GPT2LMHeadModel": gpt2.tower,
    "GPTNeoXForCausalLM": neox.tower,
    "GPTJForCausalLM": gptj.tower,
    "OPTForCausalLM": opt.tower,
    "FalconForCausalLM": falcon.falcon,
    "BloomForCausalLM": falcon.bloom,
    **dict.fromkeys(llama.WINDOWS, llama.tower),
}


def tower(model: Any, layer: int) -> Tower:
    """The tower of a bridge's own model; raises NoBlocksError where blocks here do not compute it."""
    make = _FORMS.get(type(model).__name__)
    if make is None:
        raise NoBlocksError("its form has no blocks here")
    return make(model, layer)
