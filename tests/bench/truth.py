"""How true the answer is: models whose neurons were planted, run through the product's own command.

`make truth` plants models of three seeds, runs each with vectors trained on its text and with
published-like ones, and prints what was found of what is there, with intervals (bootstrap over neurons, 95
%). `--text` and `--vectors` take other material: a text of several MB, published vectors
(`tests/bench/real.py` makes both).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from pipeline.language import texts as text_sets  # noqa: E402
from pipeline.language.spelling import spelled_alike  # noqa: E402
from tests.bench import planted, published_like  # noqa: E402
from tests.bench.planted import FALSE, TRUE, Planted  # noqa: E402

_SHOWN = 0.5  # share of a neuron's MAPs that show what was planted, from which it can be found
_ONE_WORD = 2 / 3  # share of the MAPs that one word has, from which a set may be found as that word
_PART = 0.15  # share of the MAPs that each of two sets has, and the words of it that they show
_PURE = 0.75  # share of a group's MAPs that are of one set
_DRAWS = 1000
# what figures must be at least, and at most; short of the goals, to notice what got worse
_LEAST = {"AUROC": 0.98, "F1": 0.92, "two sets split": 0.65, "kinds right": 0.88}
_LEAST |= {"only planted words": 0.95}
_MOST = {"false at q 0.05": 0.07, "one set split": 0.05}
_KINDS = dict(
    word=("word", "token"),
    punctuation=("token",),
    spelling=("spelling",),
    context=("phrase",),
    two=("several",),
)


@dataclass(frozen=True)
class Answer:
    """What was planted into a neuron, and what was said of it.

    `mats` are the names of its MATs (word, or token where there is none) by rank, with the tokens.
    """

    planted: Planted
    verdict: dict[str, Any]
    description: str | None
    groups: list[list[int]]
    mats: dict[int, tuple[str, str]]

    def has(self, rank: int, words: Iterable[str]) -> bool:
        """Whether the MAT of a MAP is one of some words, or a token that spells one."""
        return not {*self.mats[rank]}.isdisjoint(words)

    @property
    def shown(self) -> float:
        """The share of its MAPs that show what was planted, 0..1."""
        return float(np.mean([self.has(rank, self.planted.words) for rank in self.mats]))

    @property
    def is_found(self) -> bool:
        """Whether the default answer has it."""
        return self.description is not None

    @property
    def one_word(self) -> bool:
        """Whether its MAPs show one word only."""
        counted = Counter(token for _, token in self.mats.values())
        return max(counted.values()) >= _ONE_WORD * len(self.mats)

    @property
    def is_right(self) -> bool:
        """Whether the kind is that of what was planted."""
        family, kind = self.planted.family, self.verdict["kind"]
        if family in TRUE:
            return kind in ("set", "word", "token", "spelling") if self.one_word else kind == "set"
        return kind in _KINDS.get(family, ("none",))

    @property
    def is_split(self) -> bool:
        """Whether its two sets are two groups, each of one of them."""
        if len(self.groups) != 2:
            return False
        sides = []
        for ranks in self.groups:
            shares = [np.mean([self.has(rank, part) for rank in ranks]) for part in self.planted.parts]
            sides.append(int(np.argmax(shares)) if max(shares) >= _PURE else -1)
        return sorted(sides) == [0, 1]

    @property
    def shows_both(self) -> bool:
        """Whether its MAPs show two words at least of each of its two sets."""
        for part in self.planted.parts:
            own = [rank for rank in self.mats if self.has(rank, part)]
            if len(own) < _PART * len(self.mats) or len({self.mats[rank][1] for rank in own}) < 2:
                return False
        return True

    @property
    def named(self) -> list[str]:
        """The words that its description names for the MATs."""
        found, rest = [], self.description or ""
        for frame in (", beside ", ", after ", ", before "):
            rest = rest.split(frame)[0]
        decoder, place = json.JSONDecoder(), rest.find('"')
        while place >= 0:
            name, end = decoder.raw_decode(rest, place)
            found.append(name)
            place = rest.find('"', end)
        return found


def answers(database: Path, truth: Sequence[Planted]) -> list[Answer]:
    """What a run found, beside what was planted."""
    with duckdb.connect(str(database), read_only=True) as con:
        verdicts = {row["neuron"]: row for row in con.sql("from verdicts").to_arrow_table().to_pylist()}
        said = dict(con.sql("select neuron, coalesce(description, '') from feature_neurons").fetchall())
        groups, mats = defaultdict(list), defaultdict(dict)
        for neuron, ranks in con.sql(
            "select neuron, ranks from groups where clean order by all"
        ).fetchall():
            groups[neuron].append(ranks)
        rows = con.sql("""
            select neuron, rank, lower(trim(maps.mat)), mat_word
            from maps
            join marked using (model, layer, neuron, rank)
            order by all
        """).fetchall()
        for neuron, rank, token, word in rows:
            mats[neuron][rank] = (word, token)
    return [
        Answer(each, verdicts[each.neuron], said.get(each.neuron), groups[each.neuron], mats[each.neuron])
        for each in truth
    ]


def auroc(good: Sequence[float], bad: Sequence[float]) -> float:
    """How often one of `good` is above one of `bad`; ties count half."""
    one, other = np.array(good)[:, None], np.array(bad)
    return float((one > other).mean() + (one == other).mean() / 2)


def measures(found: list[Answer]) -> dict[str, float]:
    """The figures of some answers, each 0..1."""
    true = [a for a in found if a.planted.family in TRUE and a.shown >= _SHOWN]
    false = [a for a in found if a.planted.family in FALSE]
    hits, alarms = sum(a.is_found for a in true), sum(a.is_found for a in false)
    both = [a for a in found if a.planted.family == "two" and a.shown >= _SHOWN and a.shows_both]
    clear = [
        a for a in found if a.planted.family in FALSE or a.shown >= _SHOWN or a.planted.family == "context"
    ]
    clear = [a for a in clear if a.planted.family != "two" or a.shows_both]
    sets = [a for a in true if a.is_found]
    result = {
        "AUROC": auroc([-a.verdict["p"] for a in true], [-a.verdict["p"] for a in false]),
        "precision": hits / max(1, hits + alarms),
        "recall": hits / len(true),
        "F1": 2 * hits / (hits + alarms + len(true)),
        "two sets split": float(np.mean([a.is_split for a in both])) if both else float("nan"),
        "one set split": float(np.mean([len(a.groups) > 1 and a.is_found for a in true])),
        "kinds right": float(np.mean([a.is_right for a in clear])),
        "only planted words": float(np.mean([_only_planted(a) for a in sets])),
        "half of the words": float(np.mean([_half_named(a) for a in sets])),
    }
    for q in (0.01, 0.05, 0.2):
        taken = [a for a in (*true, *false) if a.verdict["q"] <= q and (a.verdict["coverage"] or 0) >= 0.5]
        result[f"false at q {q}"] = (
            float(np.mean([a.planted.family in FALSE for a in taken])) if taken else 0.0
        )
    for family in FALSE:
        own = [a.verdict["p"] <= 0.05 for a in false if a.planted.family == family]
        result[f"p <= .05, {family}"] = float(np.mean(own)) if own else float("nan")
    return result


def _only_planted(answer: Answer) -> bool:
    """Whether all words that a description names are planted ones or forms of them."""
    words = answer.planted.words
    return all(name in words or any(spelled_alike(name, word) for word in words) for name in answer.named)


def _half_named(answer: Answer) -> bool:
    """Whether a description names half of the planted words that the MAPs show, or five."""
    shown = {word for word in answer.planted.words for rank in answer.mats if word in answer.mats[rank]}
    named = {word for word in shown for name in answer.named if spelled_alike(name, word)}
    return len(named) >= min(5, len(shown) / 2)


def intervals(found: list[Answer], measure: Callable[[list[Answer]], dict[str, float]]) -> dict[str, Any]:
    """Each figure with the 2.5 and 97.5 percentiles of resampled neurons."""
    draw = np.random.default_rng(0)
    drawn = []
    for _ in range(_DRAWS):
        drawn.append(measure([found[i] for i in draw.integers(0, len(found), len(found))]))
    return {
        name: (value, *np.nanpercentile([each[name] for each in drawn], [2.5, 97.5]))
        for name, value in measure(found).items()
    }


def run(folder: Path, seed: int, text: Path, vectors: str) -> list[Answer]:
    """Plant a model, run the command over it, and return its answers."""
    model, data = folder / f"planted-{seed}", folder / f"data-{seed}-{Path(vectors).stem}"
    shutil.rmtree(model, ignore_errors=True)
    truth = planted.plant(model, text_sets.stream(str(text), text), seed)
    before = sorted(folder.glob(f"data-{seed}-*/store/samples"))
    if before and not data.exists():  # the scan is the same whatever the vectors
        shutil.copytree(before[0], data / "store" / "samples")
    options = dict(model=model, source="scan", layer=0, text=text, fasttext=vectors, data=data)
    words = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    subprocess.run(
        [sys.executable, "-m", "pipeline", "run", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    return answers(data / "neurons.duckdb", truth)


def main() -> None:
    """Plant, run, measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--text", type=Path, default=ROOT / "data/demo/text", help="file or folder of texts"
    )
    parser.add_argument("--vectors", help="file of published vectors; made of the text by default")
    parser.add_argument("--seeds", type=int, default=3, help="number of planted models")
    parser.add_argument("--data", type=Path, default=ROOT / "data/truth", help="folder for all of it")
    given = parser.parse_args()
    given.data.mkdir(parents=True, exist_ok=True)
    published = given.vectors or str(published_like.write(given.data / "published-like.vec", given.text))
    results: dict[str, Any] = {}
    for name, vectors in (("trained", "train"), ("published", published)):
        found = [a for seed in range(given.seeds) for a in run(given.data, seed, given.text, vectors)]
        results[name] = intervals(found, measures)
    told(results)
    if worse := [
        f"{name} is {own[name][0]:.3f}"
        for own in results.values()
        for name in own
        if own[name][0] < _LEAST.get(name, -1) or own[name][0] > _MOST.get(name, 2)
    ]:
        sys.exit(f"worse than it was: {', '.join(worse)}")
    (given.data / "truth.json").write_text(json.dumps(results, indent=2) + "\n")


def told(results: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{'':<22}" + "".join(f"{name:>26}" for name in results))
    for name in next(iter(results.values())):
        cells = [
            f"{own[name][0]:6.3f} ({own[name][1]:.3f} to {own[name][2]:.3f})" for own in results.values()
        ]
        print(f"{name:<22}" + "".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    main()
