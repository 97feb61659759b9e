"""Texts of the Hub, asked of a server of its protocol on this machine, by the real client."""

import gzip
import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers.hub import Repository

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])

CARD = b"""---
configs:
- config_name: de
  data_files: [{split: train, path: de/train.parquet}, {split: test, path: de/test.parquet}]
- config_name: fr
  data_files: [{split: train, path: fr/train.parquet}]
---
"""
READ = """
import json, sys
from pipeline.errors import PipelineError
from pipeline.language import texts

for name, how in json.loads(sys.argv[1]):
    try:
        print(json.dumps(list(texts.stream(name, None, **how))))
    except PipelineError as exc:
        print(json.dumps([type(exc).__name__, str(exc)]))
"""


def parquet(*values):
    written = io.BytesIO()
    pq.write_table(pa.table({"id": range(len(values)), "body": values}), written)
    return written.getvalue()


@pytest.fixture
def read(hub_server, tmp_path):
    """What is read of data sets, or the error, each by a name and how it is read; in a process of its own,
    as the client looks for the Hub's address when it is imported."""
    files = {"de/train": ("eins", "zwei"), "de/test": ("drei",), "fr/train": ("un",)}
    several = {f"{name}.parquet": parquet(*values) for name, values in files.items()}
    hub_server.repositories["ada/several"] = Repository(False, [{"README.md": CARD, **several}])
    packed = gzip.compress(b'{"text": "a plain one"}\n')
    hub_server.repositories["ada/packed"] = Repository(False, [{"data.jsonl.gz": packed}])

    def asked(*sets):
        command = [sys.executable, "-c", READ, json.dumps(sets)]
        environment = {**os.environ, "HF_HOME": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return asked


def test_configuration_split_and_column_of_a_set_on_the_hub_are_read(read):
    found = read(
        ("ada/several", dict(config="de", column="body")),
        ("ada/several", dict(config="de", column="body", split="test")),
        ("ada/several", dict(config="fr", column="body")),
        ("ada/packed", {}),
    )
    assert found == [["eins", "zwei"], ["drei"], ["un"], ["a plain one"]]


def test_what_a_set_on_the_hub_has_instead_is_said_with_the_setting_that_chooses(read):
    found = read(
        ("ada/several", dict(column="body")),
        ("ada/several", dict(config="en", column="body")),
        ("ada/several", dict(config="fr", column="body", split="test")),
        ("ada/several", dict(config="fr")),
    )
    assert [kind for kind, _ in found] == ["UserError"] * 4
    for (_, said), (has, way_out) in zip(
        found,
        [
            ("['de', 'fr']", "choose with TEXT_CONFIG"),
            ("['de', 'fr']", "choose with TEXT_CONFIG"),
            ("['train']", "TEXT_SPLIT"),
            ("row 1 of ada/several has no column 'text' of strings; it has id, body", "TEXT_COLUMN"),
        ],
        strict=True,
    ):
        assert has in said and way_out in said and "\n" not in said
