"""Language models through TransformerLens; the only module that imports it.

Method: Neuroscope's activation of a SoLU neuron is x * softmax(x) before the inner LayerNorm, that
of any other model the value after the activation function. With the value after the LayerNorm, nearly
every changed phrase seems to keep its activation.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.models import folder, random_weights

if TYPE_CHECKING:
    import torch

    from pipeline.models.blocks.block import Tower

_NATIVE = "TransformerLensNative"
_LEGACY = ("NeelNanda/", "ArthurConmy/", "Baidicoot/")


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model: its shape, its tokens, and the activations of its neurons.

    `refusals` say, for layers that were tried, why no pass can go on from the model's own keys and values.
    """

    name: str
    bridge: Any
    tokenizer: Any
    refusals: dict[int, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self.bridge.cfg.n_layers

    @property
    def n_neurons(self) -> int:
        """MLP neurons per layer."""
        return self.bridge.cfg.d_mlp

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
        """The ids of a text, nothing added."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, nothing added."""
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]

    def encode_parts(self, texts: list[str]) -> list[list[int]]:
        """The ids of parts of a text that begin with a blank or with the text itself.

        Where the tokenizer puts a blank before everything, the parts are given to it without their own.
        """
        if self._adds_blank:
            texts = [text.removeprefix(" ") for text in texts]
        return self.encode_batch(texts)

    @cached_property
    def _adds_blank(self) -> bool:
        return "".join(self.token_texts[i] for i in self.encode("a")) == " a"

    @cached_property
    def token_texts(self) -> list[str]:
        """Each token of the vocabulary as text, by id; half a character is U+FFFD."""
        ids = range(len(self.tokenizer))
        pieces = self.tokenizer.convert_ids_to_tokens(list(ids))
        texts = self.tokenizer.batch_decode(
            [[i] for i in ids], clean_up_tokenization_spaces=False, skip_special_tokens=False
        )
        blank = "\u2581"  # SentencePiece's mark of a leading blank, which decoding alone drops
        return [
            " " + text if piece.startswith(blank) and not text.startswith(" ") else text
            for piece, text in zip(pieces, texts, strict=True)
        ]

    @cached_property
    def _by_text(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for i, text in enumerate(self.token_texts):
            found.setdefault(text, []).append(i)
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

    def tower(self, layer: int) -> Tower | None:
        """The model up to a layer, for computing variants of a text from what they share with it; None
        where its form is not known."""
        from pipeline.models.blocks import forms

        return forms.tower(self.bridge.original_model, layer)

    def activations(self, ids: torch.Tensor, layer: int) -> torch.Tensor:
        """Activation of every neuron of `layer` at every token.

        ids (texts, tokens), padded on the right if at all: a token sees only those before it.
        Returns (texts, tokens, n_neurons), float32, raw units, in the memory of the CPU.
        """
        return self.measured(ids, layer).float().cpu()

    def measured(self, ids: torch.Tensor, layer: int, cache: Any = None) -> torch.Tensor:
        """The same as the model computes it, on its device; where a cache of keys and values is given, the
        ids follow those in it, and it is told theirs up to the layer."""
        import torch

        values = []
        more = {} if cache is None else dict(past_key_values=cache)
        ids = ids.to(self.device)

        def keep(value: torch.Tensor, hook: Any) -> None:
            values.append(value)
            raise _MeasuredError  # nothing after the hook matters; stop_at_layer still runs the last head

        with torch.no_grad(), contextlib.suppress(_MeasuredError):
            self.bridge.run_with_hooks(ids, fwd_hooks=[(self.hook(layer), keep)], return_type=None, **more)
        return values[0]


class _MeasuredError(Exception):
    """Ends a pass of the model once the neurons of its layer are known."""


def load(config: Config, precision: str = "float32") -> LanguageModel:
    """Load the configured model, once per process as long as no other is loaded.

    Reads the settings model, weights, layer and device. Raises UserError for a name that TransformerLens
    does not know, a layer outside the model, or a device that does not exist.
    """
    path, where = config.model_folder, (device(config.device), precision)
    if path:
        folder.shape(path)
        model = _from_folder(path.resolve(), _stamp(path), *where, config.weights)
    else:
        model = _from_name(config.model, *where, config.weights)
    folder.check_layer(config, model.n_layers)
    return model


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


def _placed(bridge: Any, where: str, precision: str, weights: str) -> Any:
    """A model on its device, at a precision, with its weights trained or random."""
    import torch

    if weights == "random":
        random_weights.shuffle(bridge.original_model)
    bridge.to(device=where, dtype=getattr(torch, precision), print_details=False)
    bridge.original_model.eval()
    return bridge


def _stamp(path: Path) -> tuple[tuple[int, int], ...]:
    """What changes when a file of the model does, so that a changed model is loaded again."""
    stats = [(path / name).stat() for name in folder.FILES]
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)


