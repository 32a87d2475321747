"""JSON that no strict reader takes. The row is named; what means only one thing is read, and said."""

from __future__ import annotations

import json

from tests.corpus.case import ROWS, Case, accept, between, good, jsonl, lines, reject, warn

ARRAY = json.dumps(ROWS)
PRETTY = json.dumps(ROWS, indent=1)


def _bad_line(name: str, bad: str, says: str = "line 2") -> Case:
    """A file whose second line, between good ones, is bad."""
    return reject(name, between(bad), says, {"unreadable row": [2]}, read=3, usable=2)


def _no_answer(name: str, value: str) -> Case:
    row = '{"instruction": "Which one is it?", "output": ' + value + "}"
    return warn(name, between(row), {"empty answer": [2]}, read=3, usable=2)


def _bad_answer(name: str, value: str, says: str = "line 2") -> Case:
    return _bad_line(name, '{"instruction": "Which one is it?", "output": ' + value + "}", says)


CASES = [
    reject("truncated-last-line.jsonl", jsonl(ROWS)[:-20], "is cut off", {"unreadable row": [3]}, read=3),
    reject(
        "truncated-mid-number.jsonl",
        lines(good(0), good(1)) + b'{"instruction": "x", "output": -',
        "line 3",
        {"unreadable row": [3]},
    ),
    reject("only-a-truncated-line.jsonl", jsonl(ROWS)[:40], "line 1"),
    _bad_line("bad-middle-row.jsonl", '{"instruction": "no end", "output": ', "is cut off"),
    _bad_line("bad-key.jsonl", '{instruction: "x", "output": "y"}'),
    _bad_line("missing-comma.jsonl", '{"instruction": "x" "output": "y"}'),
    _bad_line("missing-brace.jsonl", '{"instruction": "x", "output": "y"'),
    _bad_line("extra-brace.jsonl", '{"instruction": "x", "output": "y"}}'),
    _bad_line("two-on-a-line.jsonl", good(1) + good(2)),
    _bad_line("null-row.jsonl", "null", "is null"),
    _bad_line("scalar-row.jsonl", "7", "is a single value"),
    _bad_line("text-row.jsonl", '"just a text"'),
    _bad_line("list-row.jsonl", '["question", "answer"]', "is a list"),
    _bad_line("true-row.jsonl", "true"),
    warn(
        "trailing-comma-in-row.jsonl",
        between('{"instruction": "x", "output": "y",}'),
        {"stray commas": [2]},
        usable=3,
    ),
    _bad_line("single-quotes.jsonl", "{'instruction': 'x', 'output': 'y'}"),
    _bad_line("python-none.jsonl", '{"instruction": "x", "output": None}'),
    _bad_line("comment-line.jsonl", "// the second part", "a comment"),
    _bad_line("hash-comment-line.jsonl", "# the second part"),
    _bad_line("comment-in-row.jsonl", '{"instruction": "x", /* why */ "output": "y"}'),
    _bad_line("key-twice.jsonl", '{"instruction": "x", "output": "y", "output": "z"}', "twice"),
    _bad_line("escaped-key-twice.jsonl", '{"output": "x", "instruction": "y", "\\u006futput": "z"}', "twice"),
    _bad_line(
        "nested-key-twice.jsonl",
        '{"messages": [{"role": "user", "content": "a", "content": "b"}]}',
        "twice",
    ),
    # NaN is a missing value: a row whose answer it is has none
    _no_answer("nan.jsonl", "NaN"),
    _no_answer("minus-infinity.jsonl", "-Infinity"),
    accept(
        "nan-in-a-column-nobody-needs.jsonl",
        between('{"instruction": "x", "output": "y", "id": NaN}'),
        usable=3,
    ),
    _bad_answer("leading-zero.jsonl", "007"),
    _bad_answer("plus-sign.jsonl", "+1"),
    _bad_answer("hexadecimal.jsonl", "0x1F"),
    _bad_answer("bare-point.jsonl", ".5"),
    _bad_answer("lone-surrogate.jsonl", '"half a face \\ud83d"', "half of a character pair"),
    _bad_answer("swapped-surrogates.jsonl", '"\\ude42\\ud83d"'),
    _bad_answer("lone-surrogate-late.jsonl", '"\\ud83d and so on"'),
    _bad_answer("bad-escape.jsonl", '"C:\\data\\x"'),
    _bad_answer("raw-tab.jsonl", '"one\ttwo"'),
    _bad_answer("raw-control.jsonl", '"a bell\x07"'),
    _bad_answer("deep-2000.jsonl", "[" * 2000 + "]" * 2000, "64 levels"),
    _bad_answer("deep-2000-objects.jsonl", '{"a":' * 2000 + "1" + "}" * 2000),
    _bad_answer("deep-100000-open.jsonl", "[" * 100_000),
    reject(
        "line-break-in-text.jsonl",
        lines(good(0), '{"instruction": "x", "output": "one', 'two"}', good(1)),
        "line 2",
        {"unreadable row": [2, 3]},
    ),
    warn("lines-with-commas.jsonl", jsonl(ROWS).replace(b"}\n", b"},\n"), {"stray commas": 3}, usable=3),
    accept("no-line-ends.jsonl", jsonl(ROWS, end=""), usable=3),
    accept(
        "pretty-one-after-the-other.jsonl",
        "\n".join(json.dumps(row, indent=2) for row in ROWS).encode(),
        usable=3,
    ),
    warn(
        "pretty-with-commas.json",
        ",\n".join(json.dumps(row, indent=2) for row in ROWS).encode(),
        {"stray commas": [2, 3]},
        usable=3,
    ),
    reject(
        "field-of-12-MB.jsonl",
        lambda: jsonl([*ROWS, {"instruction": "Tell it all!", "output": "word " * 2_400_000}]),
        "line 4",
    ),
    reject(
        "field-of-12-MB.json",
        lambda: json.dumps([*ROWS, {"instruction": "All!", "output": "word " * 2_400_000}]).encode(),
        "",
    ),
    warn("trailing-comma.json", ARRAY[:-1].encode() + b",]", {"stray commas": [3]}, usable=3),
    warn("trailing-comma-pretty.json", PRETTY[:-2].encode() + b",\n]", {"stray commas": [3]}, usable=3),
    reject("missing-comma.json", ARRAY.replace("}, {", "} {", 1).encode(), "a comma is missing"),
    reject("single-quotes.json", str(ROWS).encode(), "single quotes"),
    reject("comments.json", ("[\n// the rows\n" + ARRAY[1:]).encode(), "comment"),
    reject("block-comment-first.json", ("/* rows */ " + ARRAY).encode(), ""),
    reject("much-white-space.json", ARRAY.replace("}, {", "}" + " " * 200_000 + "x {").encode(), ""),
    reject("unclosed-array.json", ARRAY[:-1].encode(), "the list is never closed"),
    reject("cut-array.json", PRETTY[:-30].encode(), "record 3 is cut off"),
    reject("cut-data.json", json.dumps({"data": ROWS}).encode()[:-40], ""),
    reject(
        "cut-columns.json", json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]}).encode()[:-2], ""
    ),
    reject("garbage-after-array.json", ARRAY.encode() + b" and more", "around the list"),
    reject("two-arrays.json", ARRAY.encode() * 2, ""),
    reject("null-in-array.json", (ARRAY[:-1] + ", null]").encode(), "is null"),
    reject("scalar-in-array.json", (ARRAY[:-1] + ", 7]").encode(), "is a single value"),
    reject("list-in-array.json", (ARRAY[:-1] + ', ["a", "b"]]').encode(), "is a list"),
    reject(
        "key-twice.json",
        (ARRAY[:-1] + ', {"instruction": "x", "output": "y", "output": "z"}]').encode(),
        "twice",
    ),
    warn("nan.json", (ARRAY[:-1] + ', {"instruction": "x", "output": NaN}]').encode(), {"empty answer": [4]}),
    reject(
        "lone-surrogate.json",
        (ARRAY[:-1] + ', {"instruction": "x", "output": "\\ud83d"}]').encode(),
        "half of a character",
    ),
    reject("deep-2000.json", b"[" * 2000 + b"]" * 2000, ""),
    reject("list-of-lists.json", json.dumps([list(row.values()) for row in ROWS]).encode(), ""),
    reject("empty-array.json", b"[]", "empty list"),
    reject("empty-array-padded.jsonl", b" \n[ ]\n", ""),
    reject("empty-object.json", b"{}", ""),
    reject("empty-data.json", b'{"data": []}', "empty list"),
    reject("empty-columns.json", b'{"instruction": [], "output": []}', ""),
    reject(
        "unequal-columns.json",
        b'{"instruction": ["a", "b", "c"], "output": ["x", "y"]}',
        "instruction 3, output 2",
    ),
    reject("null.json", b"null", ""),
    reject("number.json", b"42\n", ""),
    reject("text.json", b'"a text of several words"', ""),
    reject("json5.json", b"{data: [{instruction: 'a', output: 'b'}]}", ""),
]
