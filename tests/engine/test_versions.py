"""A machine on which numbers may differ is told apart, with both versions."""

import dataclasses

import pytest

from pipeline.engine import code, versions


def test_the_same_machine_is_not_refused():
    assert versions.here().refusal("node") == ""


@pytest.mark.parametrize("package", ["numpy", "torch", "transformers", "gensim", "scipy", "duckdb"])
def test_another_version_of_a_package_that_decides_numbers_is_refused_and_both_are_named(package):
    own = dict(versions.here().packages)
    driver = dataclasses.replace(versions.here(), packages=tuple((own | {package: "0.1"}).items()))
    assert (
        driver.refusal("node-b")
        == f"node-b has {package} {own[package]} (here 0.1); install the same there"
    )


def test_a_package_that_is_missing_is_refused():
    driver = dataclasses.replace(versions.here(), packages=(("nonesuch", "1.0"),))
    assert driver.refusal("node") == "node has nonesuch missing (here 1.0); install the same there"


def test_other_code_is_refused_and_other_comments_are_not():
    comments = dataclasses.replace(versions.here(), files="other")
    assert comments.refusal("node") == ""
    other = dataclasses.replace(comments, code="0" * 16)
    assert "node has another code of this package, " in other.refusal("node")
    assert "(here 0000000000000000)" in other.refusal("node")


def test_builds_for_other_devices_are_the_same_version():
    assert all("+" not in version for _, version in versions.here().packages)


def test_the_code_of_the_package_is_that_of_all_modules_that_decide_rows():
    found = code.of_package()
    assert {"pipeline.samples.scan", "pipeline.language.word"} <= found.keys()
    assert not [name for name in found if code.in_floor(name)]
