"""The tokenizer of a model: how it is loaded, which token opens a text, what each token reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_TRIED = "a"  # whose tokens are common to all vocabularies
_OPENING = ("<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>", "[CLS]")


def native(file: Path) -> Any:
    """The tokenizer of a native model; its token 0 is the BOS. Raises ValueError for a damaged file."""
    tokenizer = _read(file)
    if (opening := tokenizer.convert_ids_to_tokens(0)) is None:
        raise ValueError(f"{file.name} has no token 0, which opens a text")
    tokenizer.bos_token = opening
    return tokenizer


def of_folder(folder: Path, settings: dict[str, Any]) -> Any:
    """The tokenizer of a folder in Hugging Face's form, whose config.json holds `settings`.

    Without tokenizer_config.json it is tokenizer.json as it stands. Raises ValueError where no token is
    known that opens a text, or a file is damaged.
    """
    from transformers import AutoTokenizer

    if not (folder / "tokenizer_config.json").is_file():
        tokenizer = _read(folder / "tokenizer.json")
        tokenizer.bos_token = _opening(tokenizer, settings)
        return tokenizer
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        tokenizer.encode(_TRIED)
    except Exception as exc:
        raise ValueError(f"tokenizer.json or tokenizer_config.json is damaged: {exc}") from exc
    if tokenizer.bos_token is None and tokenizer.eos_token is None:
        tokenizer.bos_token = _opening(tokenizer, settings)
    return tokenizer


def _read(file: Path) -> Any:
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))
        tokenizer.encode(_TRIED)
    except Exception as exc:
        raise ValueError(f"{file.name} is damaged: {exc}") from exc
    return tokenizer


def _opening(tokenizer: Any, settings: dict[str, Any]) -> str:
    """The token that opens a text: the one that the tokenizer itself puts first, or config.json's BOS or
    end of text, or the special token that is named so, or the only one."""
    special = {i: str(token) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    own, marked = (tokenizer.encode(_TRIED, add_special_tokens=marks) for marks in (False, True))
    named = [settings.get(name) for name in ("bos_token_id", "eos_token_id")]
    candidates = [*([] if marked[:1] == own[:1] else marked[:1]), *named]
    for i in (i for each in candidates for i in (each if isinstance(each, list) else [each])):
        if i in special:
            return special[i]
    names = [*(name for name in _OPENING if name in special.values()), *special.values()]
    if names and (names[0] in _OPENING or len(special) == 1):
        return names[0]
    raise ValueError(
        "no file says which token opens a text; give bos_token_id in config.json, the id of a special "
        "token of tokenizer.json"
    )


def size(tokenizer: Any) -> int:
    """One more than the highest id; some in between may belong to no token."""
    return 1 + max(tokenizer.get_vocab().values(), default=-1)


def texts(tokenizer: Any) -> list[str]:
    """Each token as the text that it adds to what stands before it, by id.

    Half a character is U+FFFD, an id without a token the empty text.
    """
    ids = sorted(tokenizer.get_vocab().values())
    how = dict(clean_up_tokenization_spaces=False, skip_special_tokens=False)
    before = tokenizer.encode(_TRIED, add_special_tokens=False)[-1:]  # decoders drop a text's first blank
    opening = tokenizer.decode(before, **how)
    found = [""] * size(tokenizer)
    for i, text in zip(ids, tokenizer.batch_decode([[*before, i] for i in ids], **how), strict=True):
        stays = text.startswith(opening)
        found[i] = text[len(opening) :] if stays else tokenizer.decode([i], **how)
    return found
