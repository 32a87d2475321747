"""What a file is, by its first bytes: one of the formats that are read, or something else with a name."""

from __future__ import annotations

import re
from typing import Literal

import orjson

from core.base.errors import UserError
from core.data.read.csv_table import find_delimiter, is_tabular

Format = Literal["jsonl", "json", "csv", "parquet", "text"]

HEAD_BYTES = 64 * 1024
_JSON_ENDINGS = (".json", ".jsonl", ".ndjson", ".jl", ".geojson")
_TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".psv")
TEXT_ENDINGS = (".txt", ".md", ".markdown", ".text", ".rst")
_LINE_END = re.compile(r"\r\n|\n|\r")
_LINES_LOOKED_AT = 20
# not each text that begins with a bracket is JSON: “[Chorus]”, “{{ name }}, hello”
_JSON = re.compile(r"""\[\s*(?:[\[{"'\d\-\]]|null|true|false|/[/*]|$)|\{\s*(?:["'}]|/[/*]|$)""")

_PICKLE = ("a pickle (Python objects)", "It can run code, so it is never opened. Choose a dataset.")
_IMAGE = ("an image", "Only text can be trained. Choose a dataset.")
_MEDIA = ("sound or video", "Only text can be trained. Choose a dataset.")
_TAR = ("a tar archive", "Unpack it and choose the files in it.")
_PACKED = ("packed in a way that is not read", "Unpack it and choose the file in it.")
_PROGRAM = ("a program", "It is never run. Choose a dataset.")
_WEIGHTS = ("a model's weights", "Choose a dataset here; models belong in the model step.")
_FOREIGN: tuple[tuple[bytes, int, str, str], ...] = (
    (b"\xff\xfe\x00\x00", 0, "UTF-32 text", "Save it as UTF-8."),
    (b"\x00\x00\xfe\xff", 0, "UTF-32 text", "Save it as UTF-8."),
    (b"ustar\x00", 257, *_TAR),
    (b"ustar  \x00", 257, *_TAR),
    (b"PK\x03\x04", 0, "packed twice (a zip inside)", "Unpack it and choose the file in it."),
    (b"\x1f\x8b", 0, "packed twice (a gzip inside)", "Unpack it and choose the file in it."),
    (b"\xfd7zXZ", 0, *_PACKED),
    (b"\x28\xb5\x2f\xfd", 0, *_PACKED),
    (b"7z\xbc\xaf\x27\x1c", 0, *_PACKED),
    (b"Rar!\x1a", 0, *_PACKED),
    (b"PARE", 0, "an encrypted Parquet file", "Export it without encryption."),
    (b"ARROW1", 0, "an Arrow file", "Export it as Parquet or JSONL."),
    (b"\xff\xff\xff\xff", 0, "an Arrow stream", "Export it as Parquet or JSONL."),
    (b"Obj\x01", 0, "an Avro file", "Export it as Parquet or JSONL."),
    (b"\x89HDF", 0, "an HDF5 file", "Export it as Parquet or JSONL."),
    (b"\x93NUMPY", 0, "a NumPy array", "Choose a dataset of text."),
    (b"SQLite format 3", 0, "an SQLite database", "Export the table as CSV."),
    (b"\xd0\xcf\x11\xe0", 0, "an old Office document", "Save the sheet as CSV and choose that file."),
    (b"%PDF-", 0, "a PDF document", "Copy its text into a .txt file or a table."),
    (b"{\\rtf", 0, "a Rich Text document", "Save it as plain text."),
    (b"\x89PNG", 0, *_IMAGE),
    (b"\xff\xd8\xff", 0, *_IMAGE),
    (b"GIF87a", 0, *_IMAGE),
    (b"GIF89a", 0, *_IMAGE),
    (b"II*\x00", 0, *_IMAGE),
    (b"MM\x00*", 0, *_IMAGE),
    (b"OggS\x00", 0, *_MEDIA),
    (b"fLaC\x00", 0, *_MEDIA),
    (b"ftyp", 4, *_MEDIA),
    (b"\x7fELF", 0, *_PROGRAM),
    (b"MZ\x90\x00", 0, *_PROGRAM),
    (b"#!/", 0, *_PROGRAM),
)
_FOREIGN_PATTERNS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"\x80[\x02-\x05]"), *_PICKLE),
    (re.compile(rb"(?:\(.{0,3})?c[\w.]+\n\w+\n[(p]", re.DOTALL), *_PICKLE),
    (re.compile(rb"GGUF[\x00-\x08]"), *_WEIGHTS),
    # safetensors: the length of its header in eight bytes, then the header
    (re.compile(rb'(?=[\s\S]{8}\{\s*")[\s\S]{0,7}\x00'), *_WEIGHTS),
    (re.compile(rb"RIFF[\s\S]{4}WEBP"), *_IMAGE),
    (re.compile(rb"RIFF[\s\S]{4}(?:WAVE|AVI )|ID3[\x02-\x04]"), *_MEDIA),
    (re.compile(rb"BZh[1-9]1AY"), *_PACKED),
    (
        re.compile(rb"(?:\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml)\b", re.IGNORECASE),
        "a web page or XML, perhaps an error page",
        "Download the file itself.",
    ),
    (
        re.compile(rb"(?:\xef\xbb\xbf)?\s*version https://git-lfs"),
        "only a Git LFS pointer",
        "Fetch the real file (git lfs pull).",
    ),
)
_NEVER_OPENED = {
    ".py": _PROGRAM,
    ".ipynb": ("a notebook", "Export its table as CSV or JSONL."),
    ".exe": _PROGRAM,
    ".dll": _PROGRAM,
    ".so": _PROGRAM,
    ".bat": _PROGRAM,
    ".sh": _PROGRAM,
    ".pkl": _PICKLE,
    ".pickle": _PICKLE,
    ".pt": _PICKLE,
    ".pth": _PICKLE,
    ".ckpt": _PICKLE,
    ".joblib": _PICKLE,
    ".safetensors": _WEIGHTS,
    ".yaml": ("YAML", "Export it as JSON or JSONL."),
    ".yml": ("YAML", "Export it as JSON or JSONL."),
}


