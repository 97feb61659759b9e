"""Samples as a static site in Neuroscope's own form, for people and for tools that read Neuroscope.

In: `samples`. Each page's scripts hold the tokens as on Neuroscope: plain ASCII JSON, escaped only where a
token would end a script, begin a comment, or look like the line between two texts. A few lines of
JavaScript in the page's head draw them, so that it needs no network; on request CircuitsVis from unpkg.com
draws them instead. There is nothing but white space between the first two lines, and text in every cell of
the index, since readers such as DeepDecipher count on both.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import output, tables
from pipeline.errors import TableError, UserError, lacks_memory, short_of_memory
from pipeline.progress import progress
from pipeline.results import folders
from pipeline.samples.neuroscope.page import TRUNCATED, page_path

_UNKNOWN = "unknown"
_MARK = "<!-- written by feature-neurons -->"
_NAME = re.compile(r"(?!\.)[\w.-]+(?:/(?!\.)[\w.-]+)*", re.ASCII)
_CIRCUITSVIS = (
    '    import { render, ColoredTokens } from "https://unpkg.com/circuitsvis@1.38.1/dist/cdn/esm.js";\n'
)
_DRAW = """<script>
const ColoredTokens = null;
function render(id, kind, data) {
  const box = document.getElementById(id);
  box.style.whiteSpace = "pre-wrap";
  data.tokens.forEach((token, place) => {
    const value = data.values[place], span = document.createElement("span");
    const share = Math.min(1, Math.abs(value) / Math.abs(data.maxValue)) || 0;
    span.textContent = token.replace(/\\n/g, "\\u23ce\\n");
    span.title = String(value);
    span.style.backgroundColor = `rgb(${value > 0 ? "0 90 255" : "255 60 60"} / ${0.6 * share})`;
    box.append(span);
  });
}
</script>
"""


def read(path: Path) -> pa.Table:
    """A `samples` table of a Parquet file, or of those of a folder; raises UserError if it is not one."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    try:
        samples = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])
        samples = tables.check("samples", samples.cast(tables.TABLES["samples"].schema))
        n_tokens, mat = pc.list_value_length(samples["tokens"]), samples["mat_index"]
        whole = pc.equal(n_tokens, pc.list_value_length(samples["activations"]))
        inside = pc.and_(pc.greater_equal(mat, 0), pc.less(mat, n_tokens))
        if not pc.all(pc.and_(whole, inside), min_count=0).as_py():
            raise TableError("a row's activations or MAT do not fit its tokens")
        return samples
    except (pa.ArrowException, OSError, ValueError, TableError) as exc:
        if lacks_memory(exc):
            raise short_of_memory(f"to read {path}", exc) from exc
        raise UserError(f"{path} holds no samples table: {' '.join(str(exc).split())[:200]}") from exc


def only(samples: pa.Table, ranges: Iterable[tuple[int, int]]) -> pa.Table:
    """The samples of the neurons in these ranges, both ends included."""
    neuron = pc.field("neuron")
    return samples.filter(reduce(or_, [(neuron >= first) & (neuron <= last) for first, last in ranges]))


def write(samples: pa.Table, folder: Path, *, circuitsvis: bool = False) -> int:
    """Write the site of `samples` into `folder` and return the number of neurons' pages.

    A site written here before is replaced as a whole. Any other folder with something in it is refused, and
    so is a model whose name is not a path of plain names. Raises StoreError where the disk refuses; what
    was there before stays.
    """
    for name in pc.unique(samples["model"]).to_pylist():
        if not _NAME.fullmatch(name):
            raise UserError(f"model {name!r} cannot be part of an address; rename its folder")
    with folders.replaced(folder, _ours) as new:
        return _write(samples, new, circuitsvis)


def _ours(folder: Path) -> bool:
    index = folder / "index.html"
    return index.is_file() and index.read_text(errors="replace").startswith(_MARK)


