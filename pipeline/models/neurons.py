"""What a hook of a model gives, and whether that is a layer of causal MLP neurons.

Judged by what the model does, whatever its name. A neuron is a number that one matrix of its block reads
and turns into the block's output; what a mixture of experts gives at the same place is that output itself.
A neuron is causal if a text alone gives the values that it gives with others beside it and more after it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError, UserError

if TYPE_CHECKING:
    import torch

WANTED = "give a causal language model whose layer has a dense MLP"
_TOKENS = 12  # of a text that is tried
# Share of the largest value by which arithmetic alone may move one; other texts moved those of the smallest
# untrained encoders by 1e-3 to 3e-2.
_ROUNDING = {"float32": 1e-4}
_ROUNDING_SHORT = 0.1  # of shorter numbers


class _EnoughError(Exception):
    """Ends a pass of the model once what is wanted of it is known."""


def values(bridge: Any, hook: str, ids: torch.Tensor, cache: Any = None) -> torch.Tensor:
    """What a hook gives for ids (texts, tokens): (texts, tokens, width), in the model's own precision.

    Where a cache of keys and values is given, the ids follow those in it.
    """
    found: list[torch.Tensor] = []
    look_through(bridge, {hook: found.append}, ids, cache)
    return found[0]


def look_through(
    bridge: Any, see: Mapping[str, Callable[[torch.Tensor], None]], ids: torch.Tensor, cache: Any = None
) -> None:
    """Show what some hooks give in one pass, each to the function that stands under its name; arguments as
    of `values`. The pass ends at the last of them, and goes on with what is shown: nobody may change it."""
    import torch

    left = set(see)
    more = {} if cache is None else dict(past_key_values=cache)

    def shown(name: str, value: torch.Tensor) -> None:
        see[name](value)
        left.discard(name)
        if not left:
            raise _EnoughError  # nothing after it matters; stop_at_layer still runs the last head

    hooks = [(name, lambda value, hook, name=name: shown(name, value)) for name in see]
    with torch.no_grad(), contextlib.suppress(_EnoughError):
        bridge.run_with_hooks(ids, fwd_hooks=hooks, return_type=None, **more)


def count(name: str, bridge: Any, layer: int, hook: str) -> int:
    """The number of neurons whose activations `hook` gives in a layer of the model `name`.

    Raises UserError where they are no causal MLP neurons, PipelineError where they are no finite numbers.
    """
    import torch

    into = f"blocks.{layer}.mlp.hook_post"
    if not hasattr(bridge, "blocks") or not {hook, into} <= bridge.hook_dict.keys():
        raise UserError(f"MODEL: layer {layer} of {name} has no MLP neurons; {WANTED}")
    size = max(1, min(_TOKENS, bridge.cfg.n_ctx // 2))
    drawn = torch.randint(bridge.cfg.d_vocab, (3, size), generator=torch.Generator().manual_seed(0))
    text, after, beside = drawn.to(next(bridge.original_model.parameters()).device)
    alone = values(bridge, hook, text[None])
    if not torch.isfinite(alone).all():
        raise PipelineError(
            f"MODEL: not all activations of {name} are finite numbers; is a file damaged or its precision "
            "too low?"
        )
    if not alone.any():
        raise PipelineError(
            f"MODEL: all activations of {name} in layer {layer} are zero; is a file only half converted?"
        )
    width = alone.shape[-1]
    if alone.shape != (1, size, width) or not _is_read(bridge, layer, into, text[None], width):
        raise UserError(
            f"MODEL: layer {layer} of {name} has no neurons of its own: no single matrix reads the {width} "
            f"values at its {into}, as in a mixture of experts; {WANTED}"
        )
    rows = [(text, after), (text, torch.zeros_like(text)), (beside, after)]  # more, padding, another text
    together = values(bridge, hook, torch.stack([torch.cat(row) for row in rows]))
    moved = (together[:2, :size] - alone).abs().max()
    rounding = _ROUNDING.get(str(alone.dtype).removeprefix("torch."), _ROUNDING_SHORT)
    if not moved <= rounding * alone.abs().max():
        raise UserError(
            f"MODEL: {name} is not causal: what stands after or beside a text changes its activations in "
            f"layer {layer}; {WANTED}"
        )
    return width


def _is_read(bridge: Any, layer: int, hook: str, ids: torch.Tensor, width: int) -> bool:
    """Whether a matrix of the layer's block reads exactly what the hook gives, `width` numbers a token."""
    import torch

    given: list[torch.Tensor] = []
    read: list[Any] = []

    def look(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for each in (*args, *kwargs.values()):
            same = given and isinstance(each, torch.Tensor) and each.numel() == given[0].numel()
            if same and torch.equal(each.reshape(given[0].shape), given[0]):
                read.append(module)
                raise _EnoughError

    matrices = [
        module
        for module in bridge.blocks[layer].modules()
        if isinstance(weight := getattr(module, "weight", None), torch.Tensor)
        and weight.dim() == 2
        and width in weight.shape
    ]
    watched = [module.register_forward_pre_hook(look, with_kwargs=True) for module in matrices]
    try:
        with torch.no_grad(), contextlib.suppress(_EnoughError):
            bridge.run_with_hooks(
                ids, fwd_hooks=[(hook, lambda v, hook: given.append(v))], return_type=None
            )
    finally:
        for each in watched:
            each.remove()
    return bool(read)
