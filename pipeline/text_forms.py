"""In which form a file of texts is, told by its name."""

from __future__ import annotations

from pathlib import Path

PLAIN = ".txt"
TEXT_FORMS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", PLAIN)
PACKINGS = (".gz", ".bz2", ".xz", ".zst")


def form(path: Path) -> str:
    """One of TEXT_FORMS, such as .jsonl for a.jsonl.gz; empty for a file that holds no texts."""
    name = path.name.lower()
    packing = next((end for end in PACKINGS if name.endswith(end)), "")
    found = Path(name.removesuffix(packing)).suffix
    return found if found in TEXT_FORMS and not (packing and found == ".parquet") else ""
