"""Ids of variants, of which each distinct piece is tokenised once, are those of tokenising each variant."""

import itertools
from types import SimpleNamespace

import model_folders
import one_by_one
import pytest
from conftest import rows
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from pipeline.config import Config
from pipeline.models.language_model import LanguageModel
from pipeline.models.pieces import Pieces
from pipeline.verification import encodings
from pipeline.verification.variants import of_places

WORDS = [
    "red",
    "fox",
    "'s",
    "and",
    ",",
    ".",
    "extraordinary",
    "(",
    ")",
    "42",
    "-",
    "naïve",
    "x'",
    "中文",
    "☃",
]
BLANKS = [" ", " ", " ", "", "", "  ", "\n", " \n", "\n\n  ", "\t"]
NEW = ["s", "green", "sword", "Unmistakably", "'", "é", "words", "日本", "7", ""]
TEXT = [f"{a}{blank}{b}" for a, b, blank in itertools.product([*WORDS, *NEW], WORDS, (" ", "", ".\n"))]
GPT_4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def trained(model, trainer, **parts):
    """A tokenizer that has learnt the words here."""
    found = Tokenizer(model)
    for name, part in parts.items():
        setattr(found, name, part)
    found.train_from_iterator(TEXT, trainer)
    return found


def byte_level(*before, size=420, as_gpt_2=False):
    """Of bytes, which are cut by these first."""
    steps = [*before, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=as_gpt_2)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=["<s>"], show_progress=False
    )
    parts = dict(pre_tokenizer=pre_tokenizers.Sequence(steps), decoder=decoders.ByteLevel())
    return trained(models.BPE(), trainer, **parts)


def unigram():
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    space = dict(pre_tokenizer=pre_tokenizers.Metaspace(), decoder=decoders.Metaspace())
    return trained(models.Unigram(), trainer, **space)


def word_pieces():
    trainer = trainers.WordPieceTrainer(
        vocab_size=220, special_tokens=["<s>", "[UNK]"], limit_alphabet=40, show_progress=False
    )
    parts = dict(pre_tokenizer=pre_tokenizers.BertPreTokenizer(), decoder=decoders.WordPiece(cleanup=False))
    return trained(models.WordPiece(unk_token="[UNK]"), trainer, **parts)


def with_nfkc():
    found = byte_level(pre_tokenizers.Split(Regex(GPT_4), "isolated"))
    found.normalizer = normalizers.NFKC()
    return found


def with_a_mark_that_takes_blanks():
    found = byte_level(pre_tokenizers.Split(Regex(GPT_4), "isolated"))
    found.add_tokens([AddedToken("sword", rstrip=True)])
    return found


# by name: the tokenizer, and whether it cuts at blanks
TOKENIZERS = {
    "bytes as GPT-2": (lambda: byte_level(as_gpt_2=True), True),
    "bytes as GPT-4": (lambda: byte_level(pre_tokenizers.Split(Regex(GPT_4), "isolated")), True),
    "bytes, digits apart": (lambda: byte_level(pre_tokenizers.Digits(True), as_gpt_2=True), True),
    "bytes, NFKC": (with_nfkc, True),
    "bytes, a mark that takes blanks": (with_a_mark_that_takes_blanks, False),
    "bytes, tokens of several words": (lambda: byte_level(size=500), False),
    "SentencePiece, prepended": (lambda: model_folders.sentence_pieces("prepend"), True),
    "SentencePiece, metaspace": (lambda: model_folders.sentence_pieces("metaspace"), True),
    "SentencePiece, plain": (lambda: model_folders.sentence_pieces("plain"), True),
    "SentencePiece, unigram": (unigram, True),
    "WordPiece": (word_pieces, True),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def form(request):
    """A model of which only the tokenizer is there, and whether it cuts at blanks."""
    made, cuts = TOKENIZERS[request.param]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made(), bos_token="<s>")
    bridge = SimpleNamespace(cfg=SimpleNamespace(n_ctx=40))
    return LanguageModel(request.param, bridge, tokenizer), cuts