@lru_cache(maxsize=1)
def _from_folder(
    folder: Path, stamp: tuple[tuple[int, int], ...], where: str, precision: str, weights: str
) -> LanguageModel:
    _quiet()
    try:
        settings = json.loads((folder / "config.json").read_text())
        if settings.get("architecture") == _NATIVE:
            tokenizer = _tokenizer(folder / "tokenizer.json")
            bridge = _native(settings, folder / "model.safetensors")
        else:
            bridge, tokenizer = _hugging_face(str(folder), local=True)
        if len(tokenizer) > bridge.cfg.d_vocab:
            raise ValueError(f"{len(tokenizer)} tokens, but the model knows {bridge.cfg.d_vocab}")
    except (ValueError, LookupError, TypeError, RuntimeError, OSError, ArithmeticError) as exc:
        raise PipelineError(f"MODEL: cannot load {folder}: {_one_line(exc)}") from exc
    return LanguageModel(folder.name, _placed(bridge, where, precision, weights), tokenizer)


def _tokenizer(file: Path) -> Any:
    """The tokenizer of a native model; its token 0 is the BOS."""
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))
    except Exception as exc:
        raise ValueError(f"{file.name} is damaged: {exc}") from exc
    tokenizer.bos_token = tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def _native(settings: dict[str, Any], weights: Path) -> Any:
    """A bridge of TransformerLens' own form, its weights from a safetensors file."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    cfg = TransformerBridgeConfig.from_dict({**settings, "init_weights": False})
    boot: Any = TransformerBridge  # some of its methods are added when it is imported
    bridge = boot.boot_native(cfg, model_name=weights.parent.name)
    own = {
        name.replace("._original_component", ""): parameter
        for name, parameter in bridge.original_model.named_parameters()
    }
    try:
        saved = load_file(weights)
    except SafetensorError as exc:
        raise ValueError(f"{weights.name} is damaged: {exc}") from exc
    shapes = [{name: tuple(t.shape) for name, t in part.items()} for part in (saved, own)]
    if odd := sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()}):
        raise ValueError(f"weights and config.json disagree about {', '.join(odd[:3])}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(saved[name])
    return bridge


@lru_cache(maxsize=1)
def _from_name(name: str, where: str, precision: str, weights: str) -> LanguageModel:
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
    try:
        if official.startswith(_LEGACY):
            from transformer_lens.model_bridge import TransformerBridge

            boot: Any = TransformerBridge
            bridge = boot.boot_tl_legacy(official)
            tokenizer = bridge.tokenizer
        else:
            bridge, tokenizer = _hugging_face(official, local=False)
    except (ValueError, RuntimeError, OSError) as exc:
        raise PipelineError(
            f"MODEL: cannot fetch {official} from the Hub: {_one_line(exc)}; "
            "check the name and the connection, or give a folder with the model"
        ) from exc
    return LanguageModel(name, _placed(bridge, where, precision, weights), tokenizer)


def _hugging_face(name: str, *, local: bool) -> tuple[Any, Any]:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local)
    bridge = TransformerBridge.boot_transformers(name, tokenizer=tokenizer)
    return bridge, bridge.tokenizer


def _quiet() -> None:
    """Switch off the libraries' own progress bars, advice and telemetry."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:240]
