"""Tokens joined are the text, whatever the tokenizer's form; three files make a model."""

import json

import model_folders
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.models import language_model, tokens
from pipeline.models.language_model import LanguageModel
from pipeline.models.token_ids import Identities

SENTENCE_PIECES = ("prepend", "metaspace", "plain")
TOKENIZERS = {"bytes": model_folders.byte_level()}
TOKENIZERS |= {form: model_folders.sentence_pieces(form) for form in SENTENCE_PIECES}
AS_READ = {
    form: PreTrainedTokenizerFast(
        tokenizer_object=each, bos_token=each.id_to_token(1 if form != "bytes" else 0)
    )
    for form, each in TOKENIZERS.items()
}
parts = st.sampled_from(
    ["the", "red", "fox", " ", "  ", "   ", "    ", "\n", "\n    ", ".", ",", "x", " green"]
)


@pytest.mark.parametrize("form", TOKENIZERS)
@given(text=st.lists(parts, min_size=1, max_size=12).map("".join))
@settings(max_examples=60, deadline=None)
def test_tokens_joined_are_the_text(form, text):
    model = LanguageModel(form, None, AS_READ[form])
    joined = "".join(model.token_texts[i] for i in model.encode(text))
    assert joined == text or (form in ("prepend", "metaspace") and joined == " " + text)


@pytest.mark.parametrize("form", SENTENCE_PIECES)
def test_a_run_of_blanks_reads_as_all_of_its_blanks(form):
    names = tokens.texts(AS_READ[form])
    for n in (1, 2, 3, 4):
        assert names[TOKENIZERS[form].token_to_id("▁" * n)] == " " * n
    assert names[TOKENIZERS[form].token_to_id("<0x0A>")] == "\n"
    assert names[TOKENIZERS[form].token_to_id("<0xE2>")] == "\ufffd"
    assert names[TOKENIZERS[form].token_to_id("<s>")] == "<s>"


@pytest.mark.parametrize("form", SENTENCE_PIECES)
@given(text=st.lists(parts, min_size=1, max_size=12).map("".join))
@settings(max_examples=60, deadline=None)
def test_ids_of_indented_text_are_found_again_from_its_tokens(form, text):
    model = LanguageModel(form, None, AS_READ[form])
    ids = model.encode(text)
    read = [model.token_texts[i] for i in ids]
    sample = {"text_id": 0, "tokens": ["<s>", *read], "text_start": 1, "token_ids": None}
    [found] = Identities(Config(), model).of([sample])
    assert found.ids == [1, *ids] or found.tokens == "lossy"
    if "\n" not in text:  # its token of a byte may stand for a letter too
        assert found.tokens == "retokenised"


def with_gap(gap):
    """The tokenizer of bytes with one more token, whose id is `gap` above the highest other."""
    settings_ = json.loads(model_folders.byte_level().to_str())
    highest = max(settings_["model"]["vocab"].values())
    more = settings_["added_tokens"][0] | dict(id=highest + gap, content="<|pad|>")
    settings_["added_tokens"].append(more)
    settings_["model"]["vocab"]["<|pad|>"] = highest + gap
    return Tokenizer.from_str(json.dumps(settings_)), highest


@pytest.mark.parametrize("gap", [1, 2, 40])
def test_ids_between_others_may_belong_to_no_token(tmp_path, gap):
    tokenizer, highest = with_gap(gap)
    model = language_model.load(Config(model=str(model_folders.save(tmp_path, "gpt2", tokenizer))))
    assert len(model.token_texts) == highest + gap + 1
    assert model.token_texts[highest + gap] == "<|pad|>"
    assert set(model.token_texts[highest + 1 : highest + gap]) <= {""}
    assert model.ids_of("") == []
    assert not model.spells([highest + gap + 1], [""])


def test_an_id_beyond_the_models_embeddings_is_refused(tmp_path):
    tokenizer, highest = with_gap(model_folders.VOCABULARY)
    path = model_folders.save(tmp_path, "gpt2", tokenizer)
    last = highest + model_folders.VOCABULARY
    with pytest.raises(PipelineError, match=f"tokenizer.json go up to {last}, those of the model to 511"):
        language_model.load(Config(model=str(path)))


THREE = {"gpt2": "bytes", "neox": "bytes", "opt": "bytes", "llama": "prepend", "gemma2": "plain"}


