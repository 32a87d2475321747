"""Chats whose messages stand in rows of their own: SillyTavern's log, messages with the id of their chat."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from core.data.read.formats import Block, Item, ReadyBlock, Row

_CHAT_IDS = ("conversation_id", "conv_id", "chat_id", "thread_id", "dialogue_id", "dialog_id", "session_id")
_TREE = {"message_id", "parent_id", "message_tree_id"}
_SPEAKERS = ("role", "from", "sender", "speaker", "author")
_TEXTS = ("content", "value", "text")
_LOG = {"mes", "is_user"}


def gathered(blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks as they are, or one row a chat where each row holds one message."""
    first = next(blocks, None)
    if first is None:
        return
    rows = [row.data for row in islice(first.rows(), 2) if isinstance(row, Row)]
    key = next(filter(None, map(_chat_key, reversed(rows))), "")
    every = chain([first], blocks)
    yield from _by_chat(every, key) if key else every


def _chat_key(row: dict[str, Any]) -> str:
    """The column that says which chat a message belongs to; “mes” for a log that is one chat."""
    if row.keys() >= _LOG:
        return "mes"
    says_who = any(isinstance(row.get(name), str) for name in _SPEAKERS)
    if not says_who or row.keys().isdisjoint(_TEXTS):
        return ""
    if row.keys() >= _TREE:
        return "message_tree_id"
    return next((name for name in _CHAT_IDS if name in row), "")


def _by_chat(blocks: Iterator[Block], key: str) -> Iterator[Block]:
    chats: dict[str, list[Row]] = {}
    read = 0
    for block in blocks:
        read = block.read
        others: list[Item] = []
        for row in block.rows():
            if not isinstance(row, Row):
                others.append(row)
            elif key == "mes":
                # the first line of a log describes it
                if "mes" in row.data:
                    chats.setdefault("", []).append(row)
            elif row.data.get(key) in (None, ""):
                # it belongs to no chat, and two such rows not to the same one
                others.append(row)
            else:
                chats.setdefault(str(row.data[key]), []).append(row)
        yield ReadyBlock(read, others)
    whole = {"mes": _of_log, "message_tree_id": _of_tree}.get(key, _of_messages)
    yield ReadyBlock(read, [Row({"messages": whole(rows, key)}, rows[0].where) for rows in chats.values()])


def _of_messages(rows: list[Row], key: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.data.items() if name != key} for row in rows]


def _of_log(rows: list[Row], key: str) -> list[dict[str, Any]]:
    """User and character; what the program itself noted is left out."""
    spoken = [row.data for row in rows if row.data.get("is_system") is not True]
    return [
        {"role": "user" if one.get("is_user") is True else "assistant", "content": one["mes"]}
        for one in spoken
    ]


def _of_tree(rows: list[Row], key: str) -> list[dict[str, Any]]:
    """From the first message down the answers that were ranked best, as long as any follow."""
    following: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        following.setdefault(str(row.data.get("parent_id") or ""), []).append(row.data)
    path: list[dict[str, Any]] = []
    ways = following.get("", [])
    while ways and len(path) < len(rows):
        best = min(ways, key=_rank)
        path.append({"role": best.get("role"), "content": best.get("text")})
        ways = following.get(str(best.get("message_id")), [])
    if path and path[-1]["role"] in ("prompter", "user") and len(path) > 1:
        path.pop()
    return path


def _rank(message: dict[str, Any]) -> float:
    try:
        return float(str(message.get("rank")))
    except ValueError:
        return float("inf")
