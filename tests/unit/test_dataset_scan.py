"""The scan: every row is either in the store or refused with a reason; whole, stopped, or not there."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.base.errors import Stopped, UserError
from core.data import scan as scanning
from core.data.read import Block
from core.data.scan import ScanProgress, scan
from core.data.store import PLACES_KEPT, ROWS, Store
from tests.unit.datasets import big_rows, pairs, store_of, write_rows

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda value: value.strip())
turns = st.lists(st.tuples(text, text), min_size=1, max_size=3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chats=st.lists(turns, min_size=2, max_size=4))
def test_messages_come_out_as_they_went_in(
    chats: list[list[tuple[str, str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    messages = [
        [
            {"role": role, "content": content}
            for pair in chat
            for role, content in zip(("user", "assistant"), pair)
        ]
        for chat in chats
    ]
    store = store_of(tmp_path_factory.mktemp("scan"), [{"messages": chat} for chat in messages])
    assert [row.messages for row in store.read()] == messages
    assert [row.where for row in store.read()] == [f"line {number + 1}" for number in range(len(chats))]
    assert store.turns.tolist() == [len(chat) for chat in messages]
    assert store.chars.tolist() == [sum(len(one["content"]) for one in chat) for chat in messages]


def test_every_bad_row_is_counted_and_the_first_ones_are_named(tmp_path: Path) -> None:
    rows = [*pairs(30), *['{"question": '] * 25, *[{"question": "q", "answer": ""}] * 3, *pairs(2, first=50)]
    store = store_of(tmp_path, rows)
    summary = store.summary
    assert (summary.rows_read, len(store)) == (60, 32)
    found = summary.tallies["unreadable row"]
    assert found.count == 25 and len(found.places) == len(found.reasons) == PLACES_KEPT
    assert found.places[0] == "line 31" and "cut off" in found.reasons[0]
    assert summary.tallies["empty answer"].places == ["line 56", "line 57", "line 58"]
    refused = list(store.refused())
    assert len(refused) == 28 and {entry["kind"] for entry in refused} == {"unreadable row", "empty answer"}
    assert store.row(31).where == "line 60"
    assert summary.columns == {"question": 35, "answer": 32} and summary.shapes == {"question/answer": 32}


def test_remarks_are_flags_of_the_row(tmp_path: Path) -> None:
    rows = [*pairs(3), {"question": "Who?", "answer": "Write to ann@example.com, please.", "id": 7}]
    store = store_of(tmp_path, rows)
    assert store.having("e-mail addresses").tolist() == store.having("idle columns").tolist() == [3]
    assert store.summary.unused == {"id": 1}


def test_copies_and_near_copies_are_flagged(tmp_path: Path) -> None:
    long = "the quick brown fox jumps over the lazy dog while " * 3 + "nobody looks at all on this fine day"
    rows = [*pairs(2), {"question": "Tell me.", "answer": long}, pairs(1)[0]]
    rows.append({"question": "Tell me.", "answer": long + " indeed"})
    store = store_of(tmp_path, rows)
    assert store.having("duplicates").tolist() == [3]
    assert store.having("near-duplicates").tolist() == [4] and store.near.tolist() == [[4, 2]]
    assert store.summary.tallies["duplicates"].reasons == ["see line 1"]


def test_a_column_that_is_filled_very_late_is_told(tmp_path: Path) -> None:
    rows = [{**row, "note": None} for row in pairs(1200)]
    rows[1100]["note"] = "at last"
    store = store_of(tmp_path, rows)
    found = store.summary.tallies["late column"]
    assert (found.count, found.places) == (1, ["line 1101"]) and "“note”, after 1,100 rows" in found.reasons[
        0
    ]
    assert store.having("late column").tolist() == [1100]


def test_several_files_name_themselves(tmp_path: Path) -> None:
    one = write_rows(tmp_path / "one.jsonl", pairs(2))
    two = tmp_path / "two.csv.gz"
    two.write_bytes(gzip.compress(b"prompt;completion\nWho?;Ann, of course.\nWhy?;\n"))
    store = scan([one, two], tmp_path / "store")
    assert [row.where for row in store.read()] == [
        "one.jsonl, line 1",
        "one.jsonl, line 2",
        "two.csv.gz, line 2",
    ]
    facts = store.summary.files
    assert [(file.format, file.packed, file.rows) for file in facts] == [("jsonl", "", 2), ("csv", "gzip", 2)]
    assert all(len(file.sha256) == 64 for file in facts)
    assert store.summary.tallies["empty answer"].places == ["two.csv.gz, line 3"]


def test_a_file_that_breaks_off_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('prompt,completion\nWho?,Ann is who.\nWhy?,"She never\n' + "x,y\n" * 5, "utf-8")
    store = scan([path], tmp_path / "store")
    assert "line 3" in store.summary.failure and "quote" in store.summary.failure
    assert store.summary.tallies["unreadable file"].places == ["data.csv"]
    assert len(store.summary.files[0].sha256) == 64


@pytest.mark.parametrize(
    "content", [None, b"", b"  \n", b"<!DOCTYPE html><html>", b"\x80\x04\x95", b"PK\x03\x04x"]
)
def test_no_file_raises(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "data.jsonl"
    if content is not None:
        path.write_bytes(content)
    store = scan([path], tmp_path / "store")
    assert len(store) == 0 and "data.jsonl" in store.summary.failure
    assert store.select(["duplicates", "near-duplicates", "API keys"]).tolist() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only there may a name be any bytes")
def test_a_name_that_is_no_text_does_no_harm(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(str(tmp_path)) + b"/da\xffta.jsonl"))
    store = scan(
        [write_rows(path, pairs(3)), write_rows(tmp_path / "b.jsonl", pairs(1, 5))], tmp_path / "store"
    )
    assert [row.where for row in store.read([0])] == ["da?ta.jsonl, line 1"]


def big_file(folder: Path) -> Path:
    """Three blocks of rows."""
    rows = big_rows(500)
    return write_rows(folder / "big.jsonl", [*rows[:300], "{broken", *rows[300:]])


def same(one: Store, two: Store) -> bool:
    arrays = ("key", "answer", "flags", "chars", "turns", "near")
    return (one.folder / ROWS).read_bytes() == (two.folder / ROWS).read_bytes() and all(
        np.array_equal(getattr(one, name), getattr(two, name)) for name in arrays
    )


@pytest.mark.slow
def test_processes_of_their_own_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = big_file(tmp_path)
    told: list[ScanProgress] = []
    alone = scan([path], tmp_path / "alone")
    monkeypatch.setattr(scanning, "SMALL", 0)
    together = scan([path], tmp_path / "together", say=told.append)
    assert same(alone, together)
    assert together.summary.tallies == alone.summary.tallies
    assert told[0].stage == "reading" and told[0].total == path.stat().st_size


def test_a_killed_helper_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = big_file(tmp_path)
    monkeypatch.setattr(scanning, "SMALL", 0)
    monkeypatch.setattr(scanning, "_readable", killing(scanning._readable))
    with pytest.raises(UserError, match="killed"):
        scan([path], tmp_path / "store")
    assert os.listdir(tmp_path) == ["big.jsonl"]


def killing(blocks: Callable[[Iterator[Block]], Iterator[Block]]) -> Callable[..., Iterator[Block]]:
    """Kill the helpers as soon as the second block is there."""

    def kill_then_read(given: Iterator[Block]) -> Iterator[Block]:
        for number, block in enumerate(blocks(given)):
            if number == 1:
                for child in psutil.Process().children():
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
            yield block

    return kill_then_read


@pytest.mark.parametrize("calls", [1, 3])
def test_a_stopped_scan_leaves_nothing(tmp_path: Path, calls: int) -> None:
    path = big_file(tmp_path)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) >= calls

    with pytest.raises(Stopped):
        scan([path], tmp_path / "store", stop=stop)
    assert os.listdir(tmp_path) == ["big.jsonl"]


def test_what_a_killed_scan_left_is_swept(tmp_path: Path) -> None:
    left = tmp_path / ".store.pid999999999.aside"
    left.mkdir()
    store_of(tmp_path, pairs(2))
    assert not left.exists()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, little_disk: Path) -> None:
    path = write_rows(tmp_path / "data.jsonl", big_rows(200))
    with pytest.raises(UserError, match="disk is full"):
        scan([path], little_disk / "store")
    assert os.listdir(little_disk) == []


def test_a_damaged_store_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, pairs(3))
    (store.folder / "index.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match="damaged"):
        Store.open(store.folder)
    value = json.loads((store.folder / "summary.json").read_text("utf-8"))
    (store.folder / "summary.json").write_text(json.dumps({**value, "version": 0}), "utf-8")
    with pytest.raises(UserError, match="holds no checked data"):
        Store.open(store.folder)
    # the next scan puts a whole one in its place
    assert len(scan([tmp_path / "data.jsonl"], store.folder)) == 3
    with open(store.folder / ROWS, "r+b") as file:
        file.truncate(50)
    with pytest.raises(UserError, match="damaged"):
        Store.open(store.folder)
