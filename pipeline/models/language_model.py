"""Language models through TransformerLens; only this module and weights.py import it.

Method: Neuroscope's activation of a SoLU neuron is x * softmax(x) before the inner LayerNorm, that
of any other model the value after the activation function. With the value after the LayerNorm, nearly
every changed phrase seems to keep its activation.
"""

from __future__ import annotations

import copy
import difflib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError, lacks_memory, short_of_memory
from pipeline.models import folder, neurons, random_weights, tokens, weights
from pipeline.models.kept_model import KeptModel
from pipeline.models.part import Part
from pipeline.web import hugging_face

if TYPE_CHECKING:
    import torch

    from pipeline.models.blocks.block import Tower

_NATIVE = "TransformerLensNative"
_IDS_ALONE = dict(return_attention_mask=False, return_token_type_ids=False)
_Stamp = tuple[tuple[int, int], ...]
_LEGACY = ("NeelNanda/", "ArthurConmy/", "Baidicoot/")


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model: its shape, its tokens, and the activations of its neurons.

    `n_neurons` are those of the layer that it was loaded for; `refusals` say, for layers that were tried,
    why no pass can go on from the model's own keys and values. `sign` is -1 where it was loaded for the
    negative end of neurons: their values are those of the model with the other sign.
    """

    name: str
    bridge: Any
    tokenizer: Any
    n_neurons: int = 0
    sign: int = 1
    refusals: dict[int, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self.bridge.cfg.n_layers

    @property
    def n_ctx(self) -> int:
        """Longest text in tokens, BOS included."""
        return self.bridge.cfg.n_ctx

    @property
    def bos_id(self) -> int:
        """The token that opens every text: BOS, or where there is none, the end of a text."""
        bos = self.tokenizer.bos_token_id
        return self.tokenizer.eos_token_id if bos is None else bos

    def hook(self, layer: int) -> str:
        """The hook point whose value is a neuron's activation."""
        kind = "ln.hook_in" if self.bridge.cfg.act_fn == "solu_ln" else "hook_post"
        return f"blocks.{layer}.mlp.{kind}"

    def encode(self, text: str) -> list[int]:
        """The ids of a text, nothing added; raises as `encode_batch` does."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, nothing added; raises PipelineError where the tokenizer cannot read one."""
        try:
            if (fast := self._fast) is None:
                return self.tokenizer(texts, add_special_tokens=False, **_IDS_ALONE)["input_ids"]
            fast.no_truncation()  # which another call may have asked for
            fast.no_padding()
            return [found.ids for found in fast.encode_batch_fast(texts, add_special_tokens=False)]
        except Exception as exc:
            raise PipelineError(
                f"MODEL: the tokenizer of {self.name} cannot read a text: {_one_line(exc)}"
            ) from exc

    @cached_property
    def _fast(self) -> Any:
        """What the tokenizer asks itself, which gives ids alone; None where there is no such thing."""
        if not getattr(self.tokenizer, "is_fast", False):
            return None
        self.tokenizer("a", add_special_tokens=False, **_IDS_ALONE)  # sets what belongs to the tokenizer
        return self.tokenizer.backend_tokenizer

    def encode_parts(self, texts: list[str]) -> list[list[int]]:
        """The ids of parts of a text that begin with a blank or with the text itself.

        Where the tokenizer puts a blank before everything, the parts are given to it without their own.
        """
        if self._adds_blank[1]:
            texts = [text.removeprefix(" ") for text in texts]
        return self.encode_batch(texts)

    def opens(self, token: str) -> bool:
        """Whether a part of a text that `encode_parts` is given can begin at this token."""
        return token.startswith(" ") if self._adds_blank[0] else token[:1].isspace()

    @cached_property
    def _adds_blank(self) -> tuple[bool, bool]:
        """Whether the tokenizer puts a blank before a text that begins with a letter, and with a blank."""
        read = ["".join(self.token_texts[i] for i in ids) for ids in self.encode_batch(["a", " a"])]
        return read[0] == " a", read[1] == "  a"

    @cached_property
    def token_texts(self) -> list[str]:
        """Each token of the vocabulary as text, by id; half a character is U+FFFD, an id that belongs to no
        token the empty text."""
        return tokens.texts(self.tokenizer)

    @cached_property
    def _by_text(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for i in sorted(self.tokenizer.get_vocab().values()):
            found.setdefault(self.token_texts[i], []).append(i)
        return found

    def spells(self, ids: list[int], tokens: list[str]) -> bool:
        """Whether ids read as these tokens, one by one; an id outside the vocabulary never does."""
        names = self.token_texts
        return len(ids) == len(tokens) and all(
            0 <= i < len(names) and names[i] == token for i, token in zip(ids, tokens, strict=True)
        )

    def ids_of(self, token: str) -> list[int]:
        """All ids whose token has this text."""
        return self._by_text.get(token, [])

    @property
    def batch_tokens(self) -> int:
        """Tokens of a pass from which on arithmetic limits its speed."""
        return 2048 if self.device.type == "cpu" else 32768

    @property
    def device(self) -> torch.device:
        """The device it computes on."""
        return next(self.bridge.original_model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of its numbers."""
        return next(self.bridge.original_model.parameters()).dtype

    @property
    def turns_at(self) -> int | None:
        """Tokens of a text beyond which all its positions are turned otherwise, as in longrope; None where
        a token's place alone decides."""
        config = getattr(self.bridge.original_model, "config", None)
        found = getattr(config, "rope_parameters", None) or {}
        kinds = [each for each in (found, *found.values()) if isinstance(each, dict)]
        long = [each for each in kinds if each.get("rope_type") == "longrope"]
        limits = [each["original_max_position_embeddings"] for each in long]
        return min(limits, default=None)

    def tower(self, layer: int) -> Tower | str:
        """The model up to a layer, for computing variants of a text from what they share with it; or why
        there is none."""
        from pipeline.models.blocks import block, forms

        try:
            tower = forms.tower(self.bridge.original_model, layer)
        except block.NoBlocksError as exc:
            return str(exc)
        return replace(tower, sign=self.sign)

    def activations(self, ids: torch.Tensor, layer: int) -> torch.Tensor:
        """Activation of every neuron of `layer` at every token.

        ids (texts, tokens), padded on the right if at all: a token sees only those before it.
        Returns (texts, tokens, n_neurons), float32, raw units, in the memory of the CPU.
        """
        return self.measured(ids, layer).float().cpu()

    def measured(self, ids: torch.Tensor, layer: int, cache: Any = None) -> torch.Tensor:
        """The same as the model computes it, on its device; where a cache of keys and values is given, the
        ids follow those in it, and it is told theirs up to the layer."""
        values = neurons.values(self.bridge, self.hook(layer), ids.to(self.device), cache)
        return values if self.sign == 1 else -values

    def look_through(self, ids: torch.Tensor, see: Mapping[int, Callable[[torch.Tensor], None]]) -> None:
        """Show what `measured` gives for some layers, each to the function that stands under its number, in
        one pass up to the highest of them; the pass goes on with what is shown: nobody may change it."""
        from pipeline.models import whole_passes

        tower, turns_at = self.tower(max(see)), self.turns_at
        if whole_passes.fits(tower) and (turns_at is None or ids.shape[1] <= turns_at):
            whole_passes.look_through(tower, ids.to(self.device), see)
        else:
            by_hook = {self.hook(layer): look for layer, look in see.items()}
            neurons.look_through(self.bridge, by_hook, ids.to(self.device))


def load(config: Config, precision: str = "float32", *, unembedding: bool = False) -> LanguageModel:
    """Load the configured model up to the highest of its layers, once per process as long as no other is
    loaded; with the `unembedding` if what neurons add to logits is asked.

    Reads the settings model, weights, layer, sign and device. Raises UserError for a name that
    TransformerLens does not know, a layer outside the model or without causal MLP neurons, a device that
    does not exist, or too little memory, PipelineError for files that do not belong together.
    """
    if config.model_folder:
        folder.check_layer(config, folder.shape(config.model_folder)[0])
    model = _loaded(config, precision, Part(config.one_layer, unembedding))
    folder.check_layer(config, model.n_layers)
    return _of_layer(model, config.one_layer, 1 if config.sign == "positive" else -1)


def n_layers(config: Config) -> int:
    """How many layers the configured model has, a part of which is loaded for it; raises as `load` does."""
    return _loaded(config, "float32", Part(0)).n_layers


def expect(layer: int) -> None:
    """Load models up to this layer at least from now on, since it will be asked for; -1 for none."""
    _kept.least = Part(layer)


def _loaded(config: Config, precision: str, part: Part) -> LanguageModel:
    path, where = config.model_folder, _Form(device(config.device), precision, config.weights)
    if path is None:
        return _kept.load((config.model, where), part, _from_name)
    return _kept.load((path.resolve(), where, _stamp(path)), part, _from_folder)


class _Form(NamedTuple):
    """Where a model is, at which precision, and of what kind its weights are: trained or random."""

    device: str
    precision: str
    weights: str


_kept: KeptModel[LanguageModel] = KeptModel()


@lru_cache(maxsize=1)
def _of_layer(model: LanguageModel, layer: int, sign: int) -> LanguageModel:
    """The model with the number of neurons that the layer really has, their values with a sign."""
    try:
        n_neurons = neurons.count(model.name, model.bridge, layer, model.hook(layer))
    except PipelineError:
        raise
    except Exception as exc:  # whatever a form of model raises that its bridge cannot run
        if lacks_memory(exc):
            raise short_of_memory(f"to run MODEL {model.name}", exc) from exc
        raise UserError(
            f"MODEL: {model.name} cannot be run on a text: {_one_line(exc)}; {neurons.WANTED}"
        ) from exc
    return replace(model, n_neurons=n_neurons, sign=sign)


def ready(config: Config) -> None:
    """Raise UserError for a DEVICE that does not exist; for `auto` PyTorch is not loaded."""
    if config.device != "auto":
        device(config.device)


def device(asked: str) -> str:
    """The device asked for, or the best one; raises UserError for one that does not exist."""
    import torch

    there = dict(cuda=torch.cuda.is_available(), mps=torch.backends.mps.is_available(), cpu=True)
    if asked == "auto":
        return next(name for name, found in there.items() if found)
    if not there[asked]:
        has = ", ".join(name for name, found in there.items() if found)
        raise UserError(f"DEVICE is {asked}; PyTorch finds {has} on this machine")
    return asked


def _placed(bridge: Any, form: _Form) -> Any:
    """A model on its device, at a precision, its weights of a kind: trained or random."""
    import torch

    if form.weights == "random":
        random_weights.shuffle(bridge.original_model)
    number = getattr(torch, form.precision)
    # places of rotary positions lose their precision in shorter numbers
    more = {} if {p.dtype for p in bridge.original_model.parameters()} == {number} else dict(dtype=number)
    bridge.to(device=form.device, print_details=False, **more)
    bridge.original_model.eval()
    return bridge


def _stamp(path: Path) -> _Stamp:
    """What changes when a file of the model does, so that a changed model is loaded again."""
    stats = [file.stat() for file in folder.files(path)]
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)


def _from_folder(path: Path, form: _Form, stamp: _Stamp, part: Part) -> LanguageModel:
    _of_layer.cache_clear()  # which holds the model before
    _quiet()
    settings = json.loads((path / "config.json").read_text())
    files = folder.weight_files(path)
    for file in files:
        weights.check_file(file, quantised=weights.quantised(settings))
    try:
        if settings.get("architecture") == _NATIVE:
            tokenizer = tokens.native(path / "tokenizer.json")
            bridge = weights.native(settings, files, part)
        else:
            tokenizer = tokens.of_folder(path, settings)
            bridge = _hugging_face(str(path), tokenizer, form, part)
        size, known = tokens.size(tokenizer), bridge.cfg.d_vocab
        if size > known:
            raise ValueError(
                f"the ids of tokenizer.json go up to {size - 1}, those of the model to {known - 1}"
            )
    except PipelineError:
        raise
    except Exception as exc:  # whatever the libraries make of files that people give
        if lacks_memory(exc):
            raise short_of_memory(f"to load MODEL {path}", exc) from exc
        raise PipelineError(f"MODEL: cannot load {path}: {_one_line(exc)}") from exc
    return LanguageModel(path.name, _placed(bridge, form), tokenizer)


def _from_name(name: str, form: _Form, part: Part) -> LanguageModel:
    _of_layer.cache_clear()  # which holds the model before
    _quiet()
    from transformer_lens.supported_models import MODEL_ALIASES, get_official_model_name

    try:
        official = get_official_model_name(name)
    except ValueError:
        if "/" not in name:
            known = [alias for aliases in MODEL_ALIASES.values() for alias in aliases]
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "for a folder, give its path"
            raise UserError(f"MODEL: TransformerLens knows no model {name!r}; {hint}") from None
        official = name
    kept = hugging_face.reach_or_kept("MODEL", official)
    try:
        if official.startswith(_LEGACY):
            from transformer_lens.model_bridge import TransformerBridge

            boot: Any = TransformerBridge
            bridge = boot.boot_tl_legacy(official)
            tokenizer = bridge.tokenizer
        else:
            from transformers import AutoTokenizer

            source = str(kept or official)
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=kept is not None)
            bridge = _hugging_face(source, tokenizer, form, part)
    except (ValueError, RuntimeError, OSError, PipelineError) as exc:
        if silent := hugging_face.silence(exc):
            raise silent from exc
        if isinstance(exc, PipelineError):
            raise
        raise PipelineError(
            f"MODEL: cannot fetch {official} from the Hub: {_one_line(exc)}; "
            "check the name and the connection, or give a folder with the model"
        ) from exc
    return LanguageModel(name, _placed(bridge, form), tokenizer)


def _hugging_face(name: str, tokenizer: Any, form: _Form, part: Part) -> Any:
    """A bridge of a model in Hugging Face's form, by the name of a folder or of one on the Hub."""
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    its_own = copy.deepcopy(tokenizer)  # to which it adds tokens that it misses
    its_own.bos_token = None
    return TransformerBridge.boot_transformers(
        name,
        device=form.device,
        dtype=getattr(torch, form.precision),
        tokenizer=its_own,
        model_class=weights.Checked(part, form.device),
    )


def _quiet() -> None:
    """Switch off the libraries' own progress bars, advice and telemetry."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:240]
