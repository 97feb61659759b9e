"""Published vectors are read by what is in the file, whatever its name, or refused in one line."""

import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pytest
from gensim.models import FastText
from gensim.models.fasttext import save_facebook_model
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.identification import vocabulary
from pipeline.language import fasttext, vector_files

WIDTH = 12
WORDS = ["the", "fox", "Red", "naïve", "42"]
MATRIX = np.random.default_rng(0).normal(size=(len(WORDS), WIDTH)).astype(np.float32)
LINES = [" ".join([word, *(f"{x:.5f}" for x in row)]) for word, row in zip(WORDS, MATRIX, strict=True)]
HEADER = f"{len(WORDS)} {WIDTH}\n"
TEXT = (HEADER + "\n".join(LINES) + "\n").encode()
BINARY = HEADER.encode() + b"".join(
    word.encode() + b" " + row.tobytes() for word, row in zip(WORDS, MATRIX, strict=True)
)
FORMS = {
    "text": TEXT,
    "text with blanks at line ends": TEXT.replace(b"\n", b" \n"),
    "text with other line ends": TEXT.replace(b"\n", b"\r\n"),
    "binary": BINARY,
    "binary with line ends": BINARY.replace(b"fox ", b"\nfox "),
    "glove": ("\n".join(LINES) + "\n").encode(),
}


def zipped(content, *more):
    import io

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/words.vec", content)
        archive.writestr("README.md", "what this is")
        archive.writestr("__MACOSX/._words.vec", b"\0\5\26\7")
        for name in more:
            archive.writestr(name, content)
    return packed.getvalue()


PACKERS = {"": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped}


@pytest.fixture(scope="module")
def facebook(tmp_path_factory):
    path = tmp_path_factory.mktemp("facebook") / "model.bin"
    model = FastText([["the", "fox"]] * 20, vector_size=8, min_count=1, workers=1, bucket=20, epochs=1)
    save_facebook_model(model, str(path))
    return path.read_bytes()


@pytest.mark.parametrize("name", ["words.vec", "words.VEC", "words.bin", "words", "words.vec.gz", "w.zip"])
@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_read_by_its_content_packed_or_not_whatever_its_name(tmp_path, form, packer, name):
    path = tmp_path / name
    path.write_bytes(PACKERS[packer](FORMS[form]))
    found = fasttext.load(path)
    assert found.words == [word.lower() for word in WORDS]
    assert np.allclose(found.matrix, MATRIX / np.linalg.norm(MATRIX, axis=1, keepdims=True), atol=1e-4)
    assert vector_files.n_words(path) == len(WORDS)
    fasttext.ready(Config(fasttext=str(path)))


