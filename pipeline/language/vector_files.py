"""In which form a file holds word vectors, told by its content whatever its name, and packed or not."""

from __future__ import annotations

import bz2
import gzip
import lzma
import mmap
import re
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from pipeline.errors import PipelineError, UserError, lacks_memory, short_of_memory
from pipeline.printable import line as printable

_HEAD = 1 << 18  # bytes that are looked at
_LOOKED_AT = 20  # vectors of them
_LONGEST_WORD = 1000  # in bytes
_LARGEST = 1e10  # number of a vector that is one
_FACEBOOK = b"\xba\x16\x4f\x2f"
_FACEBOOK_WORDS = 68  # where its number of words stands
_FACEBOOK_SIZES = struct.Struct("<3i2q")  # entries, words, labels, tokens, pruned; the entries follow
_FACEBOOK_ENTRY = 9  # bytes of an entry behind its word and a zero
_SHORTEST = 10  # numbers of a vector in a text that does not say how many
_ZIP = b"PK\x03\x04"
# how packed files begin: the suffix by which smart_open, and so gensim, knows them, and what opens them
_PACKED: dict[bytes, tuple[str, Any]] = {
    b"\x1f\x8b": (".gz", gzip.open),
    b"BZh": (".bz2", bz2.open),
    b"\xfd7zXZ\x00": (".xz", lzma.open),
}
_FORMS = (
    "word2vec's text or binary, GloVe's text or Facebook's .bin, as it is or packed (gzip, bzip2, xz, zip)"
)


@dataclass(frozen=True)
class Form:
    """`kind` is text, binary, glove (a text without a header) or facebook; `n_words` those of the whole
    file, None where it does not say."""

    kind: str
    n_words: int | None


def form(path: Path) -> Form:
    """The form of a file of vectors, read off its beginning; raises UserError for any other."""
    with refused(path), opened(path) as stream:
        head = stream.read(_HEAD)
    if head.startswith(_FACEBOOK):
        counted = head[_FACEBOOK_WORDS : _FACEBOOK_WORDS + 4]
        return Form("facebook", struct.unpack("<i", counted)[0] if len(counted) == 4 else None)
    sizes = re.match(rb"\s*(\d{1,12})[ \t]+(\d{1,6})[ \t]*\r?\n", head)
    if sizes:
        n_words, width = int(sizes[1]), int(sizes[2])
        if n_words == 0 or width == 0:
            raise UserError(f"FASTTEXT: {path} holds no words")
        kinds = {"text": _is_text, "binary": _is_binary}
        for kind, fits in kinds.items():
            if fits(head[sizes.end() :], width, cut=len(head) == _HEAD):
                return Form(kind, n_words)
    width = head.partition(b"\n")[0].rstrip().count(b" ")
    if not sizes and width >= _SHORTEST and _is_text(head, width, cut=len(head) == _HEAD):
        return Form("glove", None)
    raise UserError(f"FASTTEXT: {path} holds no vectors in a form that is known; give {_FORMS}")


def _is_text(head: bytes, width: int, *, cut: bool) -> bool:
    """Whether lines hold a word and `width` numbers each; the last line of a head that is `cut` does not
    count."""
    lines = head.split(b"\n")[: _LOOKED_AT + 1]
    lines = lines[:-1] if cut or len(lines) > _LOOKED_AT else [line for line in lines if line.strip()]
    return bool(lines) and all(_numbers(line.rstrip().split(b" ")[-width:], width) for line in lines)


def _numbers(parts: list[bytes], width: int) -> bool:
    try:
        return len([float(part) for part in parts]) == width
    except ValueError:
        return False


def _is_binary(head: bytes, width: int, *, cut: bool) -> bool:
    """Whether words follow each other, each with a blank and `width` numbers of four bytes."""
    start = 0
    for _ in range(_LOOKED_AT):
        blank = head.find(b" ", start, start + _LONGEST_WORD)
        end = blank + 1 + 4 * width
        if blank >= 0 and end <= len(head):
            numbers = np.frombuffer(head, "<f4", width, blank + 1)
            if not head[start:blank].strip() or not (np.abs(numbers) < _LARGEST).all():
                return False
            start = end
        elif start == 0 or (not cut and head[start:].strip()):
            return False
    return True


def check_facebook(file: Path) -> None:
    """Raise ValueError for an unpacked file in Facebook's form that ends within its words or vectors, or
    has labels; of a word without an end gensim reads for ever."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        sizes = _FACEBOOK_WORDS - 4
        entries, _, labels, _, pruned = _FACEBOOK_SIZES.unpack_from(data, sizes)
        if labels > 0:
            raise ValueError("a classifier's, with labels; word vectors have none")
        at = sizes + _FACEBOOK_SIZES.size
        for _ in range(entries):
            end = data.find(b"\0", at, at + _LONGEST_WORD)
            if end < 0:
                raise ValueError("damaged or cut off within its words")
            at = end + 1 + _FACEBOOK_ENTRY
        at += 8 * max(0, pruned) + 1
        rows, width = struct.unpack_from("<2q", data, at)
        if rows < entries or width < 1 or 4 * rows * width > len(data) - at:
            raise ValueError("damaged or cut off within its vectors")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked; of a zip archive those of its only file of vectors."""
    with path.open("rb") as file:
        begin = file.read(6)
    opener = next((how for mark, (_, how) in _PACKED.items() if begin.startswith(mark)), None)
    if begin.startswith(_ZIP):
        with zipfile.ZipFile(path) as archive, archive.open(_member(archive)) as stream:
            yield stream
    else:
        with opener(path, "rb") if opener else path.open("rb") as stream:
            yield cast(IO[bytes], stream)


def _member(archive: zipfile.ZipFile) -> str:
    """The only file of vectors in an archive."""
    names = [name for name in archive.namelist() if name.lower().endswith((".vec", ".txt", ".bin"))]
    names = [name for name in names if not name.rpartition("/")[2].startswith(".")]
    if len(names) != 1:
        raise ValueError(f"{len(names)} files of vectors in the archive; unpack it and give one")
    return names[0]


@contextmanager
def readable(path: Path, kind: str, limit: int) -> Iterator[Path]:
    """The file under a name by which gensim knows how it is packed; of a zip archive's text only `limit`
    words and a header, and unpacked where gensim reads it unpacked only."""
    with path.open("rb") as file:
        begin = file.read(6)
    packer = next((suffix for mark, (suffix, _) in _PACKED.items() if begin.startswith(mark)), "")
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / f"vectors{packer}"
        if begin.startswith(_ZIP) or (packer and kind == "facebook"):
            found = found.with_suffix("")
            with opened(path) as stream, found.open("wb") as copy:
                if kind in ("text", "glove"):
                    copy.writelines(islice(stream, limit + 1))
                else:
                    shutil.copyfileobj(stream, copy, 1 << 20)
        else:
            found.symlink_to(path.resolve())
        yield found


def n_words(path: Path) -> int:
    """The number of words of a file of vectors."""
    known = form(path).n_words
    if known is not None:
        return known
    with refused(path), opened(path) as stream:
        return sum(1 for line in stream if line.strip())


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Turn whatever a library raises over the bytes of a file into a UserError, but for little memory."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as exc:
        if lacks_memory(exc):
            raise short_of_memory(f"to read FASTTEXT {path}", exc) from exc
        reason = printable(str(exc))[:160] or type(exc).__name__
        raise UserError(f"FASTTEXT: {path} is not read ({reason}); give {_FORMS}") from exc
