"""The ids of texts and variants, and how sure they are."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import rows
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import tables
from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.language.tokenised import Tokenised
from pipeline.models import language_model
from pipeline.models.language_model import LanguageModel
from pipeline.verification import encodings
from pipeline.verification.encodings import STAGE


def sample(demo, text, **more):
    """A text as a page has it: tokens, no ids."""
    ids = [demo.bos_id, *demo.encode(text)]
    names = [demo.token_texts[i] for i in ids]
    row = dict(rank=0, text_id=0, tokens=names, activations=[0.0] * len(ids), text_start=1)
    return row | dict(mat_index=1, max_activation=0.0, source="test") | more


def baseline(start, end, **more):
    row = dict(rank=0, variant=0, kind="baseline", phrase="p", phrase_start=start, phrase_end=end)
    return row | more


def variant(number, start, end, word, replacement):
    """`word` is the span of tokens replaced."""
    span = dict(first_token=word[0], end_token=word[1], replacement=replacement)
    return baseline(start, end) | dict(variant=number, kind="synonym") | span


def encoded(given_sample, *variants, config=None, model=None):
    """The rows of variants of a text, encoded by the embedded model or another one."""
    config = config or Config()
    asked, given = rows("variants", *variants), rows("samples", given_sample)
    encoder = encodings.Encoder(config, model or language_model.load(config))
    return tables.check("encodings", encoder(asked, given)).to_pylist()


def test_ids_of_the_sample_are_exact_and_ids_found_again_retokenised(demo):
    page = sample(demo, "a red fox and a dog")
    [found] = encoded(page, baseline(1, 4))
    ids = [demo.bos_id, *demo.encode("a red fox and a dog")]
    assert (found["token_ids"], found["tokens"], found["status"]) == (ids[:4], "retokenised", "ok")
    [found] = encoded(page | dict(token_ids=ids), baseline(1, 4))
    assert (found["token_ids"], found["tokens"]) == (ids[:4], "exact")


def test_tokens_that_tokenising_gives_otherwise_are_looked_up_one_by_one(demo):
    names = ["<|endoftext|>", "f", "o", "x", " ran"]
    assert len(demo.encode("fox ran")) < 4
    [found] = encoded(sample(demo, "a", tokens=names, activations=[0.0] * 5), baseline(1, 5))
    assert [demo.token_texts[i] for i in found["token_ids"]] == names
    assert found["tokens"] == "retokenised"


def test_half_a_character_makes_a_text_lossy_and_every_variant_of_it(demo):
    names = ["<|endoftext|>", "a", "\ufffd", " red", " fox"]
    page = sample(demo, "a", tokens=names, activations=[0.0] * 5)
    found = encoded(page, baseline(1, 5), variant(1, 1, 5, (3, 4), " green"))
    assert [row["tokens"] for row in found] == ["lossy", "lossy"]
    assert [demo.token_texts[i] for i in found[0]["token_ids"]] == names
    assert all(row["status"] == "ok" for row in found)


def test_a_token_without_an_id_leaves_nothing_to_measure(demo):
    page = sample(demo, "a", tokens=["<|endoftext|>", "a r", "ed fox"], activations=[0.0] * 3)
    found = encoded(page, baseline(1, 3), variant(1, 1, 3, (1, 2), "b"))
    assert [(row["status"], row["tokens"], row["token_ids"]) for row in found] == [
        ("unknown_tokens", "lossy", [])
    ] * 2
    assert len({row["key"] for row in found}) == 1  # what is not measured is not measured twice


def test_a_replacement_is_put_into_the_words_place(demo):
    text = "a red fox and a dog"
    ids = [demo.bos_id, *demo.encode(text)]
    page = sample(demo, text, token_ids=ids)
    found = encoded(page, baseline(1, 5), variant(1, 1, 5, (2, 3), " extraordinarily"))
    new = demo.encode(" extraordinarily")
    assert len(new) > 1
    assert (found[1]["first_token"], found[1]["token_ids"]) == (2, new + ids[3:5])
    assert found[1]["tokens"] == "exact"


def test_a_replacement_that_merges_with_its_surroundings_is_tokenised_with_them(demo):
    """After an apostrophe, an s is the genitive's."""
    word = next(
        token for token in demo.token_texts if token.isalpha() and len(demo.encode(f"x'{token}")) == 3
    )
    text = f"it is x'{word} now, or so it seems"
    ids = [demo.bos_id, *demo.encode(text)]
    at = next(i for i, token in enumerate(ids) if demo.token_texts[token] == word)
    page = sample(demo, text, token_ids=ids)
    found = encoded(page, baseline(2, at + 3), variant(1, 2, at + 3, (at, at + 1), "sword"))
    whole = [demo.bos_id, *demo.encode(text.replace(word, "sword"))]
    [_, row] = found
    assert row["tokens"] == "retokenised"
    assert row["first_token"] < at
    assert ids[: row["first_token"]] + row["token_ids"] + ids[at + 3 :] == whole


