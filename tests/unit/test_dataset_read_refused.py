"""What is no dataset, or a broken one, is refused with the file's name, the place and what to do."""

from __future__ import annotations

import gzip
import io
import json
import stat
import zipfile
from pathlib import Path
from unittest.mock import patch

import pytest

from core.base.errors import UserError
from core.data.read import Unreadable, expand, open_source, read_rows
from core.data.read.formats import json_document
from tests.unit.test_dataset_read import LINES, parquet, written, zipped


def zipped_link() -> bytes:
    entry = zipfile.ZipInfo("rows.jsonl")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    return target.getvalue()


PARQUET = parquet({"a": ["x" * 50] * 50})
BOMB = b"a,b\n" + (b"1," + b"x" * 1000 + b"\n") * 20_000
REFUSED = {
    "much white space": (b" \n" * 200_000, "is empty"),
    "closed by another bracket": (b'[{"a": 1}}', "around the list"),
    "comma twice": (b'[{"a": 1},\n,{"a": 2}]', "line 2: record 2"),
    "syntax error in a document": (b'{\n "a": 1,\n "b" 2\n}', "line 3"),
    "syntax error in a list": (b'[\n{"a": 1},\n{"b" 2}\n]', "line 3: record 2"),
    "comment in front": (b'[/* rows */ {"a": 1}]', "a comment"),
    "two documents": (b'{"data": [{"a": 1}]} [{"data": 2}]', "around the list"),
    "key twice in a document": (b'{\n"a": 2, "a": 4}', "the key “a” twice"),
    "too deep": (b'{"a": ' + b"[" * 2000 + b"]" * 2000 + b"}", "64 levels"),
    "rather deep": (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "64 levels"),
    "unclosed brackets": (b"[" * 100_000, "line 1"),
    "Latin-1 after UTF-8": ("a,b\n1,ü\n2,caf".encode() + b"\xe9\n", "line 3 is not valid UTF-8"),
    "noise": (b'{"a": "b"}\n{"a": "caf\xff\xfe\x81\x8d"}\n', "line 2 is not valid UTF-8"),
    "half a UTF-8 character": (b'{"a": "b"}\n{"a": "caf\xc3', "line 2 is not valid UTF-8"),
    "UTF-16 without mark": (LINES.encode("utf-16-le"), "UTF-16 text without its byte order mark"),
    "UTF-16 without mark, big endian": (LINES.encode("utf-16-be"), "UTF-16 text without"),
    "UTF-16 with half a pair": (b"\xff\xfe" + LINES.encode("utf-16-le") + b"\x00\xd8\x20\x00", "line 3"),
    "UTF-16 of odd length": (b"\xff\xfe" + LINES.encode("utf-16-le") + b"x", "not valid UTF-16"),
    "UTF-32": (LINES.encode("utf-32"), "UTF-32"),
    "quote gone astray": (b'a,b\n"1\n"x,y\n', "line 2: text stands after a closing quote"),
    "damaged zip": (b"PK\x03\x04 and so on", "damaged zip"),
    "zip with a drive": (zipped(("C:\\a.csv", b"a,b\n1,2\n")), "leads out of its folder"),
    "zip of a link": (zipped_link(), "a link"),
    "zip bomb": (zipped(("a.csv", BOMB)), "zip bomb"),
    "gzip bomb": (gzip.compress(BOMB), "zip bomb"),
    "Parquet without its beginning": (b"PAR1" + PARQUET[200:], "cut off or damaged"),
    "binary": (bytes(range(256)) * 4, "binary"),
}