@pytest.mark.parametrize("packer", ["", "gz", "zip"])
def test_facebooks_form_is_read_packed_too(tmp_path, facebook, packer):
    path = tmp_path / "vectors.vec"
    path.write_bytes(PACKERS[packer](facebook))
    assert sorted(fasttext.load(path).words) == ["fox", "the"]
    assert vector_files.n_words(path) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no vectors in a form that is known"),
        (b"this is not a vectors file\n" * 50, "no vectors in a form that is known"),
        (b"3 8\nthis is not a vectors file but long enough to be read as one of numbers\n", "no vectors"),
        (b"0 8\n", "holds no words"),
        (b"5 0\na\n", "holds no words"),
        (b"\x80\x04\x95 a pickle", "no vectors"),
        (b"\x28\xb5\x2f\xfd zstandard", "no vectors"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "no vectors"),
        (bytes(range(256)) * 40, "no vectors"),
        (TEXT.replace(b"fox ", b"fox x"), "no vectors"),
        (gzip.compress(b"some prose\n" * 99, mtime=0), "no vectors"),
        (gzip.compress(TEXT, mtime=0)[:-20], "is not read"),
        (zipped(TEXT, "other.vec"), "2 files of vectors in the archive; unpack it and give one"),
        (zipped(b"prose"), "no vectors"),
        (b"\xba\x16\x4f\x2f\x0c\x00", "is not read"),
        (TEXT.replace(b"5 12", b"9 12"), "is not read"),
        (
            f"2 {WIDTH}\na {'0 ' * WIDTH}\nb {'0 ' * WIDTH}\n".encode(),
            "no word with a vector other than zero",
        ),
        (f"1 {WIDTH}\na {'nan ' * WIDTH}\n".encode(), "no word with a vector other than zero"),
    ],
)
@pytest.mark.parametrize("name", ["a.vec", "a.bin", "a.txt.gz"])
def test_anything_else_is_refused_in_one_line(tmp_path, content, message, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"FASTTEXT: .*{message}") as caught:
        fasttext.load(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", [b"fox", b"f\xc3", b"f\xe2\x98"])
def test_of_words_that_are_there_twice_the_first_counts(tmp_path, line):
    """Two words cut inside a character read alike, too."""
    numbers = [b" 1" + b" 0" * (WIDTH - 1), b" 0" * (WIDTH - 1) + b" 1"]
    others = line if line.isalpha() else line[:1] + b"\xc4"
    content = b"\n".join(
        [b"4 %d" % WIDTH, line + numbers[0], others + numbers[1], b"a" + numbers[1], b"b" + numbers[1]]
    )
    (tmp_path / "a.vec").write_bytes(content + b"\n")
    found = fasttext.load(tmp_path / "a.vec")
    assert found.words[1:] == ["a", "b"]
    assert found.matrix[0].tolist() == [1.0] + [0.0] * (WIDTH - 1)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("form", FORMS)
def test_words_beyond_the_limit_are_told(tmp_path, form, packer):
    (tmp_path / "a.vec").write_bytes(PACKERS[packer](FORMS[form]))
    assert fasttext.load(tmp_path / "a.vec", limit=3).words == ["the", "fox", "red"]
    assert fasttext.left_out(tmp_path / "a.vec", limit=3) == "the first 3 of 5 words are read"
    assert fasttext.left_out(tmp_path / "a.vec", limit=5) == ""


def test_the_vocabularys_line_tells_of_words_beyond_the_limit(tmp_path):
    path = tmp_path / "a.vec"
    for n_words, told in ((999_994, "the first 200,000 of 999,994 words are read"), (200_000, "")):
        path.write_bytes(TEXT.replace(b"5 12", b"%d 12" % n_words))
        assert vocabulary.PUBLISHED.note(None, {}, Config(fasttext=str(path))) == told


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packer", PACKERS)
@given(place=st.floats(0, 1), length=st.integers(0, 40), junk=st.binary(max_size=12))
@settings(max_examples=12, deadline=None)
def test_vectors_with_anything_in_them_are_read_or_refused(form, packer, place, length, junk):
    import tempfile
    from pathlib import Path

    whole = PACKERS[packer](FORMS[form])
    start = int(place * len(whole))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.vec"
        path.write_bytes(whole[:start] + junk + whole[start + length :])
        try:
            found = fasttext.load(path)
        except UserError as exc:
            assert "\n" not in str(exc)
        else:
            assert np.allclose(np.linalg.norm(found.matrix, axis=1), 1, atol=1e-4)
            assert len(found.words) == len(set(found.words)) == len(found.matrix) > 0


@given(kept=st.floats(0, 0.8))  # behind its vectors stands what is not read
@settings(max_examples=12, deadline=None)
def test_facebooks_form_cut_off_within_its_vectors_is_refused(tmp_path_factory, facebook, kept):
    path = tmp_path_factory.mktemp("f") / "a.bin"
    path.write_bytes(facebook[: int(kept * (len(facebook) - 1))])
    with pytest.raises(UserError, match="FASTTEXT"):
        fasttext.load(path)


def _facebook_at(facebook: bytes, start: int, new: bytes) -> bytes:
    return facebook[:start] + new + facebook[start + len(new) :]


@pytest.mark.parametrize("packer", ["", "gz", "zip"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f[: f.index(b"fox") + 2], "within its words"),
        (lambda f: f[: f.index(b"fox") + 6], "within its words|is not read"),
        (lambda f: f.replace(b"fox\0", b"foxx" * 400), "within its words"),
        (lambda f: _facebook_at(f, 64, b"\xff\xff\xff\x7f"), "within its (words|vectors)"),  # entries
        (lambda f: _facebook_at(f, 64, b"\0\0\0\0"), "within its vectors|is not read"),
        (lambda f: _facebook_at(f, 72, b"\2\0\0\0"), "with labels"),
        (lambda f: _facebook_at(f, 84, b"\xff\xff\xff\xff\xff\xff\0\0"), "is not read"),  # pruned
        (lambda f: f[:64] + b"\7" * 3000, "within its words|with labels"),
    ],
)
def test_facebooks_form_with_damaged_words_is_refused_and_ends(tmp_path, facebook, packer, damage, message):
    path = tmp_path / "a.bin"
    path.write_bytes(PACKERS[packer](damage(facebook)))
    with pytest.raises(UserError, match=f"FASTTEXT: .*({message})"):
        fasttext.load(path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("raised", [MemoryError(), RuntimeError("Unable to allocate 4.47 GiB")])
def test_little_memory_is_no_fault_of_the_vectors(tmp_path, monkeypatch, form, raised):
    def scarce(*args, **kwargs):
        raise raised

    (tmp_path / "a.vec").write_bytes(FORMS[form])
    monkeypatch.setattr("gensim.models.KeyedVectors.load_word2vec_format", scarce)
    with pytest.raises(PipelineError, match="too little memory to read FASTTEXT.*nothing is damaged"):
        fasttext.load(tmp_path / "a.vec")
