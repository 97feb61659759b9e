"""The embedded model is what its README says."""

import hashlib
import json
import re

import pyarrow.parquet as pq
from conftest import ROOT

DEMO = ROOT / "data" / "demo"
README = (DEMO / "README.md").read_text()
BUILD = json.loads((DEMO / "build.json").read_text())


def test_the_files_have_the_checksums_of_the_readme():
    listed = re.findall(r"^ {4}([0-9a-f]{64}) {2}(\S+)$", README, re.M)
    assert len(listed) == 4
    for checksum, name in listed:
        assert hashlib.sha256((DEMO / name).read_bytes()).hexdigest() == checksum, name


def test_all_of_it_takes_less_than_15_mb():
    assert sum(f.stat().st_size for f in DEMO.rglob("*") if f.is_file()) < 15_000_000


def test_the_numbers_of_the_readme_are_those_of_the_build():
    for key in ("held_out_loss_nats_per_token", "trained_on_loss_nats_per_byte"):
        assert str(BUILD[key]) in README
    assert f"{BUILD['sample_texts']:,} short texts" in README
    texts = pq.read_table(DEMO / "text")
    assert len(texts) == BUILD["sample_texts"]


def test_the_model_predicts_its_texts_about_as_well_as_it_says(demo):
    import torch
    import torch.nn.functional as F

    texts = pq.read_table(DEMO / "text")["text"].to_pylist()[:200]
    ids = [i for text in texts for i in (demo.bos_id, *demo.encode(text))]
    rows = torch.tensor(ids[: len(ids) // 129 * 129]).view(-1, 129)
    with torch.no_grad():
        logits = demo.bridge(rows[:, :-1].to(demo.device)).cpu()
    loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).item()
    assert 3.0 < loss < 4.3
