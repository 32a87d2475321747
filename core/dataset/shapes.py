"""Recognises the shape of instruction data over the whole file and turns every row into messages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from core.dataset.read import Row, parse_json, read_rows
from core.errors import UserError
from core.files import sha256_file

Message = dict[str, str]

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "ai": "assistant",
}
_TOOL_ROLES = {"tool", "function", "function_call", "observation", "tool_call", "tool_response", "ipython"}
_CHAT_COLUMNS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue", "turns")
_NAMED = 6
_SYSTEM_COLUMNS = ("system", "system_prompt")
_CONTEXT_COLUMNS = ("input", "context")
_PAIRS = (
    ("instruction", "output", "alpaca"),
    ("instruction", "response", "alpaca"),
    ("instruction", "answer", "alpaca"),
    ("instruction", "completion", "alpaca"),
    ("prompt", "completion", "prompt/completion"),
    ("prompt", "response", "prompt/completion"),
    ("prompt", "output", "prompt/completion"),
    ("prompt", "answer", "prompt/completion"),
    ("question", "answer", "question/answer"),
    ("question", "response", "question/answer"),
    ("query", "response", "question/answer"),
    ("query", "answer", "question/answer"),
    ("user", "assistant", "question/answer"),
    ("human", "assistant", "question/answer"),
    ("problem", "solution", "question/answer"),
    ("q", "a", "question/answer"),
    ("input", "output", "question/answer"),
    ("input", "response", "question/answer"),
)
_TOOL_COLUMNS = ("tools", "functions", "tool_calls", "function_call")
_MEDIA_COLUMNS = ("image", "images", "video", "videos", "audio", "audios")
_PART_MEDIA = ("image", "image_url", "video", "audio", "input_audio", "input_image", "file")
_TOOLS_SENTENCE = "holds tool calls, which can't be trained yet; leave such rows out"
_MEDIA_SENTENCE = "holds images, sound or video, and only text can be trained; leave such rows out"
_PAIRS_SENTENCE = (
    "holds preference pairs (chosen and rejected), which can't be trained yet; "
    "keep the chosen answers in a column “answer”"
)


@dataclass(slots=True)
class Conversation:
    """One row as messages, each {"role": system|user|assistant, "content": text}, and where it stood."""

    messages: list[Message]
    where: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one row. `dropped` rows are not used; the others are used as they are."""

    kind: str
    where: str
    reason: str
    dropped: bool = True


@dataclass(slots=True)
class Loaded:
    """A whole file: its shape in words, the usable rows, and everything that was noticed.

    `unused` names columns that no message was made of.
    """

    shape: str
    conversations: list[Conversation]
    problems: list[Problem]
    rows_read: int
    sha256: str
    unused: list[str] = field(default_factory=list)


