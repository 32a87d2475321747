"""The event log survives cut lines, and a reader can follow it while it grows."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.base.events import EventLog

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_follow_reads_only_what_is_new(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    assert log.read() == ([], 0)
    log.append("log", step=1, loss=2.5)
    first, offset = log.read()
    log.append("log", step=2, loss=2.25)
    second, end = log.read(offset)
    assert [event["step"] for event in first + second] == [1, 2]
    assert log.read(end) == ([], end)
    assert log.size() == end


def test_a_cut_line_costs_only_itself(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("log", step=1)
    with open(log.path, "ab") as file:
        file.write(b'{"t": "2026-01-01", "kind": "log", "ste')
    assert [event["step"] for event in log.all()] == [1]
    log.append("log", step=2)
    assert [event["step"] for event in log.all()] == [1, 2]


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.path.write_bytes(b'[1]\n"x"\n{"no": "kind"}\n\xff\xfe\n{"kind": 3}\n')
    assert log.all() == []
    log.append("done")
    assert [event["kind"] for event in log.all()] == ["done"]


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda key: key not in ("kind", "t", "self")), json_values, max_size=4
    )
)
def test_any_fields_stay_one_line_of_plain_json(tmp_path_factory, fields: dict) -> None:
    log = EventLog(tmp_path_factory.mktemp("log") / "events.jsonl")
    log.append("sample", **fields)
    raw = log.path.read_bytes()
    assert raw.count(b"\n") == 1

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    event = json.loads(raw, parse_constant=refuse)
    assert set(event) == {"t", "kind", *fields}