@pytest.mark.parametrize(("raw", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_broken_file_is_refused_with_its_name_and_place(raw: bytes, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, raw)
    with pytest.raises(UserError, match=r"file\.dat") as refused:
        list(read_rows(path))
    assert said in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("name", ["a.py", "a.pkl", "a.pt", "a.py.gz"])
def test_programs_and_pickles_are_not_even_looked_into(name: str, tmp_path: Path) -> None:
    raw = gzip.compress(b"a,b\n1,2\n") if name.endswith(".gz") else b"a,b\n1,2\n"
    with pytest.raises(UserError, match="never"):
        open_source(written(tmp_path, raw, name))


def test_a_missing_file_and_a_folder_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none.jsonl can't be read: it is not there"):
        open_source(tmp_path / "none.jsonl")
    for source in (open_source, lambda path: expand([path])):
        with pytest.raises(UserError, match="can't be read: its name is too long") as refused:
            source(tmp_path / ("x" * 5000))
        assert len(str(refused.value)) < 300
    with pytest.raises(UserError, match="is no file on disk"):
        open_source(tmp_path)


LONG = b"x" * (12 * 1024**2)
BAD_ROWS = {
    "bad first line": (b'{\'a\': 1}\n{"a": 2}\n{"a": 3}', "line 1", "single quotes"),
    "key twice": (b'{"a": 1}\n{"a": 2, "b": 3, "a": 4}\n{"a": 2}', "line 2", "the key “a” twice"),
    "key twice beside a colon": (b'{"a": 1}\n{"a": ":", "a": 2}\n{"a": 2}', "line 2", "the key “a” twice"),
    "key twice, list": (b'[{"a": 2, "a": 4}, {"a": 1}, {"a": 2}]', "record 1", "the key “a” twice"),
    "rather deep, list": (b'[{"a": ' + b"[" * 70 + b"]" * 70 + b'}, {"a": 1}, {"a": 2}]', "record 1", "64"),
    "last scalar row": (b'[{"a": 1}, {"a": 2}, "x]}"]', "record 3", "is a single value"),
    "quote in a cell": (b'a,b\n1,"x "y" z"\n2,x\n3,z\n', "line 2", "after a closing quote"),
    "12 MB field": (b'{"a": 1}\n{"a": "' + LONG + b'"}\n{"a": 2}\n', "line 2", "12.0 MB"),
    "12 MB field in a list": (b'[{"a": 1}, {"a": "' + LONG + b'"}, {"a": 2}]', "record 2", "12.0 MB"),
    "12 MB field in Parquet": (parquet({"a": ["x", LONG.decode(), "y"]}), "record 2", "12.0 MB"),
    "48 MB line": (b'{"a": 1}\n{"a": "' + LONG * 4 + b'"}\n{"a": 2}\n', "line 2", "limit of 10 MB"),
}


@pytest.mark.parametrize(("raw", "where", "said"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_is_told_and_the_others_are_read(raw: bytes, where: str, said: str, tmp_path: Path) -> None:
    rows = list(read_rows(written(tmp_path, raw)))
    bad = [row for row in rows if isinstance(row, Unreadable)]
    assert len(rows) == 3
    assert [row.where for row in bad] == [where]
    assert said in bad[0].reason


def test_a_cell_of_12_mb_ends_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 2: a cell is longer than 10 MB"):
        list(read_rows(written(tmp_path, b'a,b\n1,"' + LONG + b'"\n')))


def test_rows_under_ids_that_are_broken_far_behind_are_named(tmp_path: Path) -> None:
    lines = ["{", *(f'"{n}": {{"a": "{"x" * 300}"}},' for n in range(6000))]
    for end, said in (
        ['"n": 7, "m": {"a": "b"}}', "line 6002: record 6001 has “,” after its end"],
        ['"n": {"a": ', "line 6002: record 6001 is cut off"],
    ):
        path = written(tmp_path, "\n".join([*lines, end]).encode())
        with patch.object(json_document, "_LOOKED_AT", 1000), pytest.raises(UserError, match=said):
            list(read_rows(path))


def test_a_row_after_a_block_of_rows_is_named_in_a_broken_list(tmp_path: Path) -> None:
    rows = [json.dumps({"a": "x" * 300}) for _ in range(9000)]
    rows[8000] = rows[8000].replace(":", "")
    with pytest.raises(UserError, match="line 8002: record 8001"):
        list(read_rows(written(tmp_path, ("[\n" + ",\n".join(rows) + "\n]").encode())))
