"""Reads JSONL, JSON and CSV into rows that know where they stood. The content decides, not the ending."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from core.errors import UserError

_ROW_LISTS = ("data", "rows", "train", "examples", "items", "records", "samples", "instances", "questions")
_TURN_KEYS = {"role", "from", "speaker"}
_LONGEST_FIELD = 10 * 1024 * 1024
_DEEPEST = 64
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_LINE_END = re.compile(r"\r\n|\n|\r")
_DELIMITERS = ",\t;|"
_NOT_TEXT = (
    (b"PK\x03\x04", "a zip archive (or a spreadsheet, which is one)", "unpack it or export it as CSV"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it"),
    (b"PAR1", "a Parquet file", "export it as JSONL or CSV"),
    (b"GGUF", "a GGUF model", "choose a dataset"),
    (b"\xff\xfe\x00\x00", "UTF-32 text", "save it as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "save it as UTF-8"),
)
_NOT_DATA = (
    (
        re.compile(r"<(!doctype\s+html|html)\b", re.IGNORECASE),
        "is a web page, perhaps an error page. Download the file itself.",
    ),
    (
        re.compile(r"version https://git-lfs"),
        "is only a Git LFS pointer. Fetch the real file (git lfs pull).",
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it stood in the file: column → value, and its place (“line 12”, “record 3”)."""

    data: dict[str, Any]
    where: str


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows as text, for a table on the page: one list of cells and one place per row."""

    columns: list[str]
    rows: list[list[str]]
    where: list[str]


class WrittenNumber(str):
    """A JSON number kept as it was written: `1e5` stays `1e5`, `0.10` stays `0.10`."""


def read_rows(path: Path) -> Iterator[Row]:
    """The file's rows in order, values as text where they were text or numbers.

    Raises UserError naming the file, the row and what to do when any row is broken.
    """
    text = _text(path)
    start = text.lstrip()
    if not start:
        raise UserError(f"{path.name} is empty. Choose a file with at least one row.")
    for pattern, sentence in _NOT_DATA:
        if pattern.match(start):
            raise UserError(f"{path.name} {sentence}")
    if start[0] not in "[{":
        return _csv_rows(text, path.name)
    return _json_lines(text, path.name) if _is_json_lines(start) else _json_rows(text, path.name)


def preview_rows(path: Path, n: int = 20) -> Table:
    """The first `n` rows with every cell as text, columns in the order of their first appearance."""
    rows = list(islice(read_rows(path), n))
    columns = list(dict.fromkeys(column for row in rows for column in row.data))
    cells = [[_cell(row.data.get(column)) for column in columns] for row in rows]
    return Table(columns, cells, [row.where for row in rows])


def parse_json(text: str) -> Any:
    """Strict JSON with numbers kept as written.

    Raises ValueError with a plain reason for bad syntax, NaN, lone surrogates, a key that stands twice in
    one object, or nesting too deep.
    """
    # orjson is the strict judge; the standard parser then shows what orjson hides (twins, written numbers).
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(_json_reason(text, error)) from None
    if _depth(text) > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
    return json.loads(text, object_pairs_hook=_no_twins, parse_int=WrittenNumber, parse_float=WrittenNumber)


def _depth(text: str) -> int:
    """How deep valid JSON nests; short cut for the usual row, which has few brackets at all."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return 0
    depth = deepest = 0
    for token in _STRING_OR_BRACKET.findall(text):
        depth += (token in "[{") - (token in "]}")
        deepest = max(deepest, depth)
    return deepest


def _json_reason(text: str, error: orjson.JSONDecodeError) -> str:
    if "depth" in error.msg or "ecursion" in error.msg:
        return f"it is nested more than {_DEEPEST} levels deep"
    if "surrogate" in error.msg:
        return "it holds half of a character pair (a lone \\ud8xx escape)"
    if re.match(r"-?(NaN|Infinity)", text[max(error.pos - 1, 0) : error.pos + 9].lstrip(" :,[")):
        return "NaN and Infinity are not JSON"
    if text.startswith("\ufeff", error.pos):
        return "it holds a byte order mark in its middle"
    return f"not valid JSON: {re.sub(r': line [0-9].*$', '', error.msg)} (column {error.colno})"


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twin = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key “{twin}” stands twice in one object")
    return found


