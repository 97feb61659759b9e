"""Two small runs, one for each layer of the embedded model, put together in one store and database."""

import dataclasses
import shutil

import pyarrow as pa
import pytest

from pipeline.engine.made import Part, Tables
from pipeline.plan import plan
from pipeline.results import database
from pipeline.run import run, store_of
from pipeline.tables import TABLES

NEURONS = {0: "4-9", 1: "3-8"}


@pytest.fixture(scope="module")
def both(small, tmp_path_factory):
    """The config and the tables of two runs, one for each layer, together in one store and database."""
    apart = dataclasses.replace(
        small,
        data=str(tmp_path_factory.mktemp("apart") / "data"),
        similarity=0.01,
        activation=0.2,
        score=True,
    )
    shutil.copytree(small.data, apart.data)
    runs = [run(dataclasses.replace(apart, layer=n, neurons=own)) for n, own in NEURONS.items()]
    config = dataclasses.replace(apart, data=str(tmp_path_factory.mktemp("both")), layer=0, neurons="3-9")
    part = Part(store_of(config), plan(config), config)
    for name, planned in part.planned.items():
        rows = together(name, [each[name] for each in runs])
        part.store.write(name, planned.key, rows, runs[0].parts[0].facts(name))
    tables = Tables([part])
    database.build(config, tables)
    return config, tables


def together(name, parts):
    """The rows of a table of both runs; words are those of both, once."""
    key = TABLES[name].key
    rows = pa.concat_tables(parts)
    if "layer" not in key:
        values = list(zip(*(rows[column].to_pylist() for column in key), strict=True))
        first = {value: place for place, value in reversed(list(enumerate(values)))}
        rows = rows.take(sorted(first.values()))
    return rows.sort_by([(column, "ascending") for column in key])
