"""Values stored beside a test, with the version of the method that gave them.

Kept rows are not made again as long as their version stays, so whoever changes what the method gives has to
raise it. A test compares what it gives now with what is stored; `python <the test>` writes the file anew,
and refuses while values have changed and the version has not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Stored:
    """A JSON file of values and the versions they belong to. `place` says where a version is raised."""

    file: Path
    test: str
    place: str

    def read(self) -> dict[str, Any]:
        """The stored `versions` and `values`."""
        return json.loads(self.file.read_text(encoding="utf-8"))

    def problem(self, versions: Mapping[str, int], values: Mapping[str, Any]) -> str | None:
        """What has to be done where values or versions are not the stored ones; else None."""
        stored = self.read()
        anew = f"write the stored values anew with: python {self.test}"
        changed = [name for name in values if not same(values[name], stored["values"].get(name))]
        if changed and versions == stored["versions"]:
            return (
                f"{', '.join(changed)}: not what is stored for {told(versions)}; if it is meant, raise it "
                f"in {self.place}, so that what is kept under the old version is made again, and {anew}"
            )
        if versions != stored["versions"]:
            return f"stored are values of {told(stored['versions'])}, the code has {told(versions)}: {anew}"
        return None

    def write(self, versions: Mapping[str, int], values: Mapping[str, Any]) -> None:
        """Write the file; exits where values have changed under the same version."""
        if self.file.exists():
            stored = self.read()
            both = values.keys() & stored["values"].keys()
            changed = sorted(name for name in both if not same(values[name], stored["values"][name]))
            if changed and versions == stored["versions"]:
                raise SystemExit(
                    f"{', '.join(changed)} changed under {told(versions)}: raise it in {self.place} first"
                )
        text = json.dumps({"versions": versions, "values": values}, ensure_ascii=False, indent=1)
        self.file.write_text(text + "\n", encoding="utf-8")


def same(one: Any, other: Any) -> bool:
    """Whether values are equal, numbers within 1e-4 of each other."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float | int):
        return one == pytest.approx(other, rel=1e-4, abs=1e-6)
    return one == other


def told(versions: Mapping[str, int]) -> str:
    """Versions in words."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