def test_a_variant_that_cannot_be_told_from_what_follows_is_lossy(demo):
    names = ["<|endoftext|>", "a", " re", "d", " fox"]  # cut where tokenising would not
    page = sample(demo, "a", tokens=names, activations=[0.0] * 5)
    ids = [demo.ids_of(name)[0] for name in names]
    found = encoded(page | dict(token_ids=ids), baseline(1, 3), variant(1, 1, 3, (1, 2), "b"))
    assert [row["tokens"] for row in found] == ["exact", "lossy"]
    assert found[1]["token_ids"] == [*demo.encode("b"), ids[2]]


def test_a_variant_that_no_longer_fits_the_context_is_marked_and_counted(demo):
    ids = demo.encode(" red fox" * demo.n_ctx)[: demo.n_ctx - 1]
    page = sample(demo, demo.tokenizer.decode(ids))
    n = demo.n_ctx
    found = encoded(
        page, baseline(n - 5, n), variant(1, n - 5, n, (n - 2, n - 1), " extraordinarily unmistakable")
    )
    assert [(row["status"], bool(row["token_ids"])) for row in found] == [("ok", True), ("too_long", False)]
    told = STAGE.note(rows("encodings", *found), {}, Config())
    assert told == "2 retokenised; not measured: 1 too_long"


def test_ids_that_do_not_spell_the_tokens_are_not_used(demo):
    page = sample(demo, "a red fox", token_ids=[demo.bos_id, 10**6, 5])
    [found] = encoded(page, baseline(1, 3))
    assert (found["tokens"], found["status"]) == ("retokenised", "ok")


def test_a_replacement_without_tokens_is_not_measured(demo):
    found = encoded(sample(demo, "a red fox"), baseline(2, 3), variant(1, 2, 3, (2, 3), ""))
    assert [row["status"] for row in found] == ["ok", "no_tokens"]


def test_a_neuron_of_another_layer_has_its_own_texts_and_keys(demo):
    """Neuron 7 of layer 0 is not neuron 7 of layer 1."""
    texts = ["a red fox and a dog", "some other text of it"]
    pages = [
        sample(demo, text, neuron=7, layer=layer, token_ids=[demo.bos_id, *demo.encode(text)])
        for layer, text in enumerate(texts)
    ]
    asked = [
        row | dict(neuron=7, layer=layer)
        for layer in (0, 1)
        for row in (baseline(1, 4), variant(1, 1, 4, (2, 3), " green"))
    ]
    encoder = encodings.Encoder(Config(), language_model.load(Config()))
    made = encoder(rows("variants", *asked), rows("samples", *pages)).to_pylist()
    for layer, page in enumerate(pages):
        own = [row for row in made if row["layer"] == layer]
        assert [row["token_ids"] for row in own] == [
            page["token_ids"][:4],
            [*demo.encode(" green"), page["token_ids"][3]],
        ]
    same = [
        encoded(pages[0] | dict(layer=layer), *[row | dict(layer=layer) for row in asked[:2]])
        for layer in (0, 1)
    ]
    assert [row["text"] for row in same[0]] == [row["text"] for row in same[1]]
    assert len({row["key"] for layer in same for row in layer}) == 4


@pytest.fixture(scope="module")
def sentences():
    """A model whose tokenizer puts a blank before every text, as Llama's do."""
    from types import SimpleNamespace

    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<s>", "▁", "▁a", "▁red", "▁fox", "▁green", "▁ran", "(", ")", "fox", "green", *"adefgnorx"]
    vocabulary = [(piece, -1.0 if len(piece) > 1 else -9.0) for piece in pieces]
    own = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    own.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    own.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, bos_token="<s>")
    return LanguageModel("sentences", SimpleNamespace(cfg=SimpleNamespace(n_ctx=64)), tokenizer)


