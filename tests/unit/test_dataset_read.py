"""The readers: content decides, values stay as written, and a broken row is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.dataset import preview_rows, read_rows
from core.errors import UserError

TWO = [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]
LINES = '{"a": "1", "b": "x"}\n{"a": "2", "b": "y"}\n'

SAME_ROWS = {
    "json lines": LINES.encode(),
    "byte order mark": b"\xef\xbb\xbf" + LINES.encode(),
    "UTF-16 little endian": b"\xff\xfe" + LINES.encode("utf-16-le"),
    "UTF-16 big endian": b"\xfe\xff" + LINES.encode("utf-16-be"),
    "CRLF": LINES.replace("\n", "\r\n").encode(),
    "CR only": LINES.replace("\n", "\r").encode(),
    "no final newline": LINES.rstrip().encode(),
    "blank lines": LINES.replace("\n", "\n\n  \n").encode(),
    "array": b'[{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]',
    "array over lines": b'[\n {"a": "1", "b": "x"},\n {"a": "2",\n "b": "y"}\n]\n',
    "data": b'{"data": [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]}',
    "under another name": b'{"about": {"n": 2}, "faq": [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]}',
    "columns": b'{"a": ["1", "2"], "b": ["x", "y"]}',
    "numbers": b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}',
    "CSV": b"a,b\n1,x\n2,y\n",
    "CSV with CR only": b"a,b\r1,x\r2,y",
    "semicolons": b"a;b\n1;x\n2;y\n",
    "tabs": b"a\tb\n1\tx\n2\ty\n",
    "padded header": b" a , b\n1,x\n2,y\n",
    "blank CSV lines": b"a,b\n\n1,x\n\n2,y\n\n",
}


def rows_of(folder: Path, raw: bytes) -> list[dict[str, object]]:
    path = folder / "file.dat"
    path.write_bytes(raw)
    return [row.data for row in read_rows(path)]


@pytest.mark.parametrize("raw", SAME_ROWS.values(), ids=SAME_ROWS.keys())
def test_every_way_to_write_the_same_rows_gives_the_same_rows(raw: bytes, tmp_path: Path) -> None:
    assert rows_of(tmp_path, raw) == TWO


REFUSED = {
    "empty": (b"", "is empty"),
    "white space": (b" \n\t\n", "is empty"),
    "header only": (b"a,b\n", "no rows"),
    "empty list": (b"[]", "empty list"),
    "bad middle line": (b'{"a": 1}\n{"a": \n{"a": 3}\n', "line 2"),
    "bad first line": (b"{'a': 1}\n{'a': 2}\n", "line 1"),
    "cut last line": (b'{"a": 1}\n{"a": 2}\n{"a', "line 3"),
    "trailing comma": (b'[{"a": 1},]', "trailing comma"),
    "syntax error in a document": (b'{\n "a": 1,\n "b" 2\n}', "line 3"),
    "key twice": (b'{"a": 1}\n{"a": 2, "b": 3, "a": 4}\n', "line 2: the key “a” stands twice"),
    "key twice, array": (b'[{"a": 2, "a": 4}]', "the key “a” stands twice"),
    "NaN": (b'{"a": 1}\n{"a": NaN}\n', "line 2: NaN"),
    "minus infinity": (b'[{"a": -Infinity}]', "NaN and Infinity"),
    "lone surrogate": (b'{"a": 1}\n{"a": "\\ud800"}\n', "line 2: it holds half"),
    "too deep": (b'{"a": ' + b"[" * 2000 + b"]" * 2000 + b"}", "64 levels"),
    "rather deep": (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "64 levels"),
    "null row": (b'{"a": 1}\nnull\n', "line 2 is null"),
    "list row": (b'{"a": 1}\n[1]\n', "line 2 is a list"),
    "scalar in array": (b'[{"a": 1}, 7]', "record 2 is a single value"),
    "Latin-1": (b"a,b\n1,x\n2,caf\xe9\n", "line 3"),
    "UTF-16 without mark": (LINES.encode("utf-16-le"), "UTF-16 without its mark"),
    "ragged CSV": (b"a,b\n1,x\n2\n", "line 3 has 1 cells"),
    "ragged after a long cell": (b'a,b\n1,"x\ny\nz"\n2,y,z\n', "line 5 has 3 cells"),
    "unclosed quote": (b'a,b\n1,x\n2,"y\n', "line 3: a quote is opened"),
    "column twice": (b"a,a\n1,2\n", "“a” twice"),
    "column without name": (b"a,\n1,2\n", "column 2 has no name"),
    "columns of different length": (b'{"a": ["1"], "b": ["x", "y"]}', "a 1, b 2"),
    "web page": (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "Git LFS"),
    "zip": (b"PK\x03\x04 and so on", "zip archive"),
    "gzip": (b"\x1f\x8b\x08\x00", "gzip"),
    "parquet": (b"PAR1....PAR1", "Parquet"),
    "binary": (b"\x80\x04\x95\x00\x00\x00", "not valid UTF-8"),
}


@pytest.mark.parametrize(("raw", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_broken_file_is_refused_with_its_place(raw: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"file\.dat") as refused:
        rows_of(tmp_path, raw)
    assert said in str(refused.value)


def test_values_stay_as_written(tmp_path: Path) -> None:
    assert rows_of(tmp_path, b"a,b\n007,NA\n1e5,None\n") == [
        {"a": "007", "b": "NA"},
        {"a": "1e5", "b": "None"},
    ]
    assert rows_of(tmp_path, b'[{"a": 1e5, "b": 0.10}, {"a": 12345678901234567890, "b": null}]') == [
        {"a": "1e5", "b": "0.10"},
        {"a": "12345678901234567890", "b": None},
    ]


def test_each_row_knows_its_place(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b'{"a": 1}\n\n{"a": "line\\u2028separator"}\n')
    assert [row.where for row in read_rows(path)] == ["line 1", "line 3"]
    path.write_bytes(b'a,b\n"two\nlines",1\n3,4\n')
    assert [row.where for row in read_rows(path)] == ["line 2", "line 4"]
    path.write_bytes(b'[{"a": 1}, {"a": 2}]')
    assert [row.where for row in read_rows(path)] == ["record 1", "record 2"]


def test_a_line_separator_inside_text_ends_no_line(tmp_path: Path) -> None:
    raw = '{"a": "one\u2028two\u0085three"}\n{"a": "four"}\n'.encode()
    assert rows_of(tmp_path, raw) == [{"a": "one\u2028two\u0085three"}, {"a": "four"}]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
        b'{"messages": [{"role": "user", "content": "a"}], "tools": [{"name": "f"}]}',
        b'{"question": "a", "answer": "b", "sources": [{"url": "c"}]}',
    ],
)
def test_one_object_alone_is_one_row(raw: bytes, tmp_path: Path) -> None:
    assert len(rows_of(tmp_path, raw)) == 1
    assert {"messages", "question"} & rows_of(tmp_path, raw)[0].keys()


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read"):
        read_rows(tmp_path / "none.jsonl")


def test_the_table_of_first_rows_is_all_text(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(
        '{"q": "é", "n": 007e}\n'.replace("007e", "1.50") + '{"q": ["x"], "z": null}\n' * 5, "utf-8"
    )
    table = preview_rows(path, 2)
    assert table.columns == ["q", "n", "z"]
    assert table.rows == [["é", "1.50", ""], ['["x"]', "", ""]]
    assert table.where == ["line 1", "line 2"]