def refuse_foreign(name: str, inner: str, head: bytes) -> None:
    """Raise UserError for everything that is no dataset, by its content and by endings that promise none."""
    for magic, offset, what, remedy in _FOREIGN:
        if head.startswith(magic, offset):
            raise UserError(f"{name} is {what}. {remedy}")
    for pattern, what, remedy in _FOREIGN_PATTERNS:
        if pattern.match(head):
            raise UserError(f"{name} is {what}. {remedy}")
    if ending_of(inner) in _NEVER_OPENED:
        what, remedy = _NEVER_OPENED[ending_of(inner)]
        raise UserError(f"{name} is {what}. {remedy}")


def refuse_binary(name: str, head: bytes) -> None:
    """Raise UserError for what has a byte pattern that no text without a byte order mark has."""
    # Every second byte of UTF-16 is zero in most scripts' first lines; text may hold a stray one.
    start = head[:1000]
    if start.count(0) > len(start) // 4 or 0 in head[:2]:
        halves = (start[0::2].count(0), start[1::2].count(0))
        if max(halves) > len(start) // 4 and min(halves) <= len(start) // 20:
            raise UserError(f"{name} is UTF-16 text without its byte order mark. Save it as UTF-8.")
        raise UserError(f"{name} is a binary file, no text. Choose JSONL, JSON, CSV, Parquet or text.")
    strange = sum(byte < 32 and byte not in b"\t\n\r\x0c\x1b\x00" for byte in start)
    if strange > 20 + len(start) // 10:
        raise UserError(f"{name} is a binary file, no text. Choose JSONL, JSON, CSV, Parquet or text.")


def ending_of(name: str) -> str:
    return "." + name.rsplit(".", 1)[1].lower() if "." in name else ""


def text_format(name: str, inner: str, start: str, whole: bool) -> tuple[Format, str]:
    """(format, delimiter) of a text file that begins with `start`, which is not only white space.

    `whole`: the file ends where `start` does. JSON is seen by its content; the ending decides only where the
    content could be either, such as a table of one column and a text.
    """
    ending = ending_of(inner)
    lines = _LINE_END.split(start.strip(), maxsplit=_LINES_LOOKED_AT)
    if _JSON.match(start.lstrip()) or (ending in _JSON_ENDINGS and start.lstrip()[0] in "[{"):
        return ("jsonl" if _is_json_lines(lines) else "json"), ""
    if ending in _JSON_ENDINGS and not is_tabular(start, whole):
        return _broken_json(name, ending, lines), ""
    if ending in TEXT_ENDINGS and (", " in lines[0] or not is_tabular(start, whole)):
        return "text", ""
    delimiter = find_delimiter(start, whole)
    if delimiter is None and ending not in _TABLE_ENDINGS:
        return "text", ""
    return "csv", delimiter or ("\t" if ending in (".tsv", ".tab") else ",")


def _is_json_lines(lines: list[str]) -> bool:
    """Whether each line is a JSON value of its own, judged by the first lines."""
    first, *more = lines
    more = [line for line in more if line.strip()]
    if not more:
        return False
    if _is_json(first) or (first[0] == "{" and _is_json(first.rstrip().rstrip(","))):
        return True
    # A broken first line of JSONL is still followed by whole objects; a document's first line is open.
    if first[0] == "[" or first.rstrip()[-1] in "{[,:":
        return False
    second = more[0].lstrip()
    return second.startswith("{") and (_is_json(second) or first.rstrip().endswith("}"))


def _is_json(line: str) -> bool:
    try:
        orjson.loads(line)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return False
    return True


def _broken_json(name: str, ending: str, lines: list[str]) -> Format:
    """JSON that does not begin with a bracket: rows that are none, or a comment in front."""
    lines = [line.lstrip() for line in lines]
    if ending != ".json" and any(line.startswith("{") or _is_json(line) for line in lines):
        return "jsonl"
    if any(line.startswith(("{", "[")) for line in lines):
        return "json"
    raise UserError(
        f"{name} is no JSON: it begins with “{lines[0][:40]}”. Choose the dataset itself, or name the file "
        "after what it holds (.csv, .txt)."
    )