def test_a_tokenizer_that_puts_a_space_before_every_text_gets_no_second_one(sentences):
    ids = [0, *sentences.encode("a red fox ran (fox) a red fox")]
    names = [sentences.token_texts[i] for i in ids]
    assert names[:4] == ["<s>", " a", " red", " fox"]
    page = sample(sentences, "a", tokens=names, activations=[0.0] * len(ids), token_ids=ids)
    at = names.index("fox")
    for given_ids, how in ((ids, "exact"), (None, "retokenised")):
        found = encoded(
            page | dict(token_ids=given_ids),
            baseline(1, 8),
            variant(1, 1, 8, (2, 3), " green"),
            variant(2, 1, 8, (at, at + 1), "green"),
            model=sentences,
        )
        whole = [0, *sentences.encode("a green fox ran (fox) a red fox")]
        assert (found[1]["tokens"], found[1]["token_ids"]) == (how, whole[2:8])
        whole = [0, *sentences.encode("a red fox ran (green) a red fox")]
        assert found[2]["tokens"] in ("retokenised", how)
        assert ids[: found[2]["first_token"]] + found[2]["token_ids"] == whole[:8]


words = st.sampled_from(["red", "fox", "'s", "and", ",", "extraordinary", "(", "42", "-", "naïve", "x'"])


@settings(max_examples=40, deadline=None)
@given(st.lists(words, min_size=4, max_size=30), st.data())
def test_sure_ids_are_those_of_tokenising_the_whole_changed_text(demo, parts, data):
    glue = data.draw(st.lists(st.sampled_from([" ", " ", ""]), min_size=len(parts), max_size=len(parts)))
    text = "".join(blank + part for blank, part in zip(glue, parts, strict=True))
    ids = [demo.bos_id, *demo.encode(text)]
    first = data.draw(st.integers(1, len(ids) - 1))
    start = data.draw(st.integers(max(1, first - 3), first))
    end = data.draw(st.integers(first + 1, min(len(ids), first + 6)))
    new = data.draw(st.sampled_from(["s", " sword", "green", " unmistakably", "'"]))
    page = sample(demo, text, token_ids=ids)
    if page["tokens"][1:] != [demo.token_texts[i] for i in ids[1:]] or "\ufffd" in "".join(page["tokens"]):
        return
    _, row = encoded(page, baseline(start, end), variant(1, start, end, (first, first + 1), new))
    names = page["tokens"]
    changed = "".join([*names[1:first], new, *names[first + 1 :]])
    whole = [demo.bos_id, *demo.encode(changed)]
    if row["tokens"] != "lossy":
        assert ids[: row["first_token"]] + row["token_ids"] + ids[end:] == whole


@pytest.fixture
def tokenised(tmp_path, demo):
    """A tokenised data set of the form Neuroscope's Data Index counts in: one row per text, ids only."""
    texts = ["a red fox", "a green dog", "some other text"]
    ids = [[demo.bos_id, *demo.encode(text)] for text in texts]
    for part, chosen in (("a", ids[:2]), ("b", ids[2:])):
        pq.write_table(pa.table({"tokens": chosen}), tmp_path / f"{part}.parquet")
    return tmp_path, ids


def test_exact_tokens_are_those_of_the_data_set_by_the_pages_number(demo, tokenised):
    folder, ids = tokenised
    config = Config(exact_tokens=str(folder))
    page = sample(demo, "some other text", text_id=2)
    [found] = encoded(page, baseline(1, 3), config=config)
    assert (found["token_ids"], found["tokens"]) == (ids[2][:3], "exact")
    assert Tokenised(config).rows([2, None, 0, 99]) == {0: ids[0], 2: ids[2]}


def test_a_row_that_does_not_spell_the_pages_tokens_is_not_used(demo, tokenised):
    config = Config(exact_tokens=str(tokenised[0]))
    [found] = encoded(sample(demo, "some other text", text_id=1), baseline(1, 3), config=config)
    assert found["tokens"] == "retokenised"
    [found] = encoded(sample(demo, "some other text", text_id=77), baseline(1, 3), config=config)
    assert found["tokens"] == "retokenised"


def test_half_characters_are_exact_where_the_data_set_has_them(demo, tmp_path):
    ids = [demo.bos_id, *demo.encode("caf\u2603 au lait")]
    names = [demo.token_texts[i] for i in ids]
    assert "\ufffd" in "".join(names)
    pq.write_table(pa.table({"tokens": [ids[1:]]}), tmp_path / "x.parquet")  # without the BOS
    page = sample(demo, "a", tokens=names, activations=[0.0] * len(names))
    [found] = encoded(page, baseline(1, 4), config=Config(exact_tokens=str(tmp_path)))
    assert (found["token_ids"], found["tokens"]) == (ids[:4], "exact")


