"""Speed as ratios of one run: printed as a table, stored in data/bench.json.

`make bench`. The two of a pair are measured in turn on the same inputs, three times; the best counts.
"""

from __future__ import annotations

import json
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from bs4 import BeautifulSoup
from gensim.models import KeyedVectors

from pipeline.config import Config
from pipeline.language.word_vectors import nearest
from pipeline.models import language_model
from pipeline.results import neuroscope_site
from pipeline.samples.neuroscope import page as neuroscope
from pipeline.samples.neuroscope import usual_pages
from pipeline.tables import empty

ROOT = Path(__file__).parents[2]


def best_of(times: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of some calls."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def neighbours(vocabulary: int, words: int) -> dict[str, object]:
    """Five neighbours of each word: one matrix product against gensim's most_similar per word."""
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(vocabulary, 100)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    queries = draw.choice(vocabulary, words, replace=False)
    keyed = KeyedVectors(100)
    keyed.add_vectors([str(i) for i in range(vocabulary)], matrix)
    keyed.fill_norms()
    ours = best_of(3, lambda: nearest(matrix, queries, 5))
    theirs = best_of(1, lambda: [keyed.most_similar(str(q), topn=5) for q in queries])
    what = f"neighbours of {words:,} words among {vocabulary:,}"
    return dict(what=what, against="most_similar per word", ours_s=ours, other_s=theirs)


def pages(n_pages: int, n_tokens: int = 895, *, model: str = "m", layer: int = 0) -> list[bytes]:
    """Neuroscope pages of some neurons, by default of 400 kB."""
    draw = np.random.default_rng(0)
    names = language_model.load(Config()).token_texts
    made = []
    for neuron in range(n_pages):
        texts = [
            dict(model=model, layer=layer, neuron=neuron, rank=rank, text_id=rank, source="bench")
            | dict(tokens=[names[i] for i in draw.integers(1, len(names), n_tokens)], text_start=0)
            | dict(activations=draw.normal(0, 0.3, n_tokens).astype(np.float32), mat_index=n_tokens // 2)
            | dict(text_set="C4 (Web Text)")
            for rank in range(20)
        ]
        table = pa.Table.from_pylist(texts, empty("samples").schema)
        page = neuroscope_site.page(table, title=model, n_neurons=n_pages, circuitsvis=True)
        made.append(page.encode())
    return made


def parsing(n_pages: int, n_tokens: int = 895) -> dict[str, object]:
    """Neuroscope pages to rows of `samples`, against BeautifulSoup with lxml."""
    place: dict[str, Any] = dict(model="m", layer=0)
    given = pages(n_pages, n_tokens)

    def ours() -> list[pa.Table]:
        return [*usual_pages.parse_pages(given, range(n_pages), **place)]

    def theirs() -> list[pa.Table]:
        return [_with_beautifulsoup(page, neuron=n, **place) for n, page in enumerate(given)]

    assert all(a.equals(b) for a, b in zip(ours(), theirs(), strict=True))
    size = sum(map(len, given)) / n_pages
    what = f"parsing {n_pages} pages of {size / 1000:.0f} kB"
    return dict(
        what=what, against="BeautifulSoup with lxml", ours_s=best_of(3, ours), other_s=best_of(3, theirs)
    )


def _with_beautifulsoup(page: bytes, *, model: str, layer: int, neuron: int) -> pa.Table:
    """The same rows as from parse_page, as long as no token holds the end of a script."""
    soup = BeautifulSoup(page, "lxml")
    headings = [heading.get_text() for heading in soup.find_all("h4")]
    scripts = [script.string for script in soup.find_all("script")]
    texts = []
    for rank in range(len(headings) // 4):
        index = re.fullmatch(r"Data Index: (\d+) \((.*)\)", headings[4 * rank + 2])
        mat = re.fullmatch(r"Max Activating Token Index: (\d+)", headings[4 * rank + 3])
        data, _ = json.JSONDecoder().raw_decode(scripts[2 * rank + 1], scripts[2 * rank + 1].index('{"'))
        texts.append(
            dict(text_id=int(index[1]), text_set=index[2], mat_index=int(mat[1]))
            | neuroscope.columns(data["tokens"], data["values"])
        )
    return neuroscope.table(texts, model=model, layer=layer, neuron=neuron)


def main() -> None:
    """Measure, print, store."""
    import bench_evidence
    import bench_llama
    import bench_loading
    import bench_memory
    import bench_ray
    import bench_report
    import bench_scan
    import bench_scan_memory
    import bench_sql
    import bench_stages
    import bench_verification

    rows = [parsing(30), neighbours(200_000, 2_000), neighbours(6_000, 2_000)]
    for row in rows:
        row["ratio"] = row["other_s"] / row["ours_s"]
        print(
            f"{row['what']:<60} {row['ours_s']:8.2f} s   {row['against']:<28} {row['other_s']:8.2f} s"
            f"   {row['ratio']:6.1f} x"
        )
    verified = []
    for row in bench_verification.rows():
        verified.append(row)
        print(bench_verification.told(row), flush=True)
    llama = []
    for row in bench_llama.rows():
        llama.append(row)
        print(bench_llama.told(row), flush=True)
    loading = bench_loading.rows()
    for row in loading:
        print(bench_loading.told(row), flush=True)
    scan = []
    for row in bench_scan.rows():
        scan.append(row)
        print(bench_scan.told(row), flush=True)
    memory = bench_scan_memory.alone()
    print(bench_scan_memory.told(memory), flush=True)
    evidence = bench_evidence.rows()
    print(bench_evidence.told(evidence), flush=True)
    stages = bench_stages.rows()
    for row in stages:
        print(bench_stages.told(row), flush=True)
    report = bench_report.row()
    print(bench_report.told(report), flush=True)
    stages_memory = []
    for row in bench_memory.rows():
        stages_memory.append(row)
        print(bench_memory.told(row), flush=True)
    sql = bench_sql.rows()
    print(bench_sql.told(sql), flush=True)
    cluster = bench_ray.rows()
    print(bench_ray.told(cluster), flush=True)
    machine = dict(
        python=platform.python_version(), torch=torch.__version__, threads=torch.get_num_threads()
    )
    out = ROOT / "data" / "bench.json"
    results = dict(machine=machine, rows=rows, verification=verified, llama=llama, loading=loading)
    results |= dict(scan=scan, scan_memory=memory, evidence=evidence, stages=stages, report=report, sql=sql)
    results |= dict(stages_memory=stages_memory, cluster=cluster)
    out.write_text(json.dumps(results, indent=2) + "\n")
    print(f"stored in {out.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
