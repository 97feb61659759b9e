"""Build the tables of WordNet's nouns, verbs and adjectives, which `pipeline/language/hypernyms.py` reads.

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
PARTS = {"n": ("noun", "1"), "v": ("verb", "2"), "a": ("adj", "3")}  # as in files, and in sense keys
POS = "nvaorqp"  # in the order of rows
ATTRIBUTE = ("n", 24264)
STEM = 4  # letters that a noun has in common with the adjective that it is named for
TOP = ("entity", "abstraction", "attribute")  # nouns too general for an adjective
WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")  # what pipeline/language/word.py takes for one word
MARKER = re.compile(r"\((?:a|p|ip)\)$")  # of where an adjective may stand
Synset = tuple[str, int]  # part of speech and place in its file; of our own nodes, that of one they are of
Pointer = tuple[str, Synset, str]  # symbol, target, and the one word that it is of or nothing
Senses = dict[str, list[tuple[Synset, int]]]  # of each word, with their numbers in tagged texts
Graph = dict[Synset, list[Synset]]  # synsets with those right above them
Adjectives = dict[Synset, list[Pointer]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Build the tables of WordNet's nouns, verbs and adjectives."
    )
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
    said: dict[Synset, list[str]] = {}
    hypernyms: Graph = {}
    adjectives: Adjectives = {}
    for pos, (name, _) in PARTS.items():
        for synset, own, pointers in synsets(wordnet, name, pos):
            said[synset], hypernyms[synset] = own, targets(pointers, "@", "@i")
            if pos == "a":
                adjectives[synset] = pointers
    names = {synset: own[0] for synset, own in said.items()}
    add_opposites(adjectives, names, hypernyms)
    add_qualities(adjectives, said, hypernyms)
    add_pertained(adjectives, hypernyms)
    mirror(names, hypernyms)
    senses = words(wordnet)
    used = with_hypernyms({synset for own in senses.values() for synset, _ in own}, hypernyms)
    order = sorted(used, key=lambda synset: (POS.index(synset[0]), synset[1]))
    numbers = {synset: number for number, synset in enumerate(order)}
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


def synset_table(names: dict[Synset, str], hypernyms: Graph, numbers: dict[Synset, int]) -> pa.Table:
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


def word_table(senses: Senses, numbers: dict[Synset, int]) -> pa.Table:
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


def synsets(wordnet: Path, name: str, pos: str) -> Iterator[tuple[Synset, list[str], list[Pointer]]]:
    """Each synset of a file with its words as text and its pointers. That of an adjective to the one
    to which it is similar is "@", as if it were a kind of that."""
    for line in lines(wordnet / f"data.{name}"):
        fields = line.split(" | ")[0].split()
        n_words = int(fields[3], 16)
        own = [MARKER.sub("", word).replace("_", " ") for word in fields[4 : 4 + 2 * n_words : 2]]
        pointers = []
        for at in range(5 + 2 * n_words, 5 + 2 * n_words + 4 * int(fields[4 + 2 * n_words]), 4):
            symbol, place, part, ends = fields[at : at + 4]
            source = own[int(ends[:2], 16) - 1] if ends != "0000" else ""
            symbol = "@" if (fields[2], symbol) == ("s", "&") else symbol
            pointers.append((symbol, (part.replace("s", "a"), int(place)), source.lower()))
        yield (pos, int(fields[0])), own, pointers


def targets(pointers: list[Pointer], *symbols: str) -> list[Synset]:
    """Those of the pointers with one of these symbols, each once."""
    return list(dict.fromkeys(target for symbol, target, _ in pointers if symbol in symbols))


def groups(adjectives: Adjectives) -> dict[Synset, list[Synset]]:
    """The group of each adjective: it with its opposites ("!") and theirs."""
    group = {synset: [synset] for synset in adjectives}
    for synset, pointers in adjectives.items():
        for other in targets(pointers, "!"):
            joined = sorted({*group[synset], *group[other]})
            group |= dict.fromkeys(joined, joined)
    return group


def add_opposites(adjectives: Adjectives, names: dict[Synset, str], hypernyms: Graph) -> None:
    """Put above opposites what they are together, "o", and above these, or an adjective without an
    opposite, a node for it with all that are to be seen with it ("^"), "r"."""
    top: dict[Synset, Synset] = {}
    for group in {own[0]: own for own in groups(adjectives).values()}.values():
        node = group[0]
        if len(group) > 1:
            node = "o", group[0][1]
            *most, last = dict.fromkeys(names[synset] for synset in group)
            names[node], hypernyms[node] = f"{', '.join(most)} or {last}", []
            for synset in group:
                hypernyms[synset].append(node)
        top |= dict.fromkeys(group, node)
    seen: defaultdict[Synset, set[Synset]] = defaultdict(set)
    for synset, pointers in adjectives.items():
        for other in targets(pointers, "^"):
            seen[top[synset]].add(top[other])
            seen[top[other]].add(top[synset])
    for node, nodes in sorted(seen.items()):
        wider = "r", node[1]
        names[wider], hypernyms[wider] = names[node], []
        for each in {node, *nodes}:
            hypernyms[each].append(wider)


def add_qualities(adjectives: Adjectives, said: dict[Synset, list[str]], hypernyms: Graph) -> None:
    """Put above adjectives the nouns of which they tell, "q": attributes derived of them ("+"), such as
    coldness, and what else they are values of ("="), such as temperature. What is named for an opposite is
    not among the latter: ugly is no beauty."""
    derived = {
        synset: [
            target
            for target in targets(pointers, "+")
            if target[0] == "n" and ATTRIBUTE in with_hypernyms({target}, hypernyms)
        ]
        for synset, pointers in adjectives.items()
    }

    def named_for(noun: Synset, synset: Synset) -> bool:
        stems = ({name[:STEM] for name in said[own]} for own in (noun, synset))
        return noun in derived[synset] or bool(set.intersection(*stems))

    group = groups(adjectives)
    for synset, pointers in adjectives.items():
        valued = [
            noun
            for noun in targets(pointers, "=")
            if said[noun][0].islower()
            and (named_for(noun, synset) or not any(named_for(noun, other) for other in group[synset]))
        ]
        hypernyms[synset] += dict.fromkeys(("q", place) for _, place in valued + derived[synset])


def add_pertained(adjectives: Adjectives, hypernyms: Graph) -> None:
    """Put above adjectives the nouns to which they pertain, "p"."""
    for synset, pointers in adjectives.items():
        hypernyms[synset] += [("p", place) for pos, place in targets(pointers, "\\") if pos == "n"]


def mirror(names: dict[Synset, str], hypernyms: Graph) -> None:
    """Put above nouns that lie above adjectives all that lies above the nouns."""
    todo = [above for own in hypernyms.values() for above in own if above[0] in "qp"]
    while todo:
        node = todo.pop()
        if node not in hypernyms:
            above = (noun for noun in hypernyms["n", node[1]] if names[noun] not in TOP)
            names[node], hypernyms[node] = names["n", node[1]], [(node[0], place) for _, place in above]
            todo += hypernyms[node]


def words(wordnet: Path) -> Senses:
    """The senses of each word, nouns first, then verbs and adjectives, in WordNet's order, with their
    numbers in tagged texts. A word that is an adverb, and no adjective, has those of the adjective it is
    made of."""
    tagged: Counter[tuple[str, str, int]] = Counter()
    for line in lines(wordnet / "cntlist.rev"):
        key, sense, number = line.split()
        word, _, rest = key.partition("%")
        tagged[word, rest[0].replace("5", "3"), int(sense)] = int(number)
    found: defaultdict[str, list[tuple[Synset, int]]] = defaultdict(list)
    for pos, (name, number) in PARTS.items():
        for word, own in index(wordnet, name, pos):
            found[word] += [(synset, tagged[word, number, i]) for i, synset in enumerate(own, 1)]
    adverbs = {synset: pointers for synset, _, pointers in synsets(wordnet, "adv", "r")}
    for word, own in index(wordnet, "adv", "r"):
        if not any(synset[0] == "a" for synset, _ in found.get(word, [])):
            for i, synset in enumerate(own, 1):
                of = [
                    target for symbol, target, source in adverbs[synset] if (symbol, source) == ("\\", word)
                ]
                found[word] += [(adjective, tagged[word, "4", i]) for adjective in of[:1]]
    return {word: own for word, own in found.items() if own}


def index(wordnet: Path, name: str, pos: str) -> Iterator[tuple[str, list[Synset]]]:
    """Each word of a part of speech that counts, with its senses in order."""
    for line in lines(wordnet / f"index.{name}"):
        word, _, n_synsets, *rest = line.split()
        if WORD.fullmatch(word) and not closed(word, pos):
            yield word, [(pos, int(place)) for place in rest[-int(n_synsets) :]]


def with_hypernyms(some: set[Synset], hypernyms: Graph) -> set[Synset]:
    """Synsets and all that lie above them."""
    found: set[Synset] = set()
    while some:
        found |= some
        some = {above for synset in some for above in hypernyms[synset]} - found
    return found


def inflections(wordnet: Path, senses: Senses) -> pa.Table:
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
