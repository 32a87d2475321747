"""The readers: content decides, values stay as written, each row knows its place, a bad row is told."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.base.home import APP_FOLDER
from core.data.read import Row, Unreadable, expand, flow, open_source, preview_rows, read_rows
from core.data.read.formats import json_document

TWO = [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]
LINES = '{"a": "1", "b": "x"}\n{"a": "2", "b": "y"}\n'
ARRAY = b'[{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]'


def zipped(*entries: tuple[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in entries:
            archive.writestr(name, raw)
    return target.getvalue()


def parquet(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    target = io.BytesIO()
    parquet.write_table(pa.table(columns), target)
    return target.getvalue()


SAME_ROWS = {
    "json lines": LINES.encode(),
    "byte order mark": b"\xef\xbb\xbf" + LINES.encode(),
    "UTF-16 little endian": b"\xff\xfe" + LINES.encode("utf-16-le"),
    "UTF-16 big endian": b"\xfe\xff" + LINES.encode("utf-16-be"),
    "UTF-16 CSV": "a,b\n1,x\n2,y\n".encode("utf-16"),
    "UTF-16 array": ARRAY.decode().encode("utf-16"),
    "CRLF": LINES.replace("\n", "\r\n").encode(),
    "CR only": LINES.replace("\n", "\r").encode(),
    "no final newline": LINES.rstrip().encode(),
    "blank lines": LINES.replace("\n", "\n\n  \n").encode(),
    "array": ARRAY,
    "array with byte order mark": b"\xef\xbb\xbf" + ARRAY,
    "array over lines": b'[\n {"a": "1", "b": "x"},\n {"a": "2",\n "b": "y"}\n]\n',
    "array of numbers": b'[{"a":1,"b":"x"},{"a":2,"b":"y"}]',
    "data": b'{"data": [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]}',
    "data and facts": b'{"version": [[1]], "data": [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}], "n": {}}',
    "under another name": b'{"about": {"n": 2}, "faq": [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]}',
    "columns": b'{"a": ["1", "2"], "b": ["x", "y"]}',
    "numbers": b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}',
    "CSV": b"a,b\n1,x\n2,y\n",
    "CSV with byte order mark": b"\xef\xbb\xbfa,b\n1,x\n2,y\n",
    "CSV with CR only": b"a,b\r1,x\r2,y",
    "semicolons": b"a;b\n1;x\n2;y\n",
    "tabs": b"a\tb\n1\tx\n2\ty\n",
    "bars": b"a|b\n1|x\n2|y\n",
    "commas in a header of semicolons": b'"a";b\n1;x\n2;y\n',
    "padded header": b" a , b\n1,x\n2,y\n",
    "blank CSV lines": b"a,b\n\n1,x\n\n2,y\n\n",
    "gzip": gzip.compress(LINES.encode()),
    "gzip in two members": gzip.compress(LINES[:21].encode()) + gzip.compress(LINES[21:].encode()),
    "gzip of an array": gzip.compress(ARRAY),
    "gzip of UTF-16": gzip.compress(LINES.encode("utf-16")),
    "zip": zipped(("rows.jsonl", LINES.encode())),
    "zip of a Mac": zipped(
        ("folder/rows.csv", b"a,b\n1,x\n2,y\n"),
        ("__MACOSX/folder/._rows.csv", b"\0\5\x16\7"),
        ("folder/.DS_Store", b""),
    ),
    "Parquet": parquet({"a": ["1", "2"], "b": ["x", "y"]}),
    "Parquet of numbers": parquet({"a": [1, 2], "b": ["x", "y"]}),
    "gzip of Parquet": gzip.compress(parquet({"a": [1, 2], "b": ["x", "y"]})),
    "zip of Parquet": zipped(("rows.parquet", parquet({"a": [1, 2], "b": ["x", "y"]}))),
}


def written(folder: Path, raw: bytes, name: str = "file.dat") -> Path:
    path = folder / name
    path.write_bytes(raw)
    return path


def rows_of(folder: Path, raw: bytes, name: str = "file.dat") -> list[dict[str, Any]]:
    rows = list(read_rows(written(folder, raw, name)))
    assert all(isinstance(row, Row) for row in rows), rows
    return [row.data for row in rows if isinstance(row, Row)]


@pytest.mark.parametrize("name", ["file.dat", "file.jsonl", "file.json", "file.csv"])
@pytest.mark.parametrize("raw", SAME_ROWS.values(), ids=SAME_ROWS.keys())
def test_every_way_to_write_the_same_rows_gives_the_same_rows(raw: bytes, name: str, tmp_path: Path) -> None:
    assert rows_of(tmp_path, raw, name) == TWO


def test_values_stay_as_written(tmp_path: Path) -> None:
    as_in_csv = [{"a": "007", "b": "NA"}, {"a": "1e5", "b": "None"}, {"a": "2024-01-31", "b": " x "}]
    assert rows_of(tmp_path, b"a,b\n007,NA\n1e5,None\n2024-01-31, x \n") == as_in_csv
    numbers = b'[{"a": 1e5, "b": 0.10}, {"a": 12345678901234567890123, "b": null}, {"a": -0, "b": [0, -1]}]'
    assert rows_of(tmp_path, numbers) == [
        {"a": "1e5", "b": "0.10"},
        {"a": "12345678901234567890123", "b": None},
        {"a": "-0", "b": ["0", "-1"]},
    ]


def test_parquet_values_are_as_json_would_write_them(tmp_path: Path) -> None:
    from datetime import date, datetime

    raw = parquet(
        {
            "text": ["2024-01-31", None],
            "number": [1, -2],
            "share": [0.5, None],
            "yes": [True, False],
            "day": [date(2024, 1, 31), None],
            "time": [datetime(2024, 1, 31, 12, 0, 5), None],
            "messages": [[{"role": "user", "content": "é"}], []],
        }
    )
    assert rows_of(tmp_path, raw) == [
        {
            "text": "2024-01-31",
            "number": "1",
            "share": "0.5",
            "yes": True,
            "day": "2024-01-31",
            "time": "2024-01-31T12:00:05",
            "messages": [{"role": "user", "content": "é"}],
        },
        {
            "text": None,
            "number": "-2",
            "share": None,
            "yes": False,
            "day": None,
            "time": None,
            "messages": [],
        },
    ]


def places(path: Path) -> list[str]:
    return [row.where for row in read_rows(path)]


def test_each_row_knows_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"a": 1}\n\n{"a": "line\\u2028separator"}\n')
    assert places(path) == ["line 1", "line 3"]
    assert places(written(tmp_path, b'a,b\n"two\nlines",1\n3,4\n')) == ["line 2", "line 4"]
    assert places(written(tmp_path, b'[{"a": 1}, {"a": 2}]')) == ["record 1", "record 2"]
    assert places(written(tmp_path, parquet({"a": ["x", "y"]}))) == ["record 1", "record 2"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "text"])
def test_places_hold_over_many_blocks(kind: str, end: str, tmp_path: Path) -> None:
    count, text = 9000, "ä" * 200
    lines = {
        "jsonl": [f'{{"n": "{n}", "t": "{text}"}}' for n in range(count)],
        "json": ["[", *(f'{{"n": "{n}", "t": "{text}"}}{"," * (n < count - 1)}' for n in range(count)), "]"],
        "csv": ["n,t", *(f'{n},"{text}{end}{text}"' for n in range(count))],
        "text": [line for n in range(count) for line in (f"{n} {text * 6}.", "")],
    }[kind]
    path = written(tmp_path, end.join(lines).encode(), "x.md" if kind == "text" else "x")
    source = open_source(path)
    assert source.format.name == kind
    blocks = list(source.blocks())
    assert len(blocks) > 2
    assert [block.read for block in blocks] == sorted(block.read for block in blocks)
    assert blocks[-1].read == source.size
    rows = [row for block in pickle.loads(pickle.dumps(blocks)) for row in block.rows()]
    assert len(rows) == count
    for number in (0, 1, count // 2, count - 1):
        row = rows[number]
        assert isinstance(row, Row)
        assert row.data.get("n", row.data.get("text", "").split(" ")[0]) == str(number)
        line = {"jsonl": number + 1, "json": number + 1, "csv": 2 * number + 2, "text": 2 * number + 1}[kind]
        assert row.where == f"{'record' if kind == 'json' else 'line'} {line}"


def test_the_hash_is_that_of_the_bytes_on_disk(tmp_path: Path) -> None:
    for name, raw in SAME_ROWS.items():
        source = open_source(written(tmp_path, raw))
        first = next(source.blocks())
        assert first.read <= source.size == len(raw)
        assert source.sha256 == hashlib.sha256(raw).hexdigest(), name
        source = open_source(source.path)
        assert [row for block in source.blocks() for row in block.rows()]
        assert source.sha256 == hashlib.sha256(raw).hexdigest(), name


@pytest.mark.parametrize(
    ("raw", "format", "encoding", "packed", "delimiter"),
    [
        (b"\xef\xbb\xbfa;b\n1;2\n", "csv", "utf-8-bom", "", ";"),
        ("a\tb\n1\t2\n".encode("utf-16"), "csv", "utf-16", "", "\t"),
        (gzip.compress(LINES.encode()), "jsonl", "utf-8", "gzip", ""),
        (zipped(("x.json", ARRAY)), "json", "utf-8", "zip", ""),
        (parquet({"a": ["1"]}), "parquet", "", "", ""),
    ],
    # gzip writes the time of day into its bytes: no name for a test
    ids=["byte order mark", "UTF-16", "gzip", "zip", "Parquet"],
)
def test_a_source_says_what_it_is(
    raw: bytes, format: str, encoding: str, packed: str, delimiter: str, tmp_path: Path
) -> None:
    source = open_source(written(tmp_path, raw))
    assert (source.format.name, source.encoding, source.packed) == (format, encoding, packed)
    delimiter_read = getattr(source.format, "delimiter", "")
    assert (delimiter_read, source.size, source.path.name) == (delimiter, len(raw), "file.dat")


def test_a_line_separator_inside_text_ends_no_line(tmp_path: Path) -> None:
    raw = '{"a": "one\u2028two\u0085three"}\n{"a": "four"}\n'.encode()
    assert rows_of(tmp_path, raw) == [{"a": "one\u2028two\u0085three"}, {"a": "four"}]
    raw = "a,b\none\u2028two\u0085three,\x0b\x1cfour\n".encode()
    assert rows_of(tmp_path, raw) == [{"a": "one\u2028two\u0085three", "b": "\x0b\x1cfour"}]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
        b'{"messages": [{"role": "user", "content": "a"}], "tools": [{"name": "f"}]}',
        b'{"data": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
        b'{"question": "a", "answer": "b", "sources": [{"url": "c"}]}',
        b'{\n "question": "a",\n "answer": "b"\n}',
    ],
)
def test_one_object_alone_is_one_row(raw: bytes, tmp_path: Path) -> None:
    assert len(rows_of(tmp_path, raw)) == 1
    assert {"messages", "question", "data"} & rows_of(tmp_path, raw)[0].keys()


@pytest.mark.parametrize("count", [3, 6000])
def test_rows_under_their_ids_are_rows(count: int, tmp_path: Path) -> None:
    records = {f'id "{n}"': {"a": str(n), "b": ["[" * (n % 50), "x" * 200]} for n in range(count)}
    path = written(tmp_path, json.dumps(records).encode())
    with patch.object(json_document, "_LOOKED_AT", 1000):
        rows = list(read_rows(path))
    assert [row.where for row in rows] == [f"record {n}" for n in range(1, count + 1)]
    assert [row.data for row in rows if isinstance(row, Row)] == list(records.values())
    assert preview_rows(path, 2).rows[0][0] == "0"


def test_text_becomes_rows_of_whole_paragraphs(tmp_path: Path) -> None:
    paragraphs = [f"# {n}\r\n" + f"Word {n}. " * 60 for n in range(12)]
    raw = "\r\n\r\n\r\n".join(paragraphs).encode()
    rows = list(read_rows(written(tmp_path, raw, "book.md")))
    texts = [row.data["text"] for row in rows if isinstance(row, Row)]
    assert all(len(text) <= 2000 for text in texts)
    assert "".join("".join(texts).split()) == "".join("".join(paragraphs).split())
    assert [row.where for row in rows][:3] == ["line 1", "line 17", "line 33"]
    assert rows_of(tmp_path, b"\n\n one line, no more \n", "a.txt") == [{"text": " one line, no more"}]


def test_one_endless_paragraph_is_broken_at_sentences(tmp_path: Path) -> None:
    texts = [row["text"] for row in rows_of(tmp_path, b"It goes on. " * 2000, "a.txt")]
    assert all(text.startswith("It") and text.endswith("on.") and len(text) <= 2000 for text in texts)
    assert sum(text.count("It goes on.") for text in texts) == 2000


@pytest.mark.parametrize(
    ("raw", "name", "format"),
    [
        (b"Hello, world\nAnother, line\nAnd, more\n", "a.txt", "text"),
        (b"[Chorus] la la\n[Verse] lo\n", "a.txt", "text"),
        (b"{{ name }}, hello\n", "a.md", "text"),
        (b"question,answer\nwhat?,that\nwho?,me\n", "a.txt", "csv"),
        (b"question,answer\nwhat?,that\nwho?,me\n", "a.jsonl", "csv"),
        (b"question\nwhat?\n", "a.csv", "csv"),
        (b"question\nwhat?\n", "a.txt", "text"),
        (LINES.encode(), "a.txt", "jsonl"),
        (b'{"a": "1"}\n', "a.json", "json"),
        (b'{"a": 1\n{"a": 2}\n', "a.jsonl", "jsonl"),
        (b'null\n{"a": 2}\n', "a.jsonl", "jsonl"),
        (b'{"a": "' + b"x" * 100_000 + b'"}\n{"a": "y"}\n', "a.json", "jsonl"),
    ],
)
def test_the_ending_decides_only_where_the_content_may_be_either(
    raw: bytes, name: str, format: str, tmp_path: Path
) -> None:
    assert open_source(written(tmp_path, raw, name)).format.name == format


def test_folders_become_their_data_files(tmp_path: Path) -> None:
    for name in (
        "b.jsonl",
        "sub/a.csv.gz",
        "README.md",
        "notes.txt",
        "dataset_info.json",
        ".x/c.csv",
        "a.py",
    ):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        written(tmp_path / "set", b"x", name)
    names = [path.relative_to(tmp_path / "set").as_posix() for path in expand([tmp_path / "set"])]
    assert names == ["b.jsonl", "sub/a.csv.gz"]
    (tmp_path / "texts").mkdir()
    note = written(tmp_path / "texts", b"x", "one.md")
    assert expand([tmp_path / "texts", note]) == [note]
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(UserError, match=path.name):
            expand([path])


def test_the_table_of_first_rows_is_all_text(tmp_path: Path) -> None:
    path = written(tmp_path, '{"q": "é", "n": 1.50}\nnull\n{"q": ["x"], "z": null}\n'.encode() * 5)
    table = preview_rows(path, 2)
    assert table.columns == ["q", "n", "z"]
    assert table.rows == [["é", "1.50", ""], ['["x"]', "", ""]]
    assert table.where == ["line 1", "line 3"]


@pytest.mark.parametrize(
    ("begin", "row", "end"),
    [("", '{"a": "%s"}\n', ""), ('[{"a": "b"}', ', {"a": "%s"}', "]"), ("a,b\n", '"x\ny",%s\n', "")],
    ids=["json lines", "list", "table"],
)
def test_a_preview_reads_only_the_beginning(begin: str, row: str, end: str, tmp_path: Path) -> None:
    path = written(tmp_path, (begin + row.replace("%s", "y" * 600) * 8000 + end).encode())
    with patch.object(flow._HashedFile, "read", autospec=True, side_effect=flow._HashedFile.read) as read:
        assert len(preview_rows(path, 3).rows) == 3
    assert sum(call.args[1] for call in read.call_args_list) < 3 * flow.BLOCK_BYTES < path.stat().st_size


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)
RECORDS = st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), min_size=2, max_size=5)


@given(
    records=RECORDS,
    ascii=st.booleans(),
    indent=st.sampled_from([None, 1]),
    piece=st.sampled_from([1, 2, 7, 1000]),
)
@settings(max_examples=30, deadline=None)
def test_any_rows_come_back_however_they_are_written_and_cut(
    records: list[dict[str, Any]],
    ascii: bool,
    indent: int | None,
    piece: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with patch.object(flow, "BLOCK_BYTES", piece):
        check_round_trip(records, ascii, indent, tmp_path_factory)


def check_round_trip(
    records: list[dict[str, Any]],
    ascii: bool,
    indent: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    lines = "\n".join(json.dumps(record, ensure_ascii=ascii) for record in records)
    assert rows_of(folder, lines.encode()) == records
    whole = json.dumps(records, ensure_ascii=ascii, indent=indent)
    assert rows_of(folder, whole.encode()) == records
    if not {"role", "from", "speaker"} & records[0].keys():
        wrapped = json.dumps({"about": "x", "data": records}, ensure_ascii=ascii, indent=indent)
        assert rows_of(folder, wrapped.encode()) == records


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    piece=st.sampled_from([1, 2, 7, 1000]),
)
@example(rows=[("", "", "")], delimiter="\t", end="\n", piece=1)
@settings(max_examples=30, deadline=None)
def test_any_cells_come_back_from_a_table(
    rows: list[tuple[str, ...]],
    delimiter: str,
    end: str,
    piece: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    header = ("one", "two", "three")
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([header, *rows])
    with patch.object(flow, "BLOCK_BYTES", piece):
        found = rows_of(tmp_path_factory.mktemp("cells"), text.getvalue().encode())
    assert found == [dict(zip(header, row, strict=True)) for row in rows]


@given(
    raw=st.binary(max_size=300),
    head=st.sampled_from([b"", b'{"a": ', b"[{", b"a,b\n", b"\x1f\x8b\x08\0", b"PK\3\4", b"PAR1"]),
)
@settings(max_examples=30, deadline=None)
def test_no_bytes_make_any_other_exception(
    raw: bytes, head: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("bytes"), head + raw)
    try:
        assert all(isinstance(row, Row | Unreadable) for row in read_rows(path))
    except UserError as error:
        assert "file.dat" in str(error)


NOTES = """from core.data.read.formats import ReadyBlock, Row, TextFormat


