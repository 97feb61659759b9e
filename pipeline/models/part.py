"""What of a model is loaded: its blocks up to the highest layer that is asked for.

A model is built without the blocks above and, unless they are wanted or are its embeddings too, without the
weights that turn its output into logits, so that these are never read. Done in transformers' own classes
before they read a file, and whether the rest fits into memory is known then.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.models import memory

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Part:
    """The blocks up to that of layer `last`, and the `unembedding` if it is wanted."""

    last: int
    unembedding: bool = False

    def with_(self, other: Part) -> Part:
        """All that it or another one holds."""
        return Part(max(self.last, other.last), self.unembedding or other.unembedding)


@dataclass(frozen=True)
class LeftOut:
    """The weights that a cut model is built without: their names, the blocks' own name, and the module that
    gives logits, with the width of what it reads."""

    names: frozenset[str]
    blocks: str
    head: str = ""
    width: int = 0

    def unmet(self, names: Collection[str]) -> tuple[set[str], set[str]]:
        """Of `names` that a file has beside the part's: those that belong to nothing left out; and the
        names of what is left out and not in it."""
        had, wanted = set(map(self._of, names)), set(map(self._of, self.names))
        return {n for n in names if self._of(n) not in wanted}, {
            n for n in self.names if self._of(n) not in had
        }

    def _of(self, name: str) -> str:
        """What a weight belongs to: its block, whose weights files may name otherwise, or itself."""
        found = re.search(rf"(?:^|\.){re.escape(self.blocks)}\.(\d+)\.", name) if self.blocks else None
        return name if found is None else found[1]


def cut(form: Any, config: Any, part: Part, device: str) -> Any:
    """The class of transformers that `form` picks for a model, built as a part only; `left_out` of a model
    says what it lacks.

    Raises UserError where the part does not fit into the memory of the device.
    """
    import torch

    with torch.device("meta"):
        form = type(form.from_config(copy.deepcopy(config)))
    name = Path(config.name_or_path).name

    def build(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        form.__init__(self, config, *args, **kwargs)
        self.left_out, kept = _leave_out(self, part)
        if getattr(config, "quantization_config", None) is None:
            sizes = [_size(block) for block in kept]
            memory.check(name, _size(self) - sum(sizes), sizes, memory.free(device))

    return type(form.__name__, (form,), {"__init__": build, "__module__": form.__module__})


def _leave_out(model: Any, part: Part) -> tuple[LeftOut, list[torch.nn.Module]]:
    """What a model is cut by, and the blocks that it keeps."""
    import torch

    before = {name for name, _ in model.named_parameters()}
    name, blocks = _blocks(model)
    kept = blocks[: part.last + 1]
    if len(kept) < len(blocks):
        model.set_submodule(name, torch.nn.ModuleList(kept))
    head, head_name = model.get_output_embeddings(), ""
    if not part.unembedding and isinstance(head, torch.nn.Linear):
        head_name = next(each for each, module in model.named_modules() if module is head)
        if f"{head_name}.weight" in model.all_tied_weights_keys:  # they are the embeddings too
            head_name = ""
    if head_name:
        model.set_submodule(head_name, torch.nn.Identity())
    names = frozenset(before - {name for name, _ in model.named_parameters()})
    width = head.in_features if head_name else 0
    return LeftOut(names, name.rpartition(".")[2], head_name, width), kept


def _blocks(model: Any) -> tuple[str, list[torch.nn.Module]]:
    """The name of a model's list of blocks, and these; none where several lists could be it."""
    import torch

    n_layers = getattr(model.config, "num_hidden_layers", None)
    found = [
        (name, list(module))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == n_layers
    ]
    outer = [each for each in found if not any(each[0].startswith(f"{name}.") for name, _ in found)]
    return outer[0] if len(outer) == 1 else ("", [])


def _size(module: torch.nn.Module) -> int:
    """Bytes of a module's weights."""
    return sum(weight.numel() * weight.element_size() for weight in module.parameters())


def close(model: Any) -> None:
    """Give a loaded part an end: where its unembedding was left out, one of a single logit, which is 0."""
    import torch

    if model.left_out.head:
        like = dict(device=model.device, dtype=model.dtype)
        end = torch.nn.Linear(model.left_out.width, 1, bias=False, **like)
        torch.nn.init.zeros_(end.weight)
        model.set_submodule(model.left_out.head, end)
