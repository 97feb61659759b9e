"""Whether the weights in a file are those that the form of a model needs: all of them, and no others.

transformers fills what a file lacks at random, leaves out what it does not know, and says so in its log
only.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.models.part import Part, close, cut

_FLOATS = ("F64", "F32", "F16", "BF16")
_NAMED = ("quant_method", "load_in_4bit", "load_in_8bit")  # the last two as older files of bitsandbytes
# What checkpoints hold beside weights: masks of attention, places, frequencies of rotary embeddings.
_BUFFER = re.compile(
    r"\.(attn|attention)\.(attention\.)?(masked_)?bias$"
    r"|(^|\.)(inv_freq|position_ids|token_type_ids|cos_cached|sin_cached|version)$"
)


@dataclass(frozen=True)
class Checked:
    """Transformers' own class of a model, as TransformerLens takes one, but for a part of it, and for
    weights of another form."""

    part: Part
    device: str

    def from_pretrained(self, name: str, **kwargs: Any) -> Any:
        """The part of the model with its weights; raises PipelineError where one is missing, left over or
        misshapen, UserError where memory is short."""
        from transformer_lens.model_bridge.sources import transformers as forms

        architecture = forms.determine_architecture_from_hf_config(kwargs["config"])
        form = forms.get_hf_model_class_for_architecture(architecture)
        own = cut(form, kwargs["config"], self.part, self.device)
        model, told = own.from_pretrained(
            name, output_loading_info=True, ignore_mismatched_sizes=True, use_safetensors=True, **kwargs
        )
        buffers = {each.rpartition(".")[2] for each, _ in model.named_buffers()}

        def weights(names: Collection[str]) -> set[str]:
            return {n for n in names if n.rpartition(".")[2] not in buffers and not _BUFFER.search(n)}

        left_over, missing = model.left_out.unmet(weights(told["unexpected_keys"]))
        same(
            Path(name).name,
            missing=weights(told["missing_keys"]) | missing,
            left_over=left_over,
            misshapen=weights([key for key, *_ in told["mismatched_keys"]]),
        )
        close(model)
        return model


def native(settings: dict[str, Any], files: list[Path], part: Part) -> Any:
    """A bridge of TransformerLens' own form as far as a part's blocks, its weights from safetensors files.

    Raises PipelineError where one is missing, left over or misshapen.
    """
    import torch
    from safetensors import safe_open
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    n_layers = settings["n_layers"]
    built = dict(init_weights=False, n_layers=min(n_layers, part.last + 1))
    cfg = TransformerBridgeConfig.from_dict({**settings, **built})
    boot: Any = TransformerBridge  # some of its methods are added when it is imported
    bridge = boot.boot_native(cfg, model_name=files[0].parent.name)
    bridge.cfg.n_layers = n_layers
    own = {
        name.replace("._original_component", ""): parameter
        for name, parameter in bridge.original_model.named_parameters()
    }
    above = {
        name.replace("layers.0.", f"layers.{layer}.", 1)
        for layer in range(built["n_layers"], n_layers)
        for name in own
        if name.startswith("layers.0.")
    }
    misshapen, saved = [], set()
    for file in files:
        with safe_open(file, framework="pt") as weights, torch.no_grad():
            for name in weights.keys():  # noqa: SIM118
                saved.add(name)
                if name in own and tuple(weights.get_slice(name).get_shape()) != own[name].shape:
                    misshapen.append(name)
                elif name in own:
                    own[name].copy_(weights.get_tensor(name))
    needed = own.keys() | above
    same(files[0].parent.name, missing=needed - saved, left_over=saved - needed, misshapen=misshapen)
    return bridge


def same(
    name: str, *, missing: Collection[str], left_over: Collection[str], misshapen: Collection[str]
) -> None:
    """Raise PipelineError unless a file's weights are those that the form of the model `name` needs."""
    odd = {"not in the file": missing, "left over": left_over, "of another shape": misshapen}
    found = [
        f"{', '.join(sorted(names)[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''} {how}"
        for how, names in odd.items()
        if names
    ]
    if found:
        raise PipelineError(
            f"MODEL: {name}: weights and config.json disagree about {'; '.join(found)}: give the weights "
            "whole, with the config.json that belongs to them"
        )


def quantised(settings: dict[str, Any]) -> bool:
    """Whether a config.json names a way of quantising that transformers knows, which it then undoes; others
    it takes for none, and says so in its log only."""
    from transformers.quantizers import AutoHfQuantizer

    way = settings.get("quantization_config")
    if not isinstance(way, dict) or not any(map(way.get, _NAMED)):
        return False
    return bool(AutoHfQuantizer.supports_quant_method(way))


def check_file(file: Path, *, quantised: bool = False) -> None:
    """Raise PipelineError for a safetensors file that is damaged or cut off, or whose weights are whole or
    tiny numbers, which mean nothing without what scales them; a `quantised` model has that."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as saved:
            kinds = {name: saved.get_slice(name).get_dtype() for name in saved.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as exc:
        reason = " ".join(str(exc).split())[:160]
        raise PipelineError(
            f"MODEL: {file} is damaged or cut off: {reason}; fetch or convert it again"
        ) from exc
    odd = [name for name, kind in kinds.items() if kind not in _FLOATS and not _BUFFER.search(name)]
    if odd and not quantised:
        raise PipelineError(
            f"MODEL: {file}: {len(odd)} of {len(kinds)} weights, such as {odd[0]}, are of type "
            f"{kinds[odd[0]]}; give them in floating point, as they were before they were quantised"
        )
