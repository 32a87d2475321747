"""The beginning of a file: what formats are recognised by, and what is something else that has a name."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from core.base.errors import UserError

HEAD_BYTES = 64 * 1024
_LINE_END = re.compile(r"\r\n|\n|\r")
_LINES_LOOKED_AT = 20
_LONGEST_NAME = 60
_DELIMITERS = ",\t;|"
# the line that spreadsheets understand before the header: sep=;
SAYS_DELIMITER = re.compile(r"""\s*sep=([^\w\s"']|\t)(?=[\r\n])""", re.IGNORECASE)
# not each text that begins with a bracket is JSON: “[Chorus]”, “[01.03.24] Anna: hi”, “{{ name }}, hello”
_NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\s*(?:,|\]\s*(?:[\],]|$))"
_JSON = re.compile(
    rf"""\[\s*(?:[\[{{"'\]]|{_NUMBER}|(?:null|true|false)\b|/[/*]|$)|\{{\s*(?:["'}}]|/[/*]|$)"""
)

_ONLY_TEXT = "Only text can be trained. Choose a dataset."
_PICKLE = ("a pickle (Python objects)", "It can run code, so it is never opened. Choose a dataset.")
_PROGRAM = ("a program", "It is never run. Choose a dataset.")
_WEIGHTS = ("a model's weights", "Choose a dataset here; models belong in the model step.")
_YAML = ("YAML", "Export it as JSON or JSONL.")
# how the bytes begin, what that is, and what to do
_FOREIGN = tuple(
    (re.compile(pattern, re.DOTALL), what, remedy)
    for pattern, what, remedy in (
        (rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff", "UTF-32 text", "Save it as UTF-8."),
        (rb".{257}ustar(?:\x00|  \x00)", "a tar archive", "Unpack it and choose the files in it."),
        (rb"PK\x03\x04", "packed twice (a zip inside)", "Unpack it and choose the file in it."),
        (rb"\x1f\x8b", "packed twice (a gzip inside)", "Unpack it and choose the file in it."),
        (
            rb"\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27\x1c|Rar!\x1a|BZh[1-9]1AY",
            "packed in a way that is not read",
            "Unpack it and choose the file in it.",
        ),
        (rb"PARE", "an encrypted Parquet file", "Export it without encryption."),
        (rb"Obj\x01", "an Avro file", "Export it as Parquet or JSONL."),
        (rb"\x89HDF", "an HDF5 file", "Export it as Parquet or JSONL."),
        (rb"\x93NUMPY", "a NumPy array", "Choose a dataset of text."),
        (rb"SQLite format 3", "an SQLite database", "Export the table as CSV."),
        (rb"\xd0\xcf\x11\xe0", "an old Office document", "Save the sheet as CSV and choose that file."),
        (rb"%PDF-", "a PDF document", "Copy its text into a .txt file or a table."),
        (rb"\{\\rtf", "a Rich Text document", "Save it as plain text."),
        (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II\*\x00|MM\x00\*|RIFF.{4}WEBP", "an image", _ONLY_TEXT),
        (
            rb"OggS\x00|fLaC\x00|.{4}ftyp|RIFF.{4}(?:WAVE|AVI )|ID3[\x02-\x04]",
            "sound or video",
            _ONLY_TEXT,
        ),
        (rb"\x7fELF|MZ\x90\x00|#!/", *_PROGRAM),
        (rb"\x80[\x02-\x05]|(?:\(.{0,3})?c[\w.]+\n\w+\n[(p]", *_PICKLE),
        # of safetensors: the length of its header in eight bytes, then the header
        (rb'GGUF[\x00-\x08]|(?=.{8}\{\s*").{0,7}\x00', *_WEIGHTS),
        (
            rb"(?:\xef\xbb\xbf)?\s*<(?i:!doctype|html|head|body|\?xml)\b",
            "a web page or XML, perhaps an error page",
            "Download the file itself.",
        ),
        (
            rb"(?:\xef\xbb\xbf)?\s*version https://git-lfs",
            "only a Git LFS pointer",
            "Fetch the real file (git lfs pull).",
        ),
    )
)
_NEVER_OPENED = {
    **dict.fromkeys((".py", ".exe", ".dll", ".so", ".bat", ".sh"), _PROGRAM),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"), _PICKLE),
    **dict.fromkeys((".yaml", ".yml"), _YAML),
    ".ipynb": ("a notebook", "Export its table as CSV or JSONL."),
    ".safetensors": _WEIGHTS,
}


@dataclass(frozen=True)
class Head:
    """How a file begins.

    name: the file's. ending: “.csv” of “a.csv.gz”. promised: the name of the format that the ending belongs
    to, or nothing. raw: the first bytes. text: the same as text, not only white space; empty while it isn't
    sure that the file is text. whole: the file ends where this does.
    """

    name: str
    ending: str
    promised: str
    raw: bytes
    text: str = ""
    whole: bool = False

    @cached_property
    def lines(self) -> list[str]:
        """The first lines; the last of them is all the rest."""
        return _LINE_END.split(self.text.strip(), maxsplit=_LINES_LOOKED_AT)

    @property
    def promises_json(self) -> bool:
        return self.promised in ("jsonl", "json")

    @cached_property
    def begins_as_json(self) -> bool:
        """Whether it is JSON by its content; where text might begin so as well, the ending settles it."""
        start = self.text.lstrip()
        return _JSON.match(start) is not None or (self.promises_json and start[0] in "[{")

    @cached_property
    def delimiter(self) -> str | None:
        """The delimiter of a table: what its first line says it is (sep=;), one that gives the first rows the
        same number of cells, or the one that stands most often in the header, outside quotes; None where the
        header has none.
        """
        says = SAYS_DELIMITER.match(self.text)
        if says:
            return says[1]
        header = re.sub(r'"[^"]*"', "", _LINE_END.split(self.text.lstrip("\r\n"), maxsplit=1)[0])
        marks = sorted((mark for mark in _DELIMITERS if mark in header), key=header.count, reverse=True)
        even = [mark for mark in marks if self._even_rows(mark)]
        return (even or marks or [None])[0]

    @cached_property
    def is_table(self) -> bool:
        """Whether it is surely a table: a header of short names and rows with just as many cells."""
        rows = self._even_rows(self.delimiter) if self.delimiter else []
        if len(rows) < 2:
            return False
        names = rows[0]
        short = all(name.strip() and len(name) <= _LONGEST_NAME for name in names)
        return short and len(set(names)) == len(names)

    def _even_rows(self, delimiter: str) -> list[list[str]]:
        """The first rows as `delimiter` cuts them; none of them if their numbers of cells differ."""
        lines = list(io.StringIO(self.text, newline=""))
        reader = csv.reader(iter(lines if self.whole else lines[:-1]), delimiter=delimiter, strict=True)
        rows: list[list[str]] = []
        try:
            for row in islice(reader, _LINES_LOOKED_AT):
                rows += [row] if row else []
        except csv.Error:
            # Where the look ends, a quoted cell may be cut; elsewhere this is no table by this delimiter.
            if self.whole:
                return []
        return rows if len({len(row) for row in rows}) == 1 else []


def refuse_foreign(head: Head) -> None:
    """Raise UserError for everything that is no dataset, by its content and by endings that promise none."""
    for pattern, what, remedy in _FOREIGN:
        if pattern.match(head.raw):
            raise UserError(f"{head.name} is {what}. {remedy}")
    if head.ending in _NEVER_OPENED:
        what, remedy = _NEVER_OPENED[head.ending]
        raise UserError(f"{head.name} is {what}. {remedy}")


def refuse_binary(name: str, head: bytes, choices: str) -> None:
    """Raise UserError for what has a byte pattern that no text without a byte order mark has."""
    # Every second byte of UTF-16 is zero in most scripts' first lines; text may hold a stray one.
    start = head[:1000]
    zeros = start.count(0) > len(start) // 4 or 0 in head[:2]
    if zeros:
        halves = (start[0::2].count(0), start[1::2].count(0))
        if max(halves) > len(start) // 4 and min(halves) <= len(start) // 20:
            raise UserError(f"{name} is UTF-16 text without its byte order mark. Save it as UTF-8.")
    strange = sum(byte < 32 and byte not in b"\t\n\r\x0c\x1b\x00" for byte in start)
    if zeros or strange > 20 + len(start) // 10:
        raise UserError(f"{name} is a binary file, no text. Choose {choices}.")


def ending_of(name: str) -> str:
    return "." + name.rsplit(".", 1)[1].lower() if "." in name else ""