class _Unusable(Exception):
    """Why one row can't become messages: kind and reason."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class _Unsupported(Exception):
    """A kind of data that is refused as a whole file, in one sentence."""


def load_conversations(path: Path) -> Loaded:
    """Read `path`, recognise the shape of every row and normalise it to messages.

    Raises UserError for a broken file, for data that isn't supported, and when no row is usable.
    """
    shapes: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    conversations: list[Conversation] = []
    problems: list[Problem] = []
    rows_read = 0
    for row in read_rows(path):
        rows_read += 1
        try:
            shape, messages, used = to_messages(row)
        except _Unsupported as error:
            raise UserError(f"{path.name}, {row.where} {error}.") from None
        except _Unusable as error:
            problems.append(Problem(error.kind, row.where, str(error)))
            continue
        shapes[shape] += 1
        columns.update(key for key, value in row.data.items() if _key(key) not in used and not _absent(value))
        conversations.append(Conversation(messages, row.where))
        problems.extend(_order_notes(messages, row.where))
    if not conversations:
        raise UserError(_nothing_usable(path.name, rows_read, problems))
    return Loaded(
        _shape_in_words(shapes), conversations, problems, rows_read, sha256_file(path), sorted(columns)
    )


def _shape_in_words(shapes: Counter[str]) -> str:
    if len(shapes) == 1:
        return next(iter(shapes))
    return "mixed: " + ", ".join(f"{shape} ({count} rows)" for shape, count in shapes.most_common())


def _nothing_usable(name: str, rows_read: int, problems: list[Problem]) -> str:
    first = "; ".join(f"{problem.where} {problem.reason}" for problem in problems[:3])
    more = f"; and {len(problems) - 3} more rows" if len(problems) > 3 else ""
    rows = "1 row" if rows_read == 1 else f"{rows_read} rows"
    return (
        f"{name} has no usable row among {rows}: {first}{more}. Each row needs a question and its answer: "
        "columns like instruction/output, question/answer, prompt/completion, or a list of messages."
    )


def _order_notes(messages: list[Message], where: str) -> list[Problem]:
    """What is unusual about the order of roles in a row that is used all the same."""
    roles = [message["role"] for message in messages]
    turns = [role for role in roles if role != "system"]
    notes = []
    if "system" in roles[1:]:
        notes.append(("late system", "has a system message after its beginning"))
    if turns[0] == "assistant":
        notes.append(("assistant first", "begins with an answer"))
    if turns[-1] == "user":
        notes.append(("ends on user", "ends with a question that has no answer"))
    if any(one == two for one, two in pairwise(turns)):
        notes.append(("repeated role", "has two turns of the same side in a row"))
    return [Problem(kind, where, reason, dropped=False) for kind, reason in notes]


def to_messages(row: Row) -> tuple[str, list[Message], set[str]]:
    """(shape, messages, columns used) of one row; the row's own columns decide."""
    data = {_key(key): value for key, value in row.data.items()}
    _refuse_unsupported(data)
    for name in _CHAT_COLUMNS:
        if name in data:
            shape, messages = _from_chat(data[name])
            return shape, _checked(_with_system(messages, data)), {name, *_SYSTEM_COLUMNS}
    for question, answer, shape in _PAIRS:
        if question in data and answer in data:
            used = {question, answer, "history", *_CONTEXT_COLUMNS, *_SYSTEM_COLUMNS}
            return shape, _checked(_with_system(_from_pair(data, question, answer), data)), used
    named = ", ".join(f"“{key[:40]}”" for key in list(row.data)[:_NAMED])
    named += f" and {len(row.data) - _NAMED} more" if len(row.data) > _NAMED else ""
    raise _Unusable("unknown columns", f"has columns that mean nothing here ({named or 'none'})")


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _absent(value: Any) -> bool:
    return value is None or value == [] or value == {} or (isinstance(value, str) and not value.strip())


def _refuse_unsupported(data: dict[str, Any]) -> None:
    if "chosen" in data and "rejected" in data:
        raise _Unsupported(_PAIRS_SENTENCE)
    if any(not _absent(data.get(name)) for name in _TOOL_COLUMNS):
        raise _Unsupported(_TOOLS_SENTENCE)
    if any(not _absent(data.get(name)) for name in _MEDIA_COLUMNS):
        raise _Unsupported(_MEDIA_SENTENCE)


def _with_system(messages: list[Message], data: dict[str, Any]) -> list[Message]:
    """The messages with the row's own system column in front, unless they start with one already."""
    for name in _SYSTEM_COLUMNS:
        if not _absent(data.get(name)) and not (messages and messages[0]["role"] == "system"):
            return [{"role": "system", "content": _content(data[name], f"“{name}”")}, *messages]
    return messages


def _from_pair(data: dict[str, Any], question: str, answer: str) -> list[Message]:
    """Two columns, each text or a list of messages; Alpaca's input and history where they stand."""
    if _is_messages(data[question]) or _is_messages(data[answer]):
        return _side(data[question], "user") + _side(data[answer], "assistant")
    asked = _content(data[question], f"“{question}”")
    for name in _CONTEXT_COLUMNS:
        if name != question and not _absent(data.get(name)):
            extra = _content(data[name], f"“{name}”")
            asked = f"{asked}\n\n{extra}" if asked else extra
    turns = _history(data.get("history"))
    turns.append({"role": "user", "content": asked})
    turns.append({"role": "assistant", "content": _content(data[answer], f"“{answer}”")})
    return turns