def _write(samples: pa.Table, folder: Path, circuitsvis: bool) -> int:
    positive = samples.filter(pc.field("sign") == "positive")
    if len(positive) < len(samples):
        output.tell("site: its form has no place for the negative ends of neurons: left out")
    samples = positive
    samples = samples.sort_by([(key, "ascending") for key in ("model", "layer", "sign", "neuron", "rank")])
    models = [
        _Model(samples.filter(pc.field("model") == name))
        for name in pc.unique(samples["model"]).to_pylist()
    ]
    n_pages = 0
    for model in models:
        (folder / model.name).mkdir(parents=True, exist_ok=True)
        _put(folder / model.name / "model.html", model.page())
        if model.n_pages < model.n_layers * model.n_neurons:
            output.tell(
                f"{model.name}: {model.n_pages:,} of the {model.n_layers * model.n_neurons:,} pages that "
                f"{model.n_layers} layers would have; DeepDecipher reads a model only if all are there"
            )
        for layer, neuron, rows in progress(model.neurons(), "site", unit="page", total=model.n_pages):
            path = folder / page_path(model.name, layer, neuron)
            path.parent.mkdir(exist_ok=True)
            _put(path, page(rows, title=model.title, n_neurons=model.n_neurons, circuitsvis=circuitsvis))
            n_pages += 1
    _put(folder / "index.html", _index(models))
    return n_pages


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii", errors="xmlcharrefreplace")


class _Model:
    """One model's samples, and the shape of the model as far as they show it."""

    def __init__(self, samples: pa.Table) -> None:
        self.samples = samples
        self.name = samples["model"][0].as_py()
        self.n_layers = pc.max(samples["layer"]).as_py() + 1
        self.n_neurons = pc.max(samples["neuron"]).as_py() + 1
        self.text_sets = sorted(filter(None, pc.unique(samples["text_set"]).to_pylist()))
        self.title = f"{self.name}: {self.n_layers} Layers, {self.n_neurons} Neurons per Layer"
        counted = samples.group_by(["layer", "neuron"]).aggregate([([], "count_all")])  # in any order
        self.places = counted.sort_by([("layer", "ascending"), ("neuron", "ascending")])
        self.n_pages = len(self.places)

    def neurons(self) -> Iterator[tuple[int, int, pa.Table]]:
        """Layer, neuron and rows of each."""
        start = 0
        for place in self.places.to_pylist():
            yield place["layer"], place["neuron"], self.samples.slice(start, place["count_all"])
            start += place["count_all"]

    def page(self) -> str:
        """The model's own page: links to its neurons."""
        home = "../" * (self.name.count("/") + 1) + "index.html"
        lines = [f"<a href='{home}'>Home</a>", f"<h1>Model: {html.escape(self.title)}</h1>"]
        lines.append(f"<h1>Dataset: {html.escape(' and '.join(self.text_sets))}</h1>")
        layer = None
        for place in self.places.to_pylist():
            if place["layer"] != layer:
                layer = place["layer"]
                lines.append(f"<h2>Layer {layer}</h2>")
            lines.append(f"<a href='./{layer}/{place['neuron']}.html'>{place['neuron']}</a>")
        return "\n".join(lines) + "\n"

    def row(self) -> str:
        """The model's row in the index, text in every cell; samples do not say its act fn and params."""
        first = self.places.slice(0, 1).to_pylist()[0]
        cells = [
            f"<a href='./{self.name}/model.html'>{html.escape(self.name)}</a>",
            f"<a href='./{page_path(self.name, first['layer'], first['neuron'])}'>Random</a>",
            _UNKNOWN,
            html.escape(" and ".join(self.text_sets)) or _UNKNOWN,
            f"{self.n_layers:,}",
            f"{self.n_neurons:,}",
            f"{self.n_pages:,}",
            "0",  # a number, since readers take it for one
        ]
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _index(models: list[_Model]) -> str:
    names = "Model,Random,Act Fn,Dataset,Layers,Neurons per Layer,Total Neurons,Params"
    head = "<tr>" + "".join(f"<th>{name}</th>" for name in names.split(",")) + "</tr>"
    title = "<h1>Neurons and the texts that activate them most</h1>"
    return "\n".join([_MARK, title, "<table>", head, *(m.row() for m in models), "</table>", ""])


