"""Asks a DuckDB database, or reads tables' folders, in a client's own environment, without ours.

`python ask.py KIND PLACE` reads a JSON list from stdin and prints one: for each item its answer, or the
text of the error. KIND is `duckdb` (PLACE is a database, or a folder with neurons.sql; items are questions,
answers lists of rows), `pandas` or `polars` (items are folders, answers their number of rows and columns).
"""

import json
import os
import sys


def duckdb_answers(place, questions):
    """Rows of each question."""
    import duckdb

    if os.path.isdir(place):
        os.chdir(place)
        con = duckdb.connect()
        with open("neurons.sql", encoding="utf-8") as file:
            con.execute(file.read())
    else:
        con = duckdb.connect(place, read_only=True)
    for question in questions:
        yield lambda question=question: con.execute(question).fetchall()


def folder_answers(read, folders):
    """Size and columns of each folder's table."""
    for folder in folders:

        def answer(folder=folder):
            found = read(folder)
            return [len(found), list(found.columns)]

        yield answer


def reader(kind):
    """The function of pandas or polars that reads a folder."""
    if kind == "pandas":
        import pandas

        return pandas.read_parquet
    import polars

    return polars.read_parquet


def main():
    """Print the answers."""
    kind, place = sys.argv[1:]
    items = json.load(sys.stdin)
    asked = duckdb_answers(place, items) if kind == "duckdb" else folder_answers(reader(kind), items)
    answers = []
    for answer in asked:
        try:
            answers.append(answer())
        except Exception as exc:  # noqa: BLE001  (whatever a client raises is its answer)
            answers.append(f"{type(exc).__name__}: {exc}")
    print(json.dumps(answers, default=str))


main()