def _text(path: Path) -> str:
    """The file's text: UTF-8 with or without byte order mark, or UTF-16 with one."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}. Check the path.") from error
    for magic, what, remedy in _NOT_TEXT:
        if raw.startswith(magic):
            raise UserError(f"{path.name} is {what}, which can't be read yet: {remedy}.")
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # Every second byte of UTF-16 is zero in most scripts' first lines; text may hold a stray one.
    if encoding != "utf-16" and (0 in raw[:2] or raw[:1000].count(0) > 250):
        raise UserError(
            f"{path.name} is not UTF-8 text (binary, or UTF-16 without its mark). Save it as UTF-8."
        )
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(_LINE_END.findall(raw[: error.start].decode(encoding, "replace"))) + 1
        raise UserError(
            f"{path.name}, line {line} is not valid {error.encoding.upper()} text "
            f"(byte 0x{raw[error.start]:02X}). Save the file as UTF-8 and choose it again."
        ) from error


def _is_json_lines(start: str) -> bool:
    """Whether each line is a JSON value of its own, judged by the first line."""
    first, *more = _LINE_END.split(start, maxsplit=1)
    if not more or not more[0].strip():
        return False
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        # A broken first line of JSONL still looks like one whole object and is followed by another.
        return first[0] == "{" and first.rstrip().endswith("}") and more[0].lstrip().startswith("{")
    return True


def _json_lines(text: str, name: str) -> Iterator[Row]:
    for number, line in enumerate(_LINE_END.split(text), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            value = parse_json(line)
        except ValueError as error:
            raise UserError(f"{name}, {where}: {error}. Correct or remove that line.") from error
        yield Row(_record(value, name, where), where)


def _json_rows(text: str, name: str) -> Iterator[Row]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise UserError(f"{name}: {_with_line(text, str(error))}. Correct the file there.") from error
    for number, record in enumerate(_records(value, name), start=1):
        where = f"record {number}"
        yield Row(_record(record, name, where), where)


def _with_line(text: str, reason: str) -> str:
    """`reason` with the line of a syntax error in a JSON document that spans several lines."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"line {error.lineno}: {reason}"
    return reason


def _records(value: Any, name: str) -> list[Any]:
    """The records of a JSON document: an array, one under a name, a dict of columns, or one object alone."""
    if isinstance(value, list):
        if not value:
            raise UserError(f"{name} holds an empty list. Choose a file with at least one row.")
        return value
    for key, entry in value.items():
        if _is_row_list(entry) and (key in _ROW_LISTS or _is_wrapping(value)):
            return entry
    columns = list(value.values())
    if columns and all(isinstance(column, list) and column and not _is_chat(column) for column in columns):
        return _rows_from_columns(value, name)
    return [value]


def _is_row_list(entry: Any) -> bool:
    """Whether it is a list of rows, and not the turns of one chat."""
    if not isinstance(entry, list) or not entry:
        return False
    return all(isinstance(item, dict) and not _TURN_KEYS & item.keys() for item in entry)


def _is_wrapping(value: dict[str, Any]) -> bool:
    """Whether an object holds one list and facts about it, rather than being a row itself."""
    kinds = [type(entry) for entry in value.values()]
    return kinds.count(list) == 1 and str not in kinds


def _is_chat(column: list[Any]) -> bool:
    return isinstance(column[0], dict)


def _rows_from_columns(columns: dict[str, list[Any]], name: str) -> list[dict[str, Any]]:
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise UserError(f"{name}: its columns differ in length ({said}). Give every column one value a row.")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _record(value: Any, name: str, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    kind = "a list" if isinstance(value, list) else "null" if value is None else "a single value"
    raise UserError(
        f"{name}, {where} is {kind}, not an object with named columns. "
        'Write each row like {"question": "…", "answer": "…"}.'
    )


def _csv_rows(text: str, name: str) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    header: list[str] | None = None
    count = 0
    for line, cells in _csv_records(reader, name):
        if header is None:
            header = _header(cells, name, line)
            continue
        if len(cells) != len(header):
            raise UserError(
                f"{name}, line {line} has {len(cells)} cells where the header names {len(header)} columns. "
                "Correct that line; text with commas or line breaks must stand in double quotes."
            )
        count += 1
        yield Row(dict(zip(header, cells, strict=True)), f"line {line}")
    if not count:
        raise UserError(f"{name} has a header but no rows. Choose a file with at least one row.")


def _csv_records(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """(first line number, cells) of each record; blank lines are skipped."""
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        reason = "a quote is opened and never closed" if "end of data" in str(error) else str(error)
        raise UserError(
            f"{name}, line {line}: {reason}. Double every quote inside a cell and close the cell with one."
        ) from error


def _header(cells: list[str], name: str, line: int) -> list[str]:
    header = [cell.strip() for cell in cells]
    if "" in header:
        raise UserError(
            f"{name}, line {line}: column {header.index('') + 1} has no name. Name it in the header."
        )
    twins = sorted({column for column in header if header.count(column) > 1})
    if twins:
        raise UserError(f"{name}, line {line}: the header names “{twins[0]}” twice. Rename one of them.")
    return header


def _delimiter(text: str) -> str:
    """The delimiter that stands most often in the header, outside quotes."""
    header = re.sub(r'"[^"]*"', "", _LINE_END.split(text.lstrip(), maxsplit=1)[0])
    return max(_DELIMITERS, key=header.count)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