class Notes(TextFormat):
    name, title, help, order, endings = "notes", "notes", "notes, one a line", 5, (".notes",)

    def match(self, head):
        return self if head.raw.startswith(b"#notes") else None

    def text_blocks(self, pieces, name):
        lines = b"".join(piece for _, piece in pieces).decode("utf-8").splitlines()
        rows = [Row({"text": line}, f"line {number}") for number, line in enumerate(lines, 1) if number > 1]
        yield ReadyBlock(1, rows)
"""
ASK_FOR_NOTES = """
import sys
from pathlib import Path
from core.data.read import DATA_ENDINGS, read_rows
from core.models.hub_files import wanted
from tests.readme_tables import formats_table
from ui.files import DATA_SUFFIXES

print([row.data["text"] for row in read_rows(Path(sys.argv[1]))])
print(wanted("dataset", "a.notes", DATA_ENDINGS), ".notes" in DATA_SUFFIXES)
print("| notes, one a line | `.notes` |" in formats_table())
"""


def test_a_new_format_is_one_file(tmp_path: Path) -> None:
    """Reading, uploads, downloads and the README list the folder."""
    for name in ("core", "ui", "tests", "presets"):
        shutil.copytree(APP_FOLDER / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "core/data/read/formats/notes.py").write_text(NOTES, "utf-8")
    data = written(tmp_path, b"#notes\nBuy milk\nCall Ada\n", "a.notes")
    command = [sys.executable, "-c", ASK_FOR_NOTES, str(data)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["['Buy milk', 'Call Ada']", "True True", "True"], done.stderr
