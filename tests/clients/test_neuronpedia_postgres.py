"""An export for Neuronpedia goes into a database of its constraints, every row, in a real PostgreSQL.

Rows are inserted as its importer does: the columns of a file are those of its first line, NULs become
blanks, and a row whose key is there already is left out in silence.
"""

import dataclasses
import gzip
import itertools
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from servers.postgres import RefusedError

from pipeline.results import export

SCHEMA = Path(__file__).with_name("neuronpedia.sql")
ONE_ROW = {"release": "SourceRelease", "model": "Model", "sourceset": "SourceSet", "source": "Source"}
BATCHES = {"features": "Neuron", "activations": "Activation", "explanations": "Explanation"}
TABLES = (*ONE_ROW.values(), *BATCHES.values())
HOSTILE = ["\0", "\\u0000", "\\\\u0000", "\\", '"', "a\nb", "\u2028", "\ufffd", "{", "日本", "🦊", ""]


class Neuronpedia:
    """An empty installation: its constraints, and the user that it begins with."""

    def __init__(self, postgres, name):
        self.postgres, self.name = postgres, name
        postgres.sql(f"create schema {name}")
        self.sql(SCHEMA.read_text())
        self.sql("insert into \"User\" values ('clkht01d40000jv08hvalcvly', 'bot')")

    def sql(self, text):
        return self.postgres.sql(f"set search_path to {self.name};\n{text}")

    def insert(self, table, text):
        """Insert JSON lines; raises RefusedError where a constraint is broken."""
        lines = text.replace("\\u0000", " ").strip().split("\n")
        columns = ", ".join(f'"{name}"' for name in json.loads(lines[0]))
        self.sql(
            "create temp table lines (line jsonb);\n"
            "copy lines from stdin with (format csv, quote e'\\x01', delimiter e'\\x02');\n"
            + "".join(f"{line}\n" for line in lines)
            + "\\.\n"
            f'insert into "{table}" ({columns}) '
            f'select {columns} from lines, jsonb_populate_record(null::"{table}", line) '
            "on conflict do nothing"
        )

    def take(self, folder):
        """Insert every file of an export, and return how many lines there were for each table."""
        given = dict.fromkeys(TABLES, 0)
        for source in sorted(folder.glob("*/*/")):
            files = [(source / f"{name}.jsonl", table) for name, table in ONE_ROW.items()]
            files += [
                (p, table) for name, table in BATCHES.items() for p in sorted((source / name).iterdir())
            ]
            for path, table in files:
                raw = path.read_bytes()
                text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
                self.insert(table, text)
                given[table] += text.count("\n")
        return given

    def rows(self, table):
        return [json.loads(line) for line in self.sql(f'select to_jsonb(t) from "{table}" t')]

    def counts(self):
        return {table: int(self.sql(f'select count(*) from "{table}"')[0]) for table in TABLES}


@pytest.fixture
def neuronpedia(postgres, names=itertools.count()):  # noqa: B008  (a new name for each test)
    return Neuronpedia(postgres, f"installation_{next(names)}")


