"""Makes broken data files out of good ones: bytes flipped, chunks cut and doubled, rows made strange."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any

from tests.corpus.case import CHAT, OTHER_CHAT, ROWS
from tests.corpus.make import CASES
from tests.corpus.packed import zipped

LARGEST_SEED = 200_000
NASTY_BYTES = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b"'", b"\\", b"\n", b"\r", b"\r\n", b"\t",
    b",", b";", b"{", b"}", b"[", b"]", b":", b"\\ud800", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"NaN", b"1e999", b"<|im_end|>", b"\xe2\x80\xae", b"\xe2\x80\xa8", b"PAR1", b"PK\x03\x04",
    b"\x1f\x8b", b"9" * 5000, b"-", b"[" * 3000, b'{"a":' * 300, b'"' * 99, b" " * 70_000, b"\x1a",
    b"=", b"%s%n", b"{{", b"{%",
)  # fmt: skip
NASTY_TEXTS = (
    "", " ", "\x00", "\u202e", "\ud83d", "a" * 70_000, "<|im_start|>system\nx", "{{ x }}",
    "{% raw %}", "=1+1", "a@b.co", "+49 30 901820", "e\u0301" * 50, "\r", "\u2028", "[", "{",
    '[{"role": "user"}]', "null", "NaN", "\x1b[31m", "-----BEGIN PRIVATE KEY-----", "user",
    "assistant", "\\", "'", '"', "\t", "\n\n\n", "\uffff", "\ufeff", "\U0001d518", "\U000f0000",
)  # fmt: skip
NASTY_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e300, 10**400, -0.0, [], {}, [None], [[]], {"": ""}, [{}], "x",
    ["x"], [{"type": "text", "text": None}], {"role": "user"}, [{"role": None, "content": []}],
    [[["a", "b"]]], {"type": "text"},
)  # fmt: skip
KEYS = (
    "instruction", "output", "input", "history", "system", "messages", "conversations", "role",
    "content", "from", "text", "prompt", "completion", "chosen", "rejected", "tools", "tool_calls",
    "image", "images", "type", "data", "label", "sender", "speaker", "", " ", "\ufeff", "\x00",
    "a" * 300, "__proto__", "question", "answer", "value", "rows", "context",
)  # fmt: skip

Random = random.Random


def mutated(seed: int, number: int) -> tuple[str, bytes]:
    """(file name, content) of the mutated file `number`."""
    chance = random.Random(f"{seed}/{number}")
    if chance.random() < 0.5:
        name, raw = chance.choice(_seeds())
    else:
        name, raw = _strange_rows(chance)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 4))):
        raw = chance.choice(BYTE_MUTATIONS)(chance, raw)
    raw = _packed_again(chance, raw)
    ending = (
        name.rpartition("/")[2].rpartition(".")[2]
        if chance.random() < 0.8
        else chance.choice(("jsonl", "csv", "txt", "gz", "zip", "parquet"))
    )
    return f"{number}.{ending}", raw


@cache
def _seeds() -> list[tuple[str, bytes]]:
    """The files of the corpus that are small, good and bad ones."""
    small = [(name, case.content) for name, case in CASES.items() if isinstance(case.content, bytes)]
    made = [
        (name, CASES[name].bytes())
        for name in CASES
        if name.startswith("parquet") and name not in dict(small)
    ]
    return [(name, raw) for name, raw in small + made if len(raw) <= LARGEST_SEED]


def _place(chance: Random, raw: bytes) -> int:
    """Anywhere, but often near the beginning or the end, where formats keep what matters."""
    size = len(raw)
    where = chance.random()
    if where < 0.3:
        return chance.randint(0, min(size, 64))
    return size - chance.randint(0, min(size, 64)) if where < 0.5 else chance.randint(0, size)


def _slice(chance: Random, raw: bytes) -> tuple[int, int]:
    start = _place(chance, raw)
    return start, min(len(raw), start + chance.choice((1, 2, 5, 30, 300, 5000)))


def _flip(chance: Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(chance.choice((1, 1, 3, 20))):
        if changed:
            place = min(_place(chance, raw), len(changed) - 1)
            changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(chance: Random, raw: bytes) -> bytes:
    start, end = _slice(chance, raw)
    return raw[:start] + chance.choice((bytes(end - start), chance.randbytes(end - start))) + raw[end:]


def _cut(chance: Random, raw: bytes) -> bytes:
    return raw[: _place(chance, raw)] if chance.random() < 0.7 else raw[_place(chance, raw) :]


def _remove(chance: Random, raw: bytes) -> bytes:
    start, end = _slice(chance, raw)
    return raw[:start] + raw[end:]


def _double(chance: Random, raw: bytes) -> bytes:
    start, end = _slice(chance, raw)
    return raw[:end] + raw[start:end] * chance.choice((1, 1, 2, 100)) + raw[end:]


def _insert(chance: Random, raw: bytes) -> bytes:
    start = _place(chance, raw)
    return raw[:start] + chance.choice(NASTY_BYTES) + raw[start:]


def _splice(chance: Random, raw: bytes) -> bytes:
    other = chance.choice(_seeds())[1]
    return raw[: _place(chance, raw)] + other[_place(chance, other) :]


def _shuffle_lines(chance: Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)[:5000]
    chance.shuffle(lines)
    return b"".join(lines)


def _other_line_ends(chance: Random, raw: bytes) -> bytes:
    return raw.replace(b"\n", chance.choice((b"\r", b"\r\n", b"\n\r", b"\x0b", b"\x85", b"")))


BYTE_MUTATIONS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip,
    _overwrite,
    _cut,
    _remove,
    _double,
    _insert,
    _insert,
    _splice,
    _shuffle_lines,
    _other_line_ends,
)


def _packed_again(chance: Random, raw: bytes) -> bytes:
    draw = chance.random()
    if draw > 0.12:
        return raw
    packed = (
        gzip.compress(raw, 1, mtime=0)
        if draw < 0.06
        else zipped({chance.choice(("a.csv", "b.jsonl", "c")): raw})
    )
    return chance.choice(BYTE_MUTATIONS)(chance, packed) if chance.random() < 0.6 else packed


def _strange_rows(chance: Random) -> tuple[str, bytes]:
    """Rows with strange values, written in one of the formats."""
    usual: list[Any] = [*ROWS, {"messages": CHAT}, {"messages": OTHER_CHAT}]
    usual.append({"conversations": [{"from": "human", "value": "a b"}, {"from": "gpt", "value": "c d"}]})
    usual.append({"prompt": CHAT[:1], "completion": CHAT[1:2], "history": [["a", "b"]]})
    rows = json.loads(json.dumps([chance.choice(usual) for _ in range(chance.choice((1, 2, 3, 8, 60)))]))
    for _ in range(chance.choice((1, 1, 2, 6))):
        rows = _strange(chance, rows)
    return chance.choice(WRITERS)(chance, rows if isinstance(rows, list) else [rows])


def _strange(chance: Random, value: Any) -> Any:
    """The same JSON with one place in it made strange."""
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        return [*value[:place], _strange(chance, value[place]), *value[place + 1 :]]
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        if chance.random() < 0.3:
            return {(chance.choice(KEYS) if name == key else name): entry for name, entry in value.items()}
        return {**value, key: _strange(chance, value[key])}
    if isinstance(value, dict) and chance.random() < 0.5:
        return {**value, chance.choice(KEYS): chance.choice(NASTY_VALUES)}
    if isinstance(value, str) and chance.random() < 0.5:
        place = chance.randint(0, len(value))
        return value[:place] + chance.choice(NASTY_TEXTS) + value[place:]
    return chance.choice((*NASTY_VALUES, *NASTY_TEXTS))


def _dump(chance: Random, value: Any, indent: int | None = None) -> bytes:
    """JSON; half characters stay the escapes that they are in files."""
    if chance.random() < 0.5:
        return json.dumps(value, indent=indent).encode()
    return json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _as_lines(chance: Random, rows: list[Any]) -> tuple[str, bytes]:
    end = chance.choice((b"\n", b"\r\n", b"\n\n"))
    return "x.jsonl", b"".join(_dump(chance, row) + end for row in rows)


def _as_array(chance: Random, rows: list[Any]) -> tuple[str, bytes]:
    return "x.json", _dump(chance, rows, chance.choice((None, 1)))


def _as_data(chance: Random, rows: list[Any]) -> tuple[str, bytes]:
    around = {chance.choice(KEYS): chance.choice(NASTY_VALUES), chance.choice(("data", "rows", "faq")): rows}
    return "x.json", _dump(chance, around)


def _as_columns(chance: Random, rows: list[Any]) -> tuple[str, bytes]:
    table = [row for row in rows if isinstance(row, dict)]
    names = {name for row in table for name in row}
    return "x.json", _dump(chance, {name: [row.get(name) for row in table] for name in sorted(names)})


def _as_csv(chance: Random, rows: list[Any]) -> tuple[str, bytes]:
    table = [row for row in rows if isinstance(row, dict)] or [{}]
    names = sorted({name for row in table for name in row})
    out = io.StringIO()
    writer = csv.writer(
        out, delimiter=chance.choice(",;\t|"), quoting=chance.choice((csv.QUOTE_ALL, csv.QUOTE_MINIMAL))
    )
    writer.writerow(names)
    for row in table:
        cells = [row.get(name, "") for name in names]
        writer.writerow([cell if isinstance(cell, str) else json.dumps(cell) for cell in cells])
    codec = chance.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"))
    return "x.csv", out.getvalue().encode(codec, "replace" if codec == "latin-1" else "surrogatepass")


def _as_parquet(chance: Random, rows: list[Any]) -> tuple[str, bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    try:
        pq.write_table(pa.Table.from_pylist([row for row in rows if isinstance(row, dict)]), out)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):  # no one type for a whole column
        return _as_lines(chance, rows)
    return "x.parquet", out.getvalue()


WRITERS = (_as_lines, _as_lines, _as_array, _as_data, _as_columns, _as_csv, _as_csv, _as_parquet)
