"""Build the tables of WordNet's nouns and verbs, which `pipeline/language/hypernyms.py` reads.

In: Debian's package `wordnet-base` (README.md beside this file), unpacked in a folder or installed.
Out, all in this folder: `synsets.parquet`, `words.parquet` and `inflections.parquet`; the same package
gives the same rows. Formats: wndb(5WN), cntlist(5WN), morphy(7WN).

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb unpacked
    .venv/bin/python data/wordnet/build.py unpacked/usr/share/wordnet
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.language.hypernyms import Hypernyms, closed

HERE = Path(__file__).parent
PARTS = {"n": ("noun", "1"), "v": ("verb", "2")}  # as in names of files, and in sense keys
WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")  # what pipeline/language/word.py takes for one word
Synset = tuple[str, int]  # part of speech and place in its file


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the tables of WordNet's nouns and verbs.")
    parser.add_argument(
        "wordnet", nargs="?", type=Path, help="folder with data.noun; default: download the package"
    )
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for name, table in tables(given.wordnet or download(Path(scratch))).items():
            path = given.out / f"{name}.parquet"
            pq.write_table(table, path, compression="zstd", compression_level=19)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            print(f"{path}: {len(table):,} rows, {path.stat().st_size:,} bytes, SHA-256 {digest}")


def download(scratch: Path) -> Path:
    """The folder with WordNet's files, of Debian's package."""
    subprocess.run(["apt-get", "download", "wordnet-base"], cwd=scratch, check=True)
    [package] = scratch.glob("wordnet-base_*.deb")
    subprocess.run(["dpkg", "-x", package, scratch], check=True)
    return scratch / "usr/share/wordnet"


def tables(wordnet: Path) -> dict[str, pa.Table]:
    """All tables by name; a synset's number is its row."""
    names: dict[Synset, str] = {}
    hypernyms: dict[Synset, list[Synset]] = {}
    for pos in PARTS:
        for synset, name, above in synsets(wordnet, pos):
            names[synset], hypernyms[synset] = name, above
    senses = words(wordnet)
    used = with_hypernyms({synset for own in senses.values() for synset, _ in own}, hypernyms)
    numbers = {synset: number for number, synset in enumerate(sorted(used))}
    made = {
        "inflections": inflections(wordnet, senses),
        "synsets": synset_table(names, hypernyms, numbers),
        "words": word_table(senses, numbers),
    }
    known = Hypernyms(**made)
    n_words = Counter(synset for word in senses for synset in known.synsets(word))
    column = made["synsets"].schema.get_field_index("n_words")
    counts = pa.array([n_words[number] for number in numbers.values()], pa.int32())
    return {**made, "synsets": made["synsets"].set_column(column, "n_words", counts)}


def synset_table(
    names: dict[Synset, str], hypernyms: dict[Synset, list[Synset]], numbers: dict[Synset, int]
) -> pa.Table:
    """One row per synset in the order of their numbers; `n_words` is 0, to be counted with it."""
    above = [[numbers[synset] for synset in hypernyms[own]] for own in numbers]
    return pa.table(
        {
            "name": pa.array([names[synset] for synset in numbers], pa.string()),
            "pos": pa.array([pos for pos, _ in numbers], pa.string()),
            "hypernyms": pa.array(above, pa.list_(pa.int32())),
            "n_words": pa.array([0] * len(numbers), pa.int32()),
        }
    )


def word_table(senses: dict[str, list[tuple[Synset, int]]], numbers: dict[Synset, int]) -> pa.Table:
    """One row per word, in alphabetical order."""
    words, lists = sorted(senses), pa.list_(pa.int32())
    return pa.table(
        {
            "word": pa.array(words, pa.string()),
            "synsets": pa.array([[numbers[synset] for synset, _ in senses[word]] for word in words], lists),
            "tagged": pa.array([[n for _, n in senses[word]] for word in words], lists),
        }
    )


def lines(path: Path) -> Iterator[str]:
    """The lines of a file of WordNet after its licence, which is indented."""
    with path.open(encoding="utf-8") as file:
        yield from (line for line in file if not line.startswith("  "))


def synsets(wordnet: Path, pos: str) -> Iterator[tuple[Synset, str, list[Synset]]]:
    """Each synset with its first word as text and its hypernyms, instance hypernyms included."""
    for line in lines(wordnet / f"data.{PARTS[pos][0]}"):
        fields = line.split(" | ")[0].split()
        pointers = fields[4 + 2 * int(fields[3], 16) :]  # from their number on
        above = [
            (pos, int(pointers[at + 1]))
            for at in range(1, 4 * int(pointers[0]), 4)
            if pointers[at] in ("@", "@i")
        ]
        yield (pos, int(fields[0])), fields[4].replace("_", " "), above


def words(wordnet: Path) -> dict[str, list[tuple[Synset, int]]]:
    """The senses of each word, nouns first, in WordNet's order, with their numbers in tagged texts."""
    tagged: Counter[tuple[str, str, int]] = Counter()
    for line in lines(wordnet / "cntlist.rev"):
        key, sense, number = line.split()
        word, _, rest = key.partition("%")
        tagged[word, rest[0], int(sense)] = int(number)
    found: defaultdict[str, list[tuple[Synset, int]]] = defaultdict(list)
    for pos, (name, number) in PARTS.items():
        for line in lines(wordnet / f"index.{name}"):
            word, _, n_synsets, *rest = line.split()
            if WORD.fullmatch(word) and not closed(word):
                own = rest[-int(n_synsets) :]
                found[word] += [((pos, int(at)), tagged[word, number, i]) for i, at in enumerate(own, 1)]
    return dict(found)


def with_hypernyms(some: set[Synset], hypernyms: dict[Synset, list[Synset]]) -> set[Synset]:
    """Synsets and all that lie above them."""
    found: set[Synset] = set()
    while some:
        found |= some
        some = {above for synset in some for above in hypernyms[synset]} - found
    return found


def inflections(wordnet: Path, senses: dict[str, list[tuple[Synset, int]]]) -> pa.Table:
    """Irregular forms and their lemmas, both single words."""
    rows = [
        (pos, form, lemma)
        for pos, (name, _) in PARTS.items()
        for line in lines(wordnet / f"{name}.exc")
        for form, *lemmas in [line.split()]
        for lemma in lemmas
        if WORD.fullmatch(form)
        and form != lemma
        and any(synset[0] == pos for synset, _ in senses.get(lemma, []))
    ]
    columns = zip(*sorted(set(rows)), strict=True)
    return pa.table(dict(zip(("pos", "word", "lemma"), map(list, columns), strict=True)))


if __name__ == "__main__":
    main()
