"""Good JSON and JSON Lines in every way that people write them."""

from __future__ import annotations

import json
from typing import Any

from tests.corpus.case import ROWS, accept, good, jsonl, judged, lines, warn

PRETTY = json.dumps(ROWS, indent=2).encode()
COLUMNS = {key: [row[key] for row in ROWS] for key in ROWS[0]}
META = {"version": "1.1", "count": 3, "licence": "CC-BY-4.0"}
MANY = [
    {"instruction": f"What is {n} plus {n}?", "output": f"Together they make {2 * n}."} for n in range(3000)
]


def _array(rows: list[Any]) -> bytes:
    return json.dumps(rows).encode()


def _with(value: str) -> bytes:
    """Two good rows and one whose answer is this piece of JSON."""
    return lines(good(0), good(1), '{"instruction": "Which number is it?", "output": ' + value + "}")


def _nested(depth: int) -> bytes:
    extra = "[" * depth + "]" * depth
    return lines(
        good(0), good(1), f'{{"instruction": "Deep?", "output": "not so very deep", "extra": {extra}}}'
    )


def _wide() -> bytes:
    extra = {f"c{n}": "x" for n in range(5000)}
    return jsonl([{**row, **extra} for row in ROWS])


CASES = [
    accept("array.jsonl", _array(ROWS), read=3),
    accept("array-over-lines.json", PRETTY, read=3, usable=3),
    accept("array-crlf.json", PRETTY.replace(b"\n", b"\r\n"), read=3),
    accept(
        "array-one-row-a-line.jsonl",
        b"[\n" + b",\n".join(_array([row])[1:-1] for row in ROWS) + b"\n]\n",
        read=3,
    ),
    accept("array-padded.json", b" \n\t " + PRETTY + b" \n \n", read=3),
    accept("array-large.json", _array(MANY), read=3000),
    accept("lines.json", jsonl(ROWS), read=3),
    accept("lines.txt", jsonl(ROWS), read=3),
    accept("lines.csv", jsonl(ROWS), read=3),
    accept("no-ending", jsonl(ROWS), read=3),
    accept("data.json", json.dumps({"data": ROWS}).encode(), read=3),
    accept("data-pretty.json", json.dumps({"data": ROWS}, indent=4).encode(), read=3),
    accept(
        "data-beside-facts.json",
        json.dumps({"version": META["version"], "meta": META, "data": ROWS}).encode(),
        read=3,
    ),
    accept("data-before-facts.json", json.dumps({"data": ROWS, "meta": META}).encode(), read=3),
    accept(
        "questions.json",
        json.dumps(
            {"_meta": META, "questions": [{"q": row["instruction"], "a": row["output"]} for row in ROWS]}
        ).encode(),
        read=3,
    ),
    accept("dict-of-lists.json", json.dumps(COLUMNS).encode(), read=3),
    accept("dict-of-lists-pretty.json", json.dumps(COLUMNS, indent=1).encode(), read=3),
    accept(
        "dict-of-records.json", json.dumps({f"row-{n}": row for n, row in enumerate(ROWS)}).encode(), read=3
    ),
    accept(
        "keys-in-any-order.jsonl",
        lines(good(0), '{"output": "Bees make honey.", "instruction": "Bees?"}', good(2)),
        read=3,
    ),
    accept("escapes.jsonl", _with(r'"tab\tquote\" slash\/ \u00e9 \\n stays"'), read=3),
    accept("surrogate-pairs.jsonl", _with(r'"a face \ud83d\ude42 and a clef \ud834\udd1e"'), read=3),
    accept(
        "escaped-keys.jsonl",
        lines(good(0), good(1), r'{"\u0069nstruction": "Escaped key?", "output": "It is the same key."}'),
        read=3,
    ),
    accept(
        "padded-lines.jsonl", b"".join(b"  " + line + b" \t\n" for line in jsonl(ROWS).splitlines()), read=3
    ),
    accept("iso-dates.jsonl", _with('"It began on 2024-02-29 at 2024-02-29T12:00:00Z."'), read=3),
    accept("empty-input.jsonl", jsonl([{**row, "input": ""} for row in ROWS]), read=3),
    accept("null-input.jsonl", jsonl([{**row, "input": None} for row in ROWS]), read=3),
    accept(
        "line-of-9-MB.jsonl",
        lambda: jsonl([*ROWS, {"instruction": "Tell it all!", "output": "word " * 1_800_000}]),
        read=4,
    ),
    warn("one-row.json", json.dumps(ROWS[0]).encode(), {"few rows": 1}, read=1),
    warn("one-row.jsonl", jsonl(ROWS[:1]), {"few rows": 1}, read=1),
    warn("one-row-pretty.json", json.dumps(ROWS[0], indent=2).encode(), {"few rows": 1}, read=1),
    warn("number-answer.jsonl", _with("42"), {"not text": [3]}, read=3, usable=3),
    warn("boolean-answer.jsonl", _with("true"), {"not text": [3]}, read=3),
    warn("minus-zero.jsonl", _with("-0"), {"not text": [3]}),
    warn("big-integer.jsonl", _with("9" * 60), {"not text": [3]}),
    judged("number-out-of-range.jsonl", _with("1e400")),
    judged("integer-of-6000-digits.jsonl", _with("9" * 6000)),
    accept(
        "extra-columns.jsonl",
        jsonl([{**row, "id": str(n), "topic": "nature"} for n, row in enumerate(ROWS)]),
    ),
    accept("extra-column-once.jsonl", jsonl([*ROWS[:2], {**ROWS[2], "source": "a book"}])),
    warn(
        "answer-left-aside.jsonl",
        jsonl([{**row, "answer": "Another one that is left aside."} for row in ROWS]),
        {"extra columns": 3},
    ),
    accept("nested-50.jsonl", _nested(50)),
    accept("wide.jsonl", _wide, read=3),
    judged("data-in-data.json", json.dumps({"data": {"rows": ROWS}}).encode()),
    judged("train-and-test.json", json.dumps({"train": ROWS[:2], "test": ROWS[2:]}).encode()),
    judged(
        "bom-in-key.jsonl",
        lines(*['{"\\ufeffinstruction": "a question", "output": "an answer of words"}'] * 2),
    ),
    judged("key-of-1-MB.jsonl", jsonl([{**ROWS[0], "k" * 1_000_000: "x"}, *ROWS[1:]])),
]
