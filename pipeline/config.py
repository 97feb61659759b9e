"""The one configuration of a run: every setting, its default, its help, its limits.

`OPTIONS` are what a person sets: each is an option of the command (`--similarity`) and a variable
of `make data` (`SIMILARITY`). The other fields are fixed by the method and set in Python only.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import setting_checks
from pipeline.errors import UserError
from pipeline.resources import resource
from pipeline.setting_fields import fixed, option
from pipeline.text_forms import form

EMBEDDED = "demo"
KINDS = ("word", "token", "spelling", "set", "phrase", "several")
THRESHOLDS = {
    "similarity": 0.6,
    "activation": 0.3,
}  # where only the other one is given, or chance cannot tell
LAST_NEURON, LAST_LAYER = 2**31 - 1, 9999
# The tokenised data sets that Neuroscope's Data Index counts in, by the model's name.
TOKENISED = {
    r"pile|old": ("NeelNanda/pile-small-tokenized-2b",),
    r"pythia": ("NeelNanda/pile-tokenized-10b",),
    r"gpt2": ("NeelNanda/openwebtext-tokenized-9b",),
    r"^(solu|gelu)-": ("NeelNanda/c4-tokenized-2b", "NeelNanda/code-tokenized"),
}


@dataclass(frozen=True)
class Config:
    """One run's settings, checked on creation; raises UserError with what is allowed."""

    model: str = option(
        EMBEDDED,
        "embedded model (demo), a folder with config.json, model.safetensors and tokenizer.json, "
        "or a name TransformerLens knows",
    )
    weights: str = option(
        "trained",
        "the model's own weights (trained), or as a control the same ones shuffled (random)",
        choices=("trained", "random"),
    )
    layer: str = option("1", "layers of the neurons, 0-based: one (6), 0-7, 2,5,7 or all")
    signs: str | None = option(
        None,
        "ends of a neuron that are looked at: positive or both; by default both where values reach as far "
        "below zero as above it",
        choices=("positive", "both"),
    )
    neurons: str = option("all", "which neurons: a count (64), 0-63, 3,7,12 or all")
    fdr: float = option(
        0.05,
        "share of the feature neurons that may be false, where neither SIMILARITY nor ACTIVATION is given",
        least=1e-6,
        most=0.999,
    )
    coverage: float = option(
        0.5,
        "least share of a neuron's activation that what it stands for accounts for, 0..1",
        least=0,
        most=1,
    )
    kinds: str | None = option(
        None,
        "kinds of feature neurons, such as set,phrase; all by default: word, token, spelling, set, phrase, "
        "several",
    )
    similarity: float | None = option(
        None,
        "a candidate's least mean similarity of its MAPs, -1..1; by default chance decides, 0.6 where only "
        "ACTIVATION is given",
        least=-1,
        most=1,
    )
    activation: float | None = option(
        None,
        "a feature neuron's least normalised activation, 0..1; by default chance decides, 0.3 where only "
        "SIMILARITY is given",
        least=0,
        most=1,
    )
    selectivity: float | None = option(
        None,
        "a feature neuron's least selectivity (synonyms less controls); off by default",
        least=-math.inf,
    )
    synonyms: int = option(5, "nearest neighbours put into the place of each word", least=1, most=100)
    source: str = option(
        "neuroscope",
        "where samples come from: neuroscope (pages of SITE) or scan (the model over TEXT)",
        choices=("neuroscope", "scan"),
    )
    site: str | None = option(
        None,
        "address of the site with Neuroscope's pages, or a folder that mirrors one; by default "
        "https://neuroscope.io, and for the embedded model its recording",
    )
    rate: float = option(2.0, "pages asked of the site per second, at most", least=0.001, most=1000)
    connections: int = option(
        4, "pages of the site, or calls of DESCRIBER_MODEL, asked for at once, at most", least=1, most=32
    )
    refresh: bool = option(False, "ask the site whether pages that are kept have changed", alone=True)
    text: str = option(
        EMBEDDED,
        "text that the scan reads and word vectors are trained on: demo, a file or folder of Parquet, "
        "JSON, CSV, plain text or save_to_disk, or a data set on the Hub",
    )
    text_column: str = option("text", "column of TEXT that holds the texts")
    text_config: str | None = option(None, "configuration of TEXT on the Hub, where it has several")
    text_split: str | None = option(
        None, "split of TEXT, on the Hub or in a folder of save_to_disk; by default train"
    )
    bad_rows: str = option(
        "refuse", "rows of TEXT without a text: refuse or skip (counted)", choices=("refuse", "skip")
    )
    plain_text: str = option(
        "auto",
        "a text of a plain text file: lines, paragraphs, or auto (paragraphs where it is wrapped)",
        choices=("auto", "lines", "paragraphs"),
    )
    fasttext: str = option(
        "train",
        "word vectors: train (on TEXT), or a file in word2vec text or binary or Facebook .bin form",
    )
    phrases: str = option(
        "sif", "a phrase's vector: sif (weighted, common part removed) or mean", choices=("sif", "mean")
    )
    inflections: str = option(
        "keep",
        "neighbours that merely contain the word or share its stem: keep or skip",
        choices=("keep", "skip"),
    )
    describer: str = option(
        "lexical",
        "who describes: lexical (no language model), or openai (OpenAI, or the server of OPENAI_BASE_URL)",
        choices=("lexical", "openai"),
    )
    describer_model: str = option("gpt-6-luna", "language model that describes")
    describe_groups: bool = option(
        False, "describe each group of MAPs of a neuron that has several clean ones too", alone=True
    )
    price: str | None = option(
        None,
        "price of DESCRIBER_MODEL in USD per million tokens read and written, such as 0.1,0.4; by default "
        "unknown",
    )
    max_calls: int | None = option(None, "calls of DESCRIBER_MODEL in one run, at most", least=0)
    max_cost: float | None = option(None, "what they may cost in one run, in USD; needs PRICE", least=0)
    answer_tokens: int = option(100, "tokens of an answer, its reasoning included, at most", least=1)
    answer_timeout_s: float = option(
        60.0, "seconds within which an answer has to be there whole", least=0.001, most=86_400
    )
    dry_run: bool = option(False, "say what describing or publishing would take; call nothing", alone=True)
    score: bool = option(
        False,
        "hold descriptions against texts that the describer was not shown: every second MAP is held out",
        alone=True,
    )
    score_control: bool = option(
        False, "hold those texts against the description of another neuron too", alone=True
    )
    exact_tokens: str | None = option(
        None,
        "where the ids of pages' texts are looked up: auto (the tokenised data set of the Hub that belongs "
        "to the model), or a folder of Parquet or a data set with a column tokens; by default they are "
        "found again from the pages' tokens",
        alone="auto",
    )
    precision: str = option(
        "float32",
        "numbers of the model while variants are measured: float32 or bfloat16",
        choices=("float32", "bfloat16"),
    )
    device: str = option(
        "auto",
        "what computes: auto (an accelerator if there is one), cpu, cuda or mps",
        choices=("auto", "cpu", "cuda", "mps"),
    )
    memory_mb: int = option(
        512, "memory that batches of variants may take beside the model, in MB", least=1
    )
    engine: str = option("process", "where stages run: process (here) or ray", choices=("process", "ray"))
    workers: int | None = option(None, "processes of ENGINE=ray; by default as many as fit", least=1)
    cpus_per_worker: int | None = option(None, "cores of each; by default what fits, 4 at most", least=1)
    gpus_per_worker: float | None = option(None, "GPUs of each; by default 1 if there are any", least=0)
    creator: str = option(
        "clkht01d40000jv08hvalcvly",
        "id of the user of Neuronpedia to whom an export belongs; by default the one that every "
        "installation of it begins with",
    )
    data: str = option("data", "folder of the store and of neurons.duckdb")

    samples: int = fixed(20, "texts kept per neuron", least=1)
    max_tokens: int = fixed(1024, "longest text of a sample, BOS included, if the model allows it", least=2)
    context_tokens: int = fixed(5, "tokens of a MAP on each side of the MAT", least=1)
    max_overlap: float = fixed(
        0.8, "share of common words from which two MAPs are one, 0..1", least=0, most=1
    )
    relatives: int = fixed(5, "words of its kind put into the place of the MAT's word", least=1)
    controls: int = fixed(15, "unrelated words put into the place of the MAT's word", least=1)
    control_share: float = fixed(
        0.5, "share of the words of like frequency, least similar, to draw from", least=0, most=1
    )
    batch_tokens: int | None = fixed(
        None,
        "tokens computed at once, padding included; by default 2048, on an accelerator 32768",
        least=1,
    )
    timeout_s: float = fixed(60.0, "seconds within which a page has to come", least=0.001)
    tries: int = fixed(5, "times a page is asked for before it counts as failed", least=1)
    retry_wait_s: float = fixed(
        1.0, "seconds waited after the first failed try, doubled after each", least=0.001
    )
    windows_per_call: int = fixed(5, "windows of text that one call judges", least=1)
    sign: str = fixed(
        "positive", "the end that one part of a run looks at", choices=("positive", "negative")
    )
    seed: int = fixed(0, "seed of everything drawn at random")

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value = setting_checks.as_declared(each, getattr(self, each.name))
            object.__setattr__(self, each.name, value)
            setting_checks.within_limits(each, value)
        if self.max_cost is not None and self.prices is None:
            raise UserError("MAX_COST needs PRICE, such as 0.1,0.4: USD per million tokens read, written")
        setting_checks.not_empty(self)
        if not self.describer_model.isprintable():
            raise UserError(f"DESCRIBER_MODEL is {self.describer_model!r}; no model has such a name")
        if self.fasttext != "train" and not Path(self.fasttext).is_file():
            raise UserError(
                f"FASTTEXT: no file {self.fasttext!r}; give a vectors file, or 'train' for vectors "
                "trained on the text"
            )
        if self.weights == "random" and self.source != "scan":
            raise UserError("WEIGHTS is random; only SOURCE=scan has texts for such a model")
        if self.source == "neuroscope" and (self.signs == "both" or self.sign == "negative"):
            raise UserError("SIGNS is both; a site's pages have the positive end only: use SOURCE=scan")
        _ = self.prices, self.neuron_ranges, self.layers, self.kinds_asked, self.site_folder
        _ = self.exact_tokens_names

    @property
    def by_chance(self) -> bool:
        """Whether chance decides what is found, since no threshold is given."""
        return self.similarity is None and self.activation is None

    @property
    def kinds_asked(self) -> tuple[str, ...]:
        """The kinds of neurons asked for; all where none is named. Raises UserError for another name."""
        return KINDS if self.kinds is None else setting_checks.names("KINDS", self.kinds, KINDS)

    @property
    def neuron_ranges(self) -> tuple[tuple[int, int], ...]:
        """The neurons asked for as (first, last) pairs, both ends included, sorted."""
        return setting_checks.ranges("NEURONS", self.neurons, LAST_NEURON, counts=True)

    @property
    def layers(self) -> tuple[int, ...] | None:
        """The layers asked for, each once, in order; null for all."""
        asked = setting_checks.ranges("LAYER", self.layer, LAST_LAYER)
        if self.layer.strip() == "all":
            return None
        return tuple(sorted({n for first, last in asked for n in range(first, last + 1)}))

    @property
    def one_layer(self) -> int:
        """The layer of one part of a run (`pipeline.parts`); raises UserError where several are asked
        for."""
        if self.layers is None or len(self.layers) > 1:
            raise UserError(f"LAYER is {self.layer}; name one layer")
        return self.layers[0]

    @property
    def model_folder(self) -> Path | None:
        """The folder of the model, or null where `model` is a name for TransformerLens."""
        if self.model == EMBEDDED:
            return resource("data/demo")
        path = setting_checks.path("MODEL", self.model)
        looks_like_path = path.is_absolute() or self.model.startswith((".", "~"))
        return path if path.is_dir() or looks_like_path else None

    @property
    def model_name(self) -> str:
        """The model's name as it stands in the tables: a folder's own name, or the given one."""
        name = self.model_folder.resolve().name if self.model_folder else self.model
        return f"{name}-random" if self.weights == "random" else name

    @property
    def text_path(self) -> Path | None:
        """The file or folder of texts, or null where `text` is a data set on the Hub."""
        if self.text == EMBEDDED:
            return resource("data/demo") / "text"
        path = setting_checks.path("TEXT", self.text)
        looks_like_path = path.is_absolute() or self.text.startswith((".", "~")) or form(path)
        return path if path.exists() or looks_like_path else None

    @property
    def text_name(self) -> str:
        """The text set's name as it stands in the tables: a file's or folder's own, or the given one."""
        return self.text_path.resolve().name if self.text_path and self.text != EMBEDDED else self.text

    @property
    def prices(self) -> tuple[float, float] | None:
        """USD per million tokens read and written, or null where unknown."""
        return None if self.price is None else setting_checks.pair("PRICE", self.price)

    @property
    def exact_tokens_path(self) -> Path | None:
        """The folder with the tokenised texts, or null where they are on the Hub or not asked for."""
        if self.exact_tokens in (None, "auto"):
            return None
        if not self.exact_tokens.strip():
            raise UserError("EXACT_TOKENS is empty; leave it out, or give auto or a folder")
        path = setting_checks.path("EXACT_TOKENS", self.exact_tokens)
        looks_like_path = path.is_absolute() or self.exact_tokens.startswith((".", "~"))
        if looks_like_path and not path.is_dir():
            raise UserError(f"EXACT_TOKENS: no folder {self.exact_tokens!r}")
        return path if path.is_dir() else None

    @property
    def exact_tokens_names(self) -> tuple[str, ...]:
        """The data sets of the Hub with the tokenised texts, one continued by the next; none where a folder
        has them or nobody asked.

        Raises UserError where none is known for the model.
        """
        if self.exact_tokens is None or self.exact_tokens_path:
            return ()
        if self.exact_tokens != "auto":
            return (self.exact_tokens,)
        for pattern, names in TOKENISED.items():
            if re.search(pattern, self.model_name):
                return names
        raise UserError(
            f"EXACT_TOKENS is auto; no tokenised data set is known for {self.model_name}: give a folder of "
            "Parquet or a data set of the Hub with a column tokens"
        )

    @property
    def site_folder(self) -> Path | None:
        """The folder that mirrors the site, or null where the site is on the web.

        Raises UserError for a SITE that is neither.
        """
        if self.site is None:
            return None
        if setting_checks.is_address("SITE", self.site):
            return None
        path = setting_checks.path("SITE", self.site)
        if not path.is_dir():
            raise UserError(
                f"SITE: no folder {self.site!r}; give one that mirrors a site, or an address with https://"
            )
        return path

    def replaced(self, **values: Any) -> Config:
        """The same settings with other values of some."""
        return dataclasses.replace(self, **values)

    def values(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The named settings as SQL and fingerprints take them, never null.

        `neurons` as its ranges, so that 0-63 and 64 are the same; `layer` as its number; `kinds` as all
        that are asked for; a threshold that is not given as the one that holds where it is needed; no
        `selectivity` as -inf.
        """
        found = {name: getattr(self, name) for name in names}
        if "layer" in found:
            found["layer"] = self.one_layer
        if "neurons" in found:
            found["neurons"] = [list(pair) for pair in self.neuron_ranges]
        if "kinds" in found:
            found["kinds"] = list(self.kinds_asked)
        for name in THRESHOLDS.keys() & found.keys():
            found[name] = THRESHOLDS[name] if found[name] is None else found[name]
        if found.get("selectivity", 0.0) is None:
            found["selectivity"] = -math.inf
        return found


DEFAULTS = {f.name: f.default for f in dataclasses.fields(Config)}
OPTIONS = tuple(f for f in dataclasses.fields(Config) if f.metadata["option"])