def _history(history: Any) -> list[Message]:
    """Alpaca's history: a list of [question, answer] pairs, or nothing."""
    if _absent(history):
        return []
    history = _list_of(history, "“history”")
    turns: list[Message] = []
    for pair in history:
        if not isinstance(pair, list) or len(pair) != 2:
            raise _Unusable("bad history", "has a history that is not a list of [question, answer] pairs")
        for role, text in zip(("user", "assistant"), pair, strict=True):
            turns.append({"role": role, "content": _content(text, "“history”")})
    return turns


def _is_messages(value: Any) -> bool:
    return isinstance(value, list | dict) and not _is_parts(value)


def _is_parts(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(part, str) or (isinstance(part, dict) and "role" not in part and "type" in part)
        for part in value
    )


def _side(value: Any, role: str) -> list[Message]:
    if isinstance(value, dict):
        value = [value]
    if _is_messages(value):
        return _from_chat(value)[1]
    return [{"role": role, "content": _content(value, f"the {role} side")}]


def _from_chat(value: Any) -> tuple[str, list[Message]]:
    """(shape, messages) of a list of turns: role/content or ShareGPT's from/value, with their synonyms."""
    turns = _list_of(value, "the list of messages")
    if not turns:
        raise _Unusable("no messages", "has an empty list of messages")
    shape = "messages"
    messages = []
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict):
            raise _Unusable(
                "bad message", f"has a message {number} that is not an object with role and content"
            )
        if "from" in turn:
            shape = "sharegpt"
        messages.append(_message(turn, number))
    return shape, messages


def _list_of(value: Any, what: str) -> list[Any]:
    """A list, also when a CSV cell holds it as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse_json(value)
        except ValueError as error:
            raise _Unusable("bad message", f"has {what} as text that is no list: {error}") from None
    if not isinstance(value, list):
        raise _Unusable("bad message", f"has something else than a list where {what} belongs")
    return value


def _message(turn: dict[str, Any], number: int) -> Message:
    said = next((turn[key] for key in ("role", "from", "speaker") if turn.get(key) is not None), None)
    name = said.strip().lower() if isinstance(said, str) else ""
    if name in _TOOL_ROLES or any(not _absent(turn.get(key)) for key in _TOOL_COLUMNS):
        raise _Unsupported(_TOOLS_SENTENCE)
    if name not in ROLES:
        wrong = f"the role “{said}”" if said is not None else "no role"
        raise _Unusable(
            "unknown role", f"has {wrong} in message {number} (system, user or assistant is meant)"
        )
    value = next((turn[key] for key in ("content", "value", "text") if key in turn), None)
    return {"role": ROLES[name], "content": _content(value, f"message {number}")}


def _content(value: Any, what: str) -> str:
    """Text, a number as written, or a list of text parts joined."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        raise _Unusable("no text", f"has no text in {what}")
    if _is_parts(value):
        return "".join(_part(part, what) for part in value)
    raise _Unusable("no text", f"has something else than text in {what}")


def _part(part: Any, what: str) -> str:
    if isinstance(part, str):
        return part
    if part["type"] in _PART_MEDIA:
        raise _Unsupported(_MEDIA_SENTENCE)
    if part["type"] not in ("text", "input_text", "output_text") or not isinstance(part.get("text"), str):
        raise _Unusable("no text", f"has a part without text in {what}")
    return part["text"]


def _checked(messages: list[Message]) -> list[Message]:
    """The messages, if there is something to learn from in them."""
    if all(message["role"] != "assistant" for message in messages):
        raise _Unusable("no answer", "has no answer")
    for role, kind in (("assistant", "empty answer"), ("user", "empty question")):
        if any(message["role"] == role and not message["content"].strip() for message in messages):
            raise _Unusable(kind, f"has an {kind}")
    return messages
