"""The settings choose the engine; what asks others or reads the run's own folder stays with the driver."""

from importlib.util import find_spec

import pytest

from pipeline.config import Config
from pipeline.engine.choice import chosen
from pipeline.engine.engines import InProcess
from pipeline.errors import UserError
from pipeline.plan import STAGES
from pipeline.run import run


def test_by_default_a_run_computes_in_this_process():
    here = InProcess()
    with chosen(Config(), here=here) as engine:
        assert engine is here


@pytest.mark.parametrize(
    "setting", [dict(engine="spark"), dict(workers=0), dict(cpus_per_worker=0), dict(gpus_per_worker=-0.5)]
)
def test_what_no_engine_can_be_is_refused(setting):
    with pytest.raises(UserError, match=next(iter(setting)).upper()):
        Config(**setting)


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_ray_that_is_not_installed_is_told_with_what_installs_it(tmp_path):
    with pytest.raises(UserError, match=r"Ray is not installed: `pip install 'feature-neurons\[ray\]'`"):
        run(Config(data=str(tmp_path), engine="ray"))
    assert not list(tmp_path.iterdir())


def test_stages_that_ask_a_site_or_are_paid_or_read_the_runs_folder_stay_and_no_other():
    found = {(stage.table, *stage.where.values()) for stage in STAGES if stage.stays}
    assert found == {
        ("pages", "neuroscope"),
        ("samples", "neuroscope"),
        ("descriptions", "openai"),
        ("group_descriptions", "openai"),
        ("judgements", "openai"),
    }


@pytest.mark.slow
def test_a_stage_that_stays_is_never_given_to_the_engine(tmp_path):
    asked = []

    class Noting(InProcess):
        def map(self, make, shards):
            asked.append(make.func.__module__)
            return super().map(make, shards)

    run(Config(data=str(tmp_path), neurons="3"), Noting(), until="words")
    assert asked == ["pipeline.identification.vocabulary", "pipeline.identification.words"]


def test_the_engine_is_reached_before_anything_is_made(tmp_path):
    class Unreachable(InProcess):
        def ready(self):
            raise UserError("no cluster")

    with pytest.raises(UserError, match="no cluster"):
        run(Config(data=str(tmp_path), neurons="3"), Unreachable(), until="maps")
    assert not (tmp_path / "store").exists()