def test_a_data_set_without_tokens_or_that_is_damaged_is_refused(tmp_path):
    with pytest.raises(UserError, match="no Parquet in"):
        Tokenised(Config(exact_tokens=str(tmp_path)))
    for odd in (
        {"text": ["a"]},
        {"tokens": ["12"]},
        {"tokens": [[1.5]]},
        {"tokens": [1]},
        {"tokens": [{"a": 1}]},
    ):
        pq.write_table(pa.table(odd), tmp_path / "x.parquet")
        with pytest.raises(UserError, match="has no column 'tokens' of lists of ids; it has"):
            Tokenised(Config(exact_tokens=str(tmp_path)))
    (tmp_path / "x.parquet").write_bytes(b"nothing")
    with pytest.raises(PipelineError, match="EXACT_TOKENS: cannot read"):
        Tokenised(Config(exact_tokens=str(tmp_path)))


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("solu-8l-pile", ("NeelNanda/pile-small-tokenized-2b",)),
        ("solu-6l", ("NeelNanda/c4-tokenized-2b", "NeelNanda/code-tokenized")),
        ("gelu-2l", ("NeelNanda/c4-tokenized-2b", "NeelNanda/code-tokenized")),
        ("pythia-70m", ("NeelNanda/pile-tokenized-10b",)),
        ("gpt2", ("NeelNanda/openwebtext-tokenized-9b",)),
    ],
)
def test_auto_knows_the_data_set_of_a_model(model, names):
    assert Config(model=model, exact_tokens="auto").exact_tokens_names == names


def test_where_no_data_set_is_known_auto_says_so():
    with pytest.raises(UserError, match="no tokenised data set is known for demo"):
        Config(exact_tokens="auto")
    with pytest.raises(UserError, match="EXACT_TOKENS: no folder './nowhere'"):
        Config(exact_tokens="./nowhere")
    with pytest.raises(UserError, match="EXACT_TOKENS is empty"):
        Config(exact_tokens="")


def test_odd_rows_and_hidden_files_of_a_data_set_do_no_harm(tmp_path):
    rows_ = pa.array([None, [1, None], [5, 6]], pa.list_(pa.int32()))
    pq.write_table(pa.table({"tokens": rows_}), tmp_path / "x.parquet")
    (tmp_path / "._x.parquet").write_bytes(b"of another system")
    assert Tokenised(Config(exact_tokens=str(tmp_path))).rows([0, 1, 2]) == {0: [], 1: [], 2: [5, 6]}


def test_a_data_set_that_is_not_the_pages_own_gives_a_warning(demo, tokenised):
    config = Config(exact_tokens=str(tokenised[0]))
    wrong = rows("encodings", *encoded(sample(demo, "some other text"), baseline(1, 3), config=config))
    [warning] = STAGE.warn(wrong, {}, config)
    assert "1 of 1 texts differ in" in warning
    right = rows("encodings", *encoded(sample(demo, "a red fox"), baseline(1, 3), config=config))
    assert STAGE.warn(right, {}, config) == []
    assert STAGE.warn(wrong, {}, Config()) == []


@pytest.mark.parametrize("form", ["prepend", "metaspace", "plain"])
def test_ids_of_variants_of_indented_text_are_those_of_tokenising_it(form):
    from types import SimpleNamespace

    import model_folders
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model_folders.sentence_pieces(form), bos_token="<s>"
    )
    model = LanguageModel(form, SimpleNamespace(cfg=SimpleNamespace(n_ctx=64)), tokenizer)
    text = "the fox runs\n    the red fox sits  near the fox,\n  red fox runs"
    ids = [1, *model.encode(text)]
    page = sample(model, text, token_ids=ids)
    names = page["tokens"]
    for at in [i for i, name in enumerate(names) if name in (" red", " fox", " near")]:
        low, high = max(1, at - 3), min(len(ids), at + 3)
        _, found = encoded(
            page, baseline(low, high), variant(1, low, high, (at, at + 1), " green"), model=model
        )
        changed = "".join([*names[1:at], " green", *names[at + 1 :]])
        whole = [1, *model.encode(changed if form == "plain" else changed.removeprefix(" "))]
        assert found["tokens"] != "lossy"
        assert ids[: found["first_token"]] + found["token_ids"] + ids[high:] == whole
