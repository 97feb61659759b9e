"""The folder that is published: what it holds, and that other tools read it."""

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import after, rows, tables_of
from datasets import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.engine.made import Part, Tables
from pipeline.errors import StoreError, UserError
from pipeline.plan import plan
from pipeline.results import render
from pipeline.results.publish import card, dataset
from pipeline.run import run
from pipeline.tables import TABLES, VERSION, empty, fingerprint
from pipeline.tables.store import Store


@pytest.fixture(scope="module")
def made(small, tmp_path_factory):
    return dataset.write(small, tables_of(small), tmp_path_factory.mktemp("set") / "dataset", "ada/neurons")


def front_matter(made):
    return yaml.safe_load((made.folder / "README.md").read_text().split("---\n")[1])


def test_load_dataset_gives_every_table_with_rows(made, small_tables, tmp_path):
    configs = {each["config_name"]: each for each in front_matter(made)["configs"]}
    assert configs.keys() == {name for name, table in small_tables.items() if len(table)}
    assert {each["version"] for each in configs.values()} == {VERSION}
    assert [name for name, each in configs.items() if each.get("default")] == ["feature_neurons"]
    for name in configs:
        found = load_dataset(str(made.folder), name, split="train", cache_dir=str(tmp_path))
        expected = small_tables[name]
        assert found.data.table.cast(expected.schema).equals(expected), name