@pytest.fixture(scope="module")
def exported(small, small_tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("neuronpedia") / "out"
    export.write("neuronpedia", small, small_tables, folder)
    return folder


@pytest.fixture(scope="module")
def without_model(small, tmp_path_factory):
    """The config of the same run where the model is not there any more."""
    return dataclasses.replace(small, model=str(tmp_path_factory.mktemp("gone") / "demo/demo"))


def looked_at(tables):
    return tables["samples"].filter(pc.field("neuron") < 96)


def test_every_row_of_every_file_is_in_the_database(neuronpedia, exported, small_tables):
    given = neuronpedia.take(exported)
    assert neuronpedia.counts() == given
    assert given == {
        **dict.fromkeys(ONE_ROW.values(), 1),
        "Neuron": 96,
        "Activation": len(looked_at(small_tables)),
        "Explanation": len(small_tables["descriptions"]),
    }
    [model] = neuronpedia.rows("Model")
    assert (model["layers"], model["neuronsPerLayer"]) == (2, 512)
    ours = {(str(r["neuron"]), r["rank"]): r for r in looked_at(small_tables).to_pylist()}
    for row in neuronpedia.rows("Activation"):
        own = ours[row["index"], int(row["id"].rsplit("-", 1)[1])]
        assert (row["tokens"], row["values"]) == (own["tokens"], own["activations"])


def test_an_export_without_the_model_goes_in_too(neuronpedia, without_model, small_tables, tmp_path):
    export.write("neuronpedia", without_model, small_tables, tmp_path / "out")
    given = neuronpedia.take(tmp_path / "out")
    assert neuronpedia.counts() == given
    assert given["Activation"] == len(looked_at(small_tables))
    [model] = neuronpedia.rows("Model")
    highest = pc.max(small_tables["samples"]["neuron"]).as_py()
    assert (model["layers"], model["neuronsPerLayer"]) == (2, highest + 1)


def test_two_layers_are_two_sources_of_one_model(neuronpedia, both, tmp_path):
    export.write("neuronpedia", *both, tmp_path / "out")
    given = neuronpedia.take(tmp_path / "out")
    assert neuronpedia.counts() == given | {"SourceRelease": 1, "Model": 1, "SourceSet": 1}
    assert given["Source"] == 2
    assert {row["id"] for row in neuronpedia.rows("Source")} == {"0-feature-neurons", "1-feature-neurons"}


def with_tokens(tables, tokens):
    """The tables with these tokens as their only sample and, joined, as their only description."""
    [sample] = tables["samples"].slice(0, 1).to_pylist()
    values = [0.5] * len(tokens)
    sample |= dict(tokens=tokens, token_ids=None, activations=values, mat_index=0, max_activation=0.5)
    [described] = tables["descriptions"].slice(0, 1).to_pylist()
    described |= dict(description="".join(tokens), neuron=sample["neuron"])
    changed = {"samples": [sample], "descriptions": [described]}
    return dict(tables) | {n: pa.Table.from_pylist(r, schema=tables[n].schema) for n, r in changed.items()}


def test_any_token_goes_in_as_it_is_a_nul_as_its_symbol(neuronpedia, without_model, small_tables, tmp_path):
    tables = with_tokens(small_tables, HOSTILE)
    export.write("neuronpedia", without_model, tables, tmp_path / "out")
    neuronpedia.take(tmp_path / "out")
    expected = ["\u2400", *HOSTILE[1:]]
    assert [row["tokens"] for row in neuronpedia.rows("Activation")] == [expected]
    assert [row["description"] for row in neuronpedia.rows("Explanation")] == ["".join(expected)]


@pytest.mark.parametrize("kept", ["samples", "nothing"])
def test_what_there_is_none_of_has_no_file(neuronpedia, without_model, small_tables, tmp_path, kept):
    tables = dict(small_tables) | {"descriptions": small_tables["descriptions"].slice(0, 0)}
    if kept == "nothing":
        tables["samples"] = tables["samples"].slice(0, 0)
    export.write("neuronpedia", without_model, tables, tmp_path / "out")
    given = neuronpedia.take(tmp_path / "out")
    assert neuronpedia.counts() == given
    assert (given["Explanation"], given["Activation"] > 0) == (0, kept == "samples")


def test_another_user_can_own_it(neuronpedia, without_model, small_tables, tmp_path):
    config = dataclasses.replace(without_model, creator="cm0ada")
    export.write("neuronpedia", config, small_tables, tmp_path / "out")
    with pytest.raises(RefusedError, match="foreign key"):
        neuronpedia.take(tmp_path / "out")
    neuronpedia.sql("insert into \"User\" values ('cm0ada', 'ada')")
    neuronpedia.take(tmp_path / "out")
    owners = {
        row.get("creatorId", row.get("authorId")) for table in TABLES for row in neuronpedia.rows(table)
    }
    assert owners == {"cm0ada"}


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("Model", {"owner": None}, "not-null"),
        ("Model", {"layers": None}, "not-null"),
        ("SourceRelease", {"creatorName": None}, "not-null"),
        ("SourceSet", {"creatorId": None}, "not-null"),
        ("Activation", {"creatorId": None}, "not-null"),
        ("Activation", {"index": "511"}, "foreign key"),
        ("Explanation", {"authorId": None}, "not-null"),
        ("Explanation", {"typeName": "feature-neurons"}, "foreign key"),
        ("Explanation", {"explanationModelName": "lexical"}, "foreign key"),
        ("Explanation", {"unknown": 1}, 'column "unknown"'),
    ],
)
def test_the_database_refuses_what_theirs_does(neuronpedia, exported, table, change, reason):
    neuronpedia.take(exported)
    row = neuronpedia.rows(table)[0]
    own = {name: f"another {value}" for name, value in row.items() if name in ("id", "name")}
    neuronpedia.insert(table, json.dumps(row | own))
    with pytest.raises(RefusedError, match=reason):
        own = {name: f"a third {value}" for name, value in own.items()}
        neuronpedia.insert(table, json.dumps(row | own | change))