def sample(model, text, rank, given_ids):
    """A text as it is stored, with its ids or without."""
    ids = [model.bos_id, *model.encode(text)]
    row = dict(rank=rank, text_id=rank, tokens=[model.token_texts[i] for i in ids], text_start=1)
    row |= dict(activations=[0.0] * len(ids), mat_index=1, max_activation=0.0, source="test")
    return row | dict(token_ids=ids if given_ids else None)


@st.composite
def asked(draw, model):
    """Two texts and the variants of a phrase of each, ordered as in their table."""
    samples, variants = [], []
    for rank in range(2):
        parts = draw(
            st.lists(st.tuples(st.sampled_from(BLANKS), st.sampled_from(WORDS)), min_size=3, max_size=14)
        )
        samples.append(sample(model, "".join(map("".join, parts)), rank, draw(st.booleans())))
        n = len(samples[-1]["tokens"])
        start = draw(st.integers(0, n - 1))
        end = draw(st.integers(start + 1, min(n, start + 11)))
        phrase = dict(rank=rank, phrase="", phrase_start=start, phrase_end=end)
        variants.append(phrase | dict(variant=0, kind="baseline"))
        for first in range(max(1, start), end):
            stop = draw(st.integers(first + 1, min(end, first + 2)) if first + 1 < end else st.just(end))
            own = samples[-1]["tokens"][first]
            blank = draw(st.sampled_from([own[: len(own) - len(own.lstrip())], " ", ""]))
            for new in draw(st.lists(st.sampled_from(NEW), max_size=3)):
                span = dict(first_token=first, end_token=stop, replacement=blank + new)
                variants.append(phrase | span | dict(variant=len(variants), kind="synonym"))
    return rows("samples", *samples), rows("variants", *variants)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_ids_of_variants_are_those_of_tokenising_each(form, data):
    model, _ = form
    samples, variants = data.draw(asked(model))
    expected = one_by_one.encoded(variants, samples, model, Config())
    found = encodings.Encoder(Config(), model)(variants, samples)
    assert found.to_pylist() == expected.to_pylist()
    assert found.schema.equals(expected.schema)


def test_a_tokenizer_cuts_at_blanks_unless_a_token_reaches_across_one(form):
    model, cuts = form
    assert Pieces(model).cuts is cuts


def test_ids_of_a_runs_variants_are_those_of_tokenising_each(small_tables, demo):
    samples = small_tables["samples"]
    asked = of_places(small_tables["places"].slice(0, 900))
    expected = one_by_one.encoded(asked, samples, demo, Config())
    assert encodings.Encoder(Config(), demo)(asked, samples).equals(expected)
    assert Pieces(demo).cuts


def test_distinct_words_are_tokenised_once(form):
    model, cuts = form
    given_texts = []

    class Counting(LanguageModel):
        def encode_batch(self, texts):
            given_texts.extend(texts)
            return super().encode_batch(texts)

    counting = Counting(model.name, model.bridge, model.tokenizer)
    pages = [sample(model, "a red fox and a red fox and a red fox", rank, True) for rank in range(2)]
    names = pages[0]["tokens"]
    phrase = dict(phrase="", phrase_start=1, phrase_end=len(names))
    opening = [place for place, name in enumerate(names) if name[:1] == " " and place > 1]
    variants = []
    for rank in range(2):
        variants.append(phrase | dict(rank=rank, variant=0, kind="baseline"))
        for place, stop in itertools.pairwise([*opening, len(names)]):
            span = dict(first_token=place, end_token=stop, replacement=" sword", kind="synonym")
            variants.append(phrase | span | dict(rank=rank, variant=place))
    encoder = encodings.Encoder(Config(), counting)
    encoder.pieces.cuts  # noqa: B018  (what it tries out is not counted)
    given_texts.clear()
    encoder(rows("variants", *variants), rows("samples", *pages))
    assert sum("sword" in text for text in given_texts) == (1 if cuts else 1 + len(opening))