@pytest.mark.parametrize(("form", "tokenizer"), THREE.items())
def test_exactly_the_three_files_are_a_model(tmp_path, form, tokenizer):
    path = model_folders.save(tmp_path, form, TOKENIZERS[tokenizer])
    assert sorted(file.name for file in path.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    model_folders.change_config(path, bos_token_id=0 if tokenizer == "bytes" else 1)
    model = language_model.load(Config(model=str(path)))
    text = "the red fox\n    sits near the green fox."
    assert model.encode(text) == TOKENIZERS[tokenizer].encode(text, add_special_tokens=False).ids
    assert model.token_texts[model.bos_id] == ("<|endoftext|>" if tokenizer == "bytes" else "<s>")


def opening(tmp_path, tokenizer, **settings_):
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tokens.of_folder(tmp_path, settings_).bos_token


def test_the_token_that_opens_a_text_is_a_special_one_that_a_file_names(tmp_path):
    assert opening(tmp_path, model_folders.byte_level(), bos_token_id=1) == "<|endoftext|>"  # 1 is a letter
    assert opening(tmp_path, model_folders.byte_level(), bos_token_id=50256) == "<|endoftext|>"
    pieces = model_folders.sentence_pieces("plain")
    assert opening(tmp_path, pieces, bos_token_id=1) == "<s>"
    assert opening(tmp_path, pieces, bos_token_id=None, eos_token_id=[2, 1]) == "</s>"
    pieces.post_processor = TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    assert opening(tmp_path, pieces, bos_token_id=1) == "</s>"


def test_a_folder_that_does_not_say_what_opens_a_text_is_refused(tmp_path):
    nothing_special = Tokenizer.from_str(model_folders.byte_level().to_str().replace("true", "false"))
    path = model_folders.save(tmp_path, "llama", nothing_special)
    model_folders.change_config(path, bos_token_id=77, eos_token_id=None)
    with pytest.raises(PipelineError, match="no file says which token opens a text; give bos_token_id"):
        language_model.load(Config(model=str(path)))


JUNK = st.binary(max_size=8) | st.sampled_from([b"null", b"[]", b"{}", b'"', b"-1", b"\xff", b"[" * 9999])
WHOLE = {form: each.to_str().encode() for form, each in TOKENIZERS.items()}


@pytest.mark.parametrize("form", TOKENIZERS)
@pytest.mark.parametrize("configured", [True, False])
@given(damage=st.tuples(st.floats(0, 1), st.integers(0, 50), JUNK))
@settings(max_examples=40, deadline=None)
def test_a_tokenizer_with_anything_in_it_is_read_or_refused(tmp_path_factory, form, configured, damage):
    path, whole = tmp_path_factory.mktemp("t"), WHOLE[form]
    place, length, junk = damage
    start = int(place * len(whole))
    (path / "tokenizer.json").write_bytes(whole[:start] + junk + whole[start + length :])
    if configured:
        (path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    readers = [lambda: tokens.of_folder(path, {}), lambda: tokens.native(path / "tokenizer.json")]
    for read in readers:
        try:
            assert len(tokens.texts(read())) > 0
        except ValueError as exc:
            assert "token" in str(exc)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", '{"model": null}'),
        ("tokenizer.json", ""),
        ("tokenizer_config.json", "["),
        ("tokenizer_config.json", '{"tokenizer_class": 5}'),
    ],
)
def test_a_damaged_tokenizer_is_one_line(tmp_path, file, content):
    path = model_folders.save(tmp_path, "gpt2")
    (path / file).write_text(content)
    with pytest.raises(PipelineError, match="MODEL: cannot load") as caught:
        language_model.load(Config(model=str(path)))
    assert "\n" not in str(caught.value)


def test_a_text_that_a_tokenizer_cannot_read_is_one_line():
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="?")))
    with pytest.raises(PipelineError, match="the tokenizer of words cannot read a text"):
        LanguageModel("words", None, words).encode("b")


def test_a_special_token_of_a_tokenizer_reads_as_its_name():
    tokenizer = model_folders.sentence_pieces("prepend")
    tokenizer.add_special_tokens([AddedToken("<|im_start|>", special=True)])
    names = tokens.texts(PreTrainedTokenizerFast(tokenizer_object=tokenizer))
    assert names[-1] == "<|im_start|>"
