"""Saves a cleaned copy of data: the rows that are left as JSON lines, and beside them what was changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from core.base.errors import UserError, disk_sentence
from core.base.files import replacement
from core.data.doctor import rewrite
from core.data.kinds import KINDS
from core.data.shapes import Message
from core.data.store import Store, text_fixes


@dataclass(slots=True)
class Changes:
    """A cleaned copy: its file, its rows, the list of changes, and how many there are of each kind."""

    file: Path
    list: Path
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    rewritten: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "list": str(self.list),
            "rows": self.rows,
            "left_out": dict(self.left_out),
            "rewritten": dict(self.rewritten),
        }


def save_cleaned(store: Store, fixes: Collection[str], out: Path) -> Changes:
    """Write the rows that are left after `fixes` to `out`, and every change to `OUT.changes.jsonl`.

    The same rows give the same bytes, whatever shape they came in: {"messages": …} a line, {"text": …} for
    plain text. Both files are whole or not there.
    """
    changes = Changes(out, out.with_name(f"{out.stem}.changes.jsonl"))
    try:
        # the list is in its place first: the block that began last ends first
        with (
            replacement(changes.file) as one,
            replacement(changes.list) as two,
            open(one, "wb", buffering=1 << 20) as rows,
            open(two, "wb", buffering=1 << 20) as listed,
        ):
            _write(store, fixes, rows, listed, changes)
    except OSError as error:
        raise UserError(disk_sentence(error, "The cleaned copy could not be written", out)) from error
    return changes


def _write(
    store: Store, fixes: Collection[str], rows: IO[bytes], listed: IO[bytes], changes: Changes
) -> None:
    for refused in store.refused():
        changes.left_out[refused["kind"]] += 1
        listed.write(_change(refused["where"], "left out", refused["kind"], refused["reason"]))
    fate = store.fate(fixes)
    kinds = text_fixes(fixes)
    for number, conversation in store.numbered(range(len(store))):
        kind = str(fate[number])
        if kind:
            changes.left_out[kind] += 1
            listed.write(_change(conversation.where, "left out", kind, KINDS[kind].fix or ""))
            continue
        messages, done = rewrite(conversation.messages, kinds) if kinds else (conversation.messages, [])
        for kind in done:
            changes.rewritten[kind] += 1
            listed.write(_change(conversation.where, "rewritten", kind, KINDS[kind].fix or ""))
        rows.write(_line(messages))
        changes.rows += 1


def _line(messages: list[Message]) -> bytes:
    if messages[0]["role"] == "text":
        return orjson.dumps({"text": messages[0]["content"]}) + b"\n"
    return orjson.dumps({"messages": [_message(message) for message in messages]}) + b"\n"


def _message(message: Message) -> dict[str, Any]:
    """As others write it, too: OpenAI's `weight` 0 for an answer that is only read."""
    return {**message, "weight": 0} if "weight" in message else dict(message)


def _change(where: str, what: str, kind: str, detail: str) -> bytes:
    return orjson.dumps({"where": where, "change": what, "kind": kind, "detail": detail}) + b"\n"
