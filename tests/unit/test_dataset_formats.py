"""Files as people have them: the right rows, and each guess said before anything is trained."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.data import ChatTokenizer
from core.data.read import Note, Row, expand, open_source
from core.data.read.encoding import guess_encoding

Rows = list[dict[str, Any]]
QA = [{"question": "What is it?", "answer": "A kettle."}, {"question": "And that?", "answer": "A cup."}]
DATASET = "dataset_info.json", "state.json", "cache-1f.arrow"


def workbook(*sheets: list[list[Any]]) -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.worksheets[0])
    for number, lines in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"S{number}")
        for line in lines:
            sheet.append(line)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def arrow(rows: Rows, stream: bool = True) -> bytes:
    import pyarrow as pa
    from pyarrow import ipc

    table, target = pa.Table.from_pylist(rows), io.BytesIO()
    with (ipc.new_stream if stream else ipc.new_file)(target, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    return target.getvalue()


def pretty(rows: Rows, between: str) -> bytes:
    return between.join(json.dumps(row, indent=2) for row in rows).encode()


def items_of(path: Path) -> tuple[Rows, set[str]]:
    """(the rows, kinds of what was decided) of a file."""
    items = [item for block in open_source(path).blocks() for item in block.rows()]
    rows = [item.data for item in items if isinstance(item, Row)]
    notes = {item.kind for item in items if isinstance(item, Note)}
    assert len(items) >= len(rows)
    return rows, notes


CELLS = [list(QA[0]), *(list(row.values()) for row in QA)]
VIEWER = {
    "features": [{"feature_idx": 0, "name": "q"}],
    "rows": [{"row_idx": n, "row": row} for n, row in enumerate(QA)],
}
GERMAN = 'Frage;Antwort\n"Wo wächst Öl?";"Für 12 € – überall"\n'
SAME: dict[str, tuple[str, Callable[[], bytes], Rows, set[str]]] = {
    "Excel": ("a.xlsx", lambda: workbook(CELLS), QA, set()),
    "Excel, two sheets, empty lines": (
        "a.xlsx",
        lambda: workbook([[], *CELLS], [[None]], CELLS),
        QA * 2,
        set(),
    ),
    "Excel, other values": (
        "a.xlsx",
        lambda: workbook([["a", "b", "c"], [1, True, date(2026, 1, 2)], [1.5]]),
        [{"a": "1", "b": True, "c": "2026-01-02T00:00:00"}, {"a": "1.5", "b": None, "c": None}],
        set(),
    ),
    "Excel without header": ("a.xlsx", lambda: workbook(CELLS[1:]), QA, {"no header"}),
    "Arrow stream": ("a.arrow", lambda: arrow(QA), QA, set()),
    "Arrow file": ("a.feather", lambda: arrow(QA, stream=False), QA, set()),
    "pretty": ("a.jsonl", lambda: pretty(QA, "\n"), QA, set()),
    "pretty with commas": ("a.json", lambda: pretty(QA, ",\n"), QA, {"stray commas"}),
    "comma at the end": ("a.json", lambda: json.dumps(QA).encode()[:-1] + b",\n]", QA, {"stray commas"}),
    "commas after lines": (
        "a.jsonl",
        lambda: b"".join(json.dumps(row).encode() + b",\n" for row in QA),
        QA,
        {"stray commas"},
    ),
    "commas in objects": ("a.json", lambda: json.dumps(QA).replace("}", ",}").encode(), QA, {"stray commas"}),
    "text with such commas": (
        "a.json",
        lambda: b'[{"a": ",]", "b": "x, }"},]',
        [{"a": ",]", "b": "x, }"}],
        {"stray commas"},
    ),
    "the hub's viewer": ("a.json", lambda: json.dumps(VIEWER).encode(), QA, set()),
    "NaN": ("a.jsonl", lambda: b'{"a": "NaN", "b": NaN}\n', [{"a": "NaN", "b": None}], {"NaN values"}),
    "NaN in columns": (
        "a.json",
        lambda: b'{"a": ["x"], "b": [-Infinity]}',
        [{"a": "x", "b": None}],
        {"NaN values"},
    ),
    "index column": ("a.csv", lambda: b",a,b\n0,x,y\n", [{"Unnamed: 0": "0", "a": "x", "b": "y"}], set()),
    "doubled name": (
        "a.csv",
        lambda: b"a,b,b\n1,2,3\n",
        [{"a": "1", "b": "2", "b.1": "3"}],
        {"doubled columns"},
    ),
    "no header": ("a.csv", lambda: b"What is it?,A kettle.\nAnd that?,A cup.\n", QA, {"no header"}),
    "no header, numbers": (
        "a.csv",
        lambda: b"sep=;\n2+2?;4\n",
        [{"question": "2+2?", "answer": "4"}],
        {"no header"},
    ),
    "a question as header": (
        "a.csv",
        lambda: b"What is your question?,answer\nx,y\n",
        [{"What is your question?": "x", "answer": "y"}],
        set(),
    ),
    "cp1252": (
        "a.csv",
        lambda: GERMAN.encode("cp1252"),
        [{"Frage": "Wo wächst Öl?", "Antwort": "Für 12 € – überall"}],
        {"other encoding"},
    ),
    "a list with brackets": (
        "a.txt",
        lambda: b"[01.03.24, 10:00] Anna: hi",
        [{"text": "[01.03.24, 10:00] Anna: hi"}],
        set(),
    ),
    "a song": ("a.md", lambda: b"[Verse 1]\nla la", [{"text": "[Verse 1]\nla la"}], set()),
}


@pytest.mark.parametrize(("name", "raw", "rows", "notes"), SAME.values(), ids=SAME.keys())
def test_files_as_people_have_them(
    name: str, raw: Callable[[], bytes], rows: Rows, notes: set[str], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(raw())
    assert items_of(path) == (rows, notes)


ENCODED = {
    "cp1252": "Qu’est-ce qu’un café crème ? Du café, déjà goûté à Orléans. Größe, señor, på",
    "cp1250": "Zażółć gęślą jaźń. Jak się masz? Dziękuję, świetnie.",
    "cp1251": "Как удалить накипь из чайника? Залейте уксусом и прокипятите.",
    "koi8_r": "Как удалить накипь из чайника? Залейте уксусом и прокипятите.",
    "cp1253": "Πώς καθαρίζω τον βραστήρα; Με ξύδι και νερό.",
    "cp1255": "איך מנקים קומקום? עם חומץ ומים.",
    "cp1256": "كيف أنظف الغلاية؟ بالخل والماء.",
    "cp874": "คุณทำความสะอาดกาน้ำอย่างไร",
    "cp932": "やかんの水垢はどうやって取りますか。酢と水を入れて沸かします。",
    "gb18030": "怎样给水壶除垢？加入醋和水，煮沸。",
    "big5": "怎樣給水壺除垢？加入醋和水，煮沸。",
    "cp949": "주전자의 물때는 어떻게 제거합니까? 식초와 물을 넣고 끓입니다.",
}


@pytest.mark.parametrize(("encoding", "text"), ENCODED.items(), ids=ENCODED.keys())
def test_an_encoding_is_named_rightly(encoding: str, text: str) -> None:
    assert guess_encoding(f"question,answer\n{text},{text}\n".encode(encoding)) == encoding


def test_a_folder_of_save_to_disk_is_its_shards_in_order(tmp_path: Path) -> None:
    for number, row in enumerate(QA):
        (tmp_path / f"data-0000{number}-of-00002.arrow").write_bytes(arrow([row]))
    for name in DATASET:
        (tmp_path / name).write_bytes(arrow(QA) if name.endswith(".arrow") else b"{}")
    assert [row for path in expand([tmp_path]) for row in items_of(path)[0]] == QA


def packed(**parts: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in parts.items():
            archive.writestr(f"xl/{name}.xml", raw)
    return target.getvalue()


BAD_WORKBOOKS = {
    "entities": (
        packed(workbook=b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><workbook/>'),
        "entities",
    ),
    "bomb": (packed(workbook=b"<x/>", sheet=b" " * 50_000_000), "zip bomb"),
    "damaged": (packed(workbook=b"<workbook"), "cut off or damaged"),
    "Arrow cut off": (arrow(QA)[:-200], "cut off or damaged"),
}


@pytest.mark.parametrize(("raw", "says"), BAD_WORKBOOKS.values(), ids=BAD_WORKBOOKS.keys())
def test_what_can_not_be_trusted_is_a_sentence(raw: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(raw)
    with pytest.raises(UserError, match=says):
        items_of(tmp_path / "a.xlsx")


@pytest.mark.parametrize("length", [64, 500])
@pytest.mark.parametrize(
    "sentence", ["天空为什么是蓝色的？因为空气散射蓝光。", "नाव नदी में है। रात है। ", "One more word. ", "ab"]
)
def test_no_text_is_lost_to_the_maximum_length(
    sentence: str, length: int, starter_tokenizer_folder: Path
) -> None:
    tokenizer = ChatTokenizer.load(starter_tokenizer_folder)
    text = (sentence * 40 + "\n\n") * 40
    row = [{"role": "text", "content": text}]
    windows = tokenizer.windows(row, length)
    encoded = tokenizer.encode_many(windows, length)
    assert "".join(window[0]["content"] for window in windows) in (text, text.rstrip())
    assert not any(one.cut for one in encoded)
    assert max(one.length for one in encoded) > length / 3
    assert f"{len(windows)} windows" in tokenizer.encode(row, length).notes[-1]