def page(rows: pa.Table, *, title: str, n_neurons: int, circuitsvis: bool = False) -> str:
    """A neuron's page; `rows` are its samples by rank. Values are rounded to 6 places, headings to 4."""
    texts = rows.to_pylist()
    model, layer, neuron = (texts[0][key] for key in ("model", "layer", "neuron"))
    home = "../" * (model.count("/") + 2) + "index.html"
    values = [np.array(text["activations"], np.float64) for text in texts]  # null is nan
    highest = max((x for each in values for x in each[np.isfinite(each)].tolist()), default=float("nan"))
    jump = f"location.href=&#x27;./&#x27; + Math.floor(Math.random() * {n_neurons}) + &#x27;.html&#x27;"
    head = f"""<div style='font-size:medium;'>
< <a href='./{max(0, neuron - 1)}.html'>Prev</a> |
<a href='{home}'>Home</a> |
<a href='../model.html'>Model</a> |
<a href='javascript:void(0)' onclick="{jump}">Random</a> |
<a href='./{neuron + 1}.html'>Next</a> >
</div>
<h1>Model: {html.escape(title)}</h1>
<h1>Dataset: {html.escape(" and ".join(sorted({t["text_set"] for t in texts if t["text_set"]})))}</h1>
<h2>Neuron {neuron} in Layer {layer} </h2>
<h3>Transformer Lens Loading: <span style='font-family: "Courier New"'>"""
    head += f"""HookedTransformer.from_pretrained('{html.escape(model)}')</span></h3>
{"" if circuitsvis else _DRAW}<hr>

<hr>
"""
    imported = _CIRCUITSVIS if circuitsvis else ""
    parts = [
        _section(text, each, place, highest, imported)
        for place, (text, each) in enumerate(zip(texts, values, strict=True))
    ]
    return head + "\n<hr>\n".join(parts) + "\n"


def _section(text: dict[str, Any], values: np.ndarray, place: int, highest: float, imported: str) -> str:
    """One text with its headings and two renderings; `highest` is that of all the neuron's activations."""
    mat, before, after = text["mat_index"], *TRUNCATED
    index = "?" if text["text_id"] is None else text["text_id"]
    finite = values[np.isfinite(values)]
    low = finite.min() if len(finite) else float("nan")
    scripts = [
        _script(f"circuits-vis-{place}-{kind}", text["tokens"][part], values[part], highest, imported)
        for kind, part in (
            ("truncated", slice(max(0, mat - before), mat + after)),
            ("full", slice(None)),
        )
    ]
    ranges = f"Max Range: <b>{highest:.4f}</b>. Min Range: <b>{-highest:.4f}</b>"
    return f"""<h2>Text #{place}</h2><h4>{ranges}</h4>
<h4>Max Act: <b>{values[mat]:.4f}</b>. Min Act: <b>{low:.4f}</b></h4>
<h4>Data Index: <b>{index}</b> ({html.escape(" ".join((text["text_set"] or "").split()))})</h4>
<h4>Max Activating Token Index: <b>{mat}</b></h4>
<details><summary><b style='color: red'>Click toggle to see full text</b>
<h3>Truncated</h3>
{scripts[0]}</summary>
<h3>Full Text #{place}</h3>
{scripts[1]}</details>"""


def _script(name: str, tokens: list[str], values: np.ndarray, highest: float, imported: str) -> str:
    data = dict(tokens=tokens, values=np.round(values, 6).tolist(), minValue=-highest, maxValue=highest)
    return f"""<div id="{name}" style="margin: 15px 0;"/>
    <script crossorigin type="module">
{imported}    render(
      "{name}",
      ColoredTokens,
      {_in_script(json.dumps(data))}
    )
    </script>
"""


def _in_script(text: str) -> str:
    """JSON that cannot end the script it stands in, nor begin a comment there, nor part the page."""
    return re.sub("<(?=!--|hr>)", r"\\u003c", text.replace("</", "<\\/"))
