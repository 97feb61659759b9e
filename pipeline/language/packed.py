"""Files that are packed or not, told by how they begin, whatever their names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

_BEGIN = 10  # bytes that tell
_OPENERS: dict[re.Pattern[bytes], Callable[[Path], Any]] = {
    re.compile(rb"\x1f\x8b\x08"): gzip.open,
    re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"): bz2.open,
    re.compile(rb"\xfd7zXZ\0"): lzma.open,
    re.compile(rb"\x28\xb5\x2f\xfd"): lambda path: pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"),
}


def opened(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked (gzip, bzip2, xz, zstd); damage raises its library's error as it is
    read."""
    with path.open("rb") as raw:
        begin = raw.read(_BEGIN)
    opener = next((how for mark, how in _OPENERS.items() if mark.match(begin)), None)
    return cast(IO[bytes], opener(path)) if opener else path.open("rb")