def test_a_table_in_several_shards_is_the_same(made, small, small_tables, tmp_path):
    part = tmp_path / "part.parquet"
    pq.write_table(small_tables["places"], part, row_group_size=200)  # as a large table is
    large = tables_of(small)
    large.parts[0]._verified["places"] = part
    folder = tmp_path / "set"
    shutil.copytree(made.folder, folder)
    shutil.rmtree(folder / "places")
    files = dataset.shards(large, "places", folder / "places", part.stat().st_size // 3)
    assert len(files) > 2
    assert next(iter(files)) == f"train-00000-of-{len(files):05}.parquet"
    loaded = load_dataset(str(folder), "places", split="train", cache_dir=str(tmp_path))
    assert loaded.data.table.cast(TABLES["places"].schema).equals(small_tables["places"])


def test_equal_results_give_equal_bytes(made, small, tmp_path):
    again = dataset.write(small, tables_of(small), tmp_path / "set", "ada/neurons")
    assert again.tag == made.tag
    for name in made.files:
        assert (again.folder / name).read_bytes() == (made.folder / name).read_bytes(), name


def test_other_rows_have_another_tag(made, small, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small.data, data)
    other = dataclasses.replace(small, data=str(data), activation=0.9)
    found = dataset.write(other, run(other), tmp_path / "set", "ada/neurons")
    assert found.tag != made.tag
    assert found.tag.startswith(f"v{VERSION}-")


def test_activations_measured_in_other_batches_have_the_same_tag(made, small, tmp_path):
    own = dataclasses.replace(small, data=str(tmp_path / "data"))
    shutil.copytree(small.data, own.data)
    generator = np.random.default_rng(0)
    for path in Path(own.data).glob("store/activations/kept/*/*.parquet"):
        kept = pq.read_table(path)
        values = kept["activation"].to_numpy() * (1 + 2e-6 * generator.uniform(-1, 1, len(kept)))
        values = pa.array(values, pa.float32(), from_pandas=True)
        place = kept.schema.get_field_index("activation")
        pq.write_table(kept.set_column(place, kept.schema.field(place), values), path)
    for path in Path(own.data).glob("store/*/*.json"):
        if path.parent.name in after(own, "activations"):
            path.unlink()
    found = dataset.write(own, run(own), tmp_path / "set", "ada/neurons")
    assert found.tag == made.tag
    files = [
        json.loads((each.folder / "feature-neurons.json").read_text())["tables"] for each in (found, made)
    ]
    measured = ("activations", "retentions", "averages", "feature_neurons")
    assert all(files[0][table]["files"] != files[1][table]["files"] for table in measured)
    assert files[0]["maps"] == files[1]["maps"]


def test_other_answers_of_a_language_model_have_another_tag_and_other_prices_have_not(small, tmp_path):
    own = dataclasses.replace(small, describer="openai", describer_model="m", data=str(tmp_path))
    said = dict(describer="m", description="colours", status="ok")

    def tag(**more):
        part = Part(Store(tmp_path / fingerprint.of_value(more)), plan(own), own)
        for table, planned in part.planned.items():
            data = rows(table, said | more) if table == "descriptions" else empty(table)
            facts = {"created": "", "warnings": [], "made_of": planned.made_of}
            part.store.write(table, planned.key, data, facts)
        return dataset.tag_of(Tables([part]))

    assert tag(description="numbers") != tag()
    assert tag(status="length", description=None) != tag()
    assert tag(tries=2, most_usd=0.5) == tag()


def test_nothing_private_is_in_it(made, small):
    for path in made.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert small.data.encode() not in content, path
            assert small.text.encode() not in content, path


def test_views_and_macros_answer_in_duckdb(made, small_tables, monkeypatch):
    monkeypatch.chdir(made.folder)
    with duckdb.connect() as con:
        con.execute((made.folder / "neurons.sql").read_text())
        found = con.sql("select neuron from feature_neurons_at(0.25, 0.1) order by neuron").fetchall()
        assert [n for (n,) in found] == small_tables["feature_neurons"]["neuron"].to_pylist()
        with pytest.raises(duckdb.Error, match="were not verified; run again with SIMILARITY=0.1"):
            con.sql("from feature_neurons_at(0.1, 0.1)").fetchall()
        neuron = small_tables["feature_neurons"]["neuron"][0].as_py()
        asked = f"from neighbours_of({neuron})", f"from activation_histogram({neuron})"
        for question in (*asked, "from neurons_with_word('of')", "from polysemantic_neurons()"):
            assert con.sql(question).fetchall(), question
        comment = "select comment from duckdb_columns() where table_name = 'maps' and column_name = 'mat'"
        assert con.sql(comment).fetchall() == [("the MAT as it stands in the text",)]


def test_the_card_says_what_how_and_whose(made, small, small_tables):
    text = (made.folder / "README.md").read_text()
    for name, table in TABLES.items():
        if name in small_tables:
            assert f"### `{name}`" in text
            for column in table.columns:
                assert f"| `{column.name}` | `{column.type}` |" in text
    assert "candidates (similarity &gt;= 0.25)" in text
    assert "feature neurons (normalised activation &gt;= 0.1)" in text
    assert "Thresholds decided" in text and "Chance decided" not in text
    assert "cosine of at least 0.25;" in text and "at least 0.1. " in text
    assert 'load_dataset("ada/neurons", "feature_neurons"' in text
    assert "'hf://datasets/ada/neurons/feature_neurons/*.parquet'" in text
    assert "| model | demo | MIT, as feature-neurons |" in text
    assert made.tag in text
    assert (made.folder / "LICENSE-WordNet.txt").is_file()
    mark = json.loads((made.folder / "feature-neurons.json").read_text())
    assert mark["tag"] == made.tag
    assert mark["settings"]["similarity"] == 0.25
    assert mark["tables"]["maps"]["rows"] == len(small_tables["maps"])


def test_the_front_matter_has_what_the_hub_asks_for(made, small_tables):
    facts = front_matter(made)
    assert facts["license"] == "other"
    assert facts["license_link"] == "https://huggingface.co/datasets/ada/neurons#sources-and-licences"
    assert "\n## Sources and licences\n" in (made.folder / "README.md").read_text()
    assert facts["language"] == ["en"]
    assert facts["size_categories"] == [card.size(sum(map(len, small_tables.values())))]


@pytest.mark.parametrize(
    ("n_rows", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (267_328, "100K<n<1M"),
        (10**6, "1M<n<10M"),
        (5 * 10**9, "1B<n<10B"),
        (10**12, "n>1T"),
    ],
)
def test_rows_are_counted_in_the_hubs_categories(n_rows, category):
    assert card.size(n_rows) == category


def test_code_is_a_language_of_its_own():
    assert card.languages(text_sets("C4", "Code (Python)", None)["samples"]["text_set"]) == ["en", "code"]
    assert card.languages(text_sets("The Pile", "decoded")["samples"]["text_set"]) == ["en"]


def text_sets(*names):
    samples = rows(
        "samples",
        *(
            dict(
                rank=i,
                text_set=name,
                tokens=["a"],
                activations=[1.0],
                text_start=0,
                mat_index=0,
                source="x",
            )
            for i, name in enumerate(names)
        ),
    )
    return {"samples": samples}


def test_whose_texts_they_are_is_said_of_each_source():
    config = Config(model="solu-8l-pile", layer=3, fasttext=__file__)
    found = text_sets("C4 (Web Text)", "The Pile", "mine", None)
    said = {which: licence for _, which, licence in card.sources(config, found)}
    assert "ODC-By" in said["C4 (Web Text)"]
    assert "each under a licence of its own" in said["The Pile"]
    assert said.keys() >= {"solu-8l-pile", "https://neuroscope.io/", "test_dataset.py"}
    unknown = (
        "mine",
        "solu-8l-pile",
        "https://neuroscope.io/",
        "test_dataset.py",
        "not named by the pages",
    )
    for which in unknown:
        assert said[which].startswith("not known here")


@pytest.mark.parametrize("name", ["demo", "c4", "the pile of code", "decoded-diaries"])
def test_a_text_of_ones_own_has_no_known_licence_whatever_its_name(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "text.txt").write_text("mine")
    config = Config(source="scan", text=str(tmp_path / name))
    said = card.sources(config, text_sets(name))
    assert [licence[:14] for what, _, licence in said if what != "model"] == ["not known here"] * 2


def test_a_damaged_table_is_not_published(small, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small.data, data)
    own = dataclasses.replace(small, data=str(data))
    tables = tables_of(own)
    part = tables.store.path("vectors", tables.parts[0].key_of["vectors"]) / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[5000] ^= 0xFF
    part.write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged.*makes it anew"):
        dataset.write(own, tables, tmp_path / "set", "ada/neurons")
    assert not (tmp_path / "set").exists()


def test_settings_that_change_no_row_change_no_tag(made, small, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small.data, data)
    other = dataclasses.replace(small, data=str(data), score_control=True)
    assert dataset.write(other, run(other), tmp_path / "set", "ada/neurons").tag == made.tag


def test_without_feature_neurons_the_card_shows_another_table(small, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small.data, data)
    none = dataclasses.replace(small, data=str(data), similarity=1.0)
    found = dataset.write(none, run(none), tmp_path / "set", "ada/neurons")
    [name] = [each["config_name"] for each in front_matter(found)["configs"] if each.get("default")]
    assert name == "similarity"
    assert 'load_dataset("ada/neurons", "similarity"' in (found.folder / "README.md").read_text()
    assert len(load_dataset(str(found.folder), split="train", cache_dir=str(tmp_path))) == 96


def test_what_somebody_put_into_the_folder_is_not_deleted(made, small, tmp_path):
    shutil.copytree(made.folder, tmp_path / "set")
    dataset.write(small, tables_of(small), tmp_path / "set", "ada/neurons")
    (tmp_path / "set/NOTES.md").write_text("mine")
    with pytest.raises(UserError, match="holds something else"):
        dataset.write(small, tables_of(small), tmp_path / "set", "ada/neurons")
    assert (tmp_path / "set/NOTES.md").read_text() == "mine"


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_a_text_from_outside_stays_one_cell_of_a_table(text):
    shown = render.escaped(text)
    assert "\n" not in shown and "\r" not in shown
    bare = shown.replace("\\\\", "").replace("\\|", "").replace("\\[", "").replace("\\`", "")
    assert not set("|[`<>") & set(bare)


def test_another_folder_is_left_alone(small, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else"):
        dataset.write(small, tables_of(small), tmp_path, "ada/neurons")
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.skipif(not shutil.which("duckdb"), reason="no duckdb client")
def test_the_client_reads_the_views(made):
    done = subprocess.run(
        ["duckdb", "-init", "neurons.sql", "-c", "select count(*) from feature_neurons"],
        cwd=made.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "count" in done.stdout
