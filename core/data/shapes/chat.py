"""Lists of turns as messages: role and content, ShareGPT's from and value, chats that only name speakers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from core.data.kinds import Remark
from core.data.shapes.names import (
    ANSWER_COLUMNS,
    CONTENT_KEYS,
    FLAG_KEYS,
    MEDIA_COLUMNS,
    MODEL_NAMES,
    QUESTION_COLUMNS,
    REASONING,
    ROLE_KEYS,
    ROLES,
    SPEAKER_KEYS,
    TOOL_COLUMNS,
    TOOL_ROLES,
    plain,
)
from core.data.shapes.outcome import UNTRAINED, Message, Unusable
from core.data.shapes.text import MEDIA, TOOLS, is_absent, is_true, list_of, text_of

_NAMED = 3
# who is called so is not just named so
_SURE = ("system", "user", "human", "assistant", "gpt", "bot", "chatbot", "model")
_FORBIDDEN = {*TOOL_COLUMNS, *MEDIA_COLUMNS}


@dataclass(slots=True)
class Turns:
    """What a list of turns holds; `extra` are keys of its turns that no message was made of."""

    shape: str
    messages: list[Message] = field(default_factory=list)
    extra: set[str] = field(default_factory=set)


def read_turns(value: Any, column: str, remarks: list[Remark]) -> Turns:
    """The messages of a chat column: a list of turns, also as JSON text; one turn; or a dict of lists."""
    turns = _unfolded(value) if isinstance(value, dict) else list_of(value, f"“{column}”", remarks)
    if not turns:
        raise Unusable("no messages", f"has an empty list of messages in “{column}”")
    turns = _unpacked(turns)
    if _names_speakers(turns):
        return _spoken(turns, remarks)
    found = Turns("messages")
    for turn in turns:
        # the usual turn: a known role in small letters, and text; all else is null
        if type(turn) is dict and (len(turn) == 2 or list(turn.values()).count(None) == len(turn) - 2):
            shape, said, text = "messages", turn.get("role"), turn.get("content")
            if said is None:
                shape, said, text = "sharegpt", turn.get("from"), turn.get("value")
            if type(said) is str and said in ROLES and type(text) is str:
                found.shape = shape
                found.messages.append({"role": ROLES[said], "content": text})
                continue
        _add_turn(found, turn, len(found.messages) + 1, remarks)
    return found


def _unfolded(value: dict[str, Any]) -> list[Any]:
    """One turn, or the turns of `{"role": […], "content": […]}`, as Arrow likes to write them."""
    columns = list(value.values())
    if columns and all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return [dict(zip(value, turn)) for turn in zip(*columns)]
    return [value]


def _unpacked(turns: list[Any]) -> list[Any]:
    """Turns in a list of their own, or [question, answer] pairs of texts, as messages."""
    if len(turns) == 1 and isinstance(turns[0], list) and turns[0] and all(map(is_message, turns[0])):
        return turns[0]
    if type(turns[0]) is not list or not all(map(_is_pair, turns)):
        return turns
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for pair in turns for role, text in zip(roles, pair)]


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(text, str) for text in value)


def read_tree(mapping: dict[str, Any], node: Any, remarks: list[Remark]) -> list[Message]:
    """The branch of a ChatGPT conversation that ends at `node`, which is the one that was on the screen.

    Only what user and assistant say to each other: no tools, no empty turns; what the assistant says in
    several goes is one answer.
    """
    branch: list[dict[str, Any]] = []
    while len(branch) < len(mapping) and isinstance(entry := mapping.get(str(node)), dict):
        branch.append(_inner(entry, "message"))
        node = entry.get("parent")
    messages: list[Message] = []
    media = 0
    for said in reversed(branch):
        content = _inner(said, "content")
        role = ROLES.get(str(_inner(said, "author").get("role")))
        hidden = _inner(said, "metadata").get("is_visually_hidden_from_conversation")
        if role is None or hidden or said.get("recipient") not in (None, "all"):
            continue
        if content.get("content_type") not in ("text", "multimodal_text"):
            continue
        parts = content["parts"] if isinstance(content.get("parts"), list) else []
        media += sum(not isinstance(part, str) for part in parts)
        text = "\n".join(part for part in parts if isinstance(part, str))
        if is_absent(text):
            continue
        if messages and messages[-1]["role"] == role == "assistant":
            messages[-1]["content"] += f"\n\n{text}"
        else:
            messages.append({"role": role, "content": text})
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    if media:
        remarks.append(Remark("media left out", f"{media} pictures or files"))
    return messages


def _inner(value: dict[str, Any], key: str) -> dict[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def is_message(value: Any) -> bool:
    """Whether it is one turn of a chat."""
    return isinstance(value, dict) and any(key in value for key in ROLE_KEYS)


def _add_turn(found: Turns, turn: Any, number: int, remarks: list[Remark]) -> None:
    """Any turn: other spellings, further keys, content in parts."""
    if not isinstance(turn, dict):
        raise Unusable("bad message", f"has a message {number} that is no object with role and content")
    turn = {plain(key): value for key, value in turn.items()}
    _forbid(turn)
    named = _first((*ROLE_KEYS, *SPEAKER_KEYS), turn)
    texts = _both_sides(turn) if not named else None
    if not texts:
        texts = {_role(turn.get(named), number): _first(CONTENT_KEYS, turn)}
    if named == "from":
        found.shape = "sharegpt"
    flags = [key for key in FLAG_KEYS if is_true(turn.get(key)) is not None]
    for role, key in texts.items():
        text = text_of(turn.get(key), f"message {number}", remarks)
        message = {"role": role, "content": text}
        untrained = any(not is_true(turn[flag]) for flag in flags) or _parts_untrained(turn.get(key), number)
        found.messages.append(message | UNTRAINED if untrained and role == "assistant" else message)
    thinking = _first(REASONING, turn)
    if thinking and found.messages[-1]["role"] == "assistant" and isinstance(turn[thinking], str):
        add_reasoning(found.messages, turn[thinking], remarks)
    used = (named, *texts.values(), *flags, thinking)
    said = {message["content"] for message in found.messages[-len(texts) :]}
    found.extra.update(
        key
        for key, value in turn.items()
        if key not in used and not is_absent(value) and not (isinstance(value, str) and value in said)
    )


def add_reasoning(messages: list[Message], thinking: str, remarks: list[Remark]) -> None:
    """Put the thinking before the last message, as <think>…</think>; whether it stays there is asked."""
    answer = messages[-1]
    if not thinking or thinking.isspace() or answer["content"].lstrip().startswith("<think>"):
        return
    messages[-1] = {**answer, "content": f"<think>\n{thinking.strip()}\n</think>\n\n{answer['content']}"}
    if not any(remark.kind == "reasoning" for remark in remarks):
        remarks += [Remark("reasoning", f"“{thinking.strip()[:40]}”"), Remark("reasoning left out", "")]


def _parts_untrained(content: Any, number: int) -> bool:
    """Whether the parts of a content say that they are not to be trained."""
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    untrained = [any(is_true(part.get(flag)) is False for flag in FLAG_KEYS) for part in parts]
    if any(untrained) and not all(untrained):
        raise Unusable(
            "bad message",
            f"has an answer in message {number} of which only some parts are to be trained; "
            "only a whole answer can be left untrained",
        )
    return any(untrained)


def _both_sides(turn: dict[str, Any]) -> dict[str, str]:
    """{"user": …, "assistant": …} as keys of a turn that holds a question and its answer."""
    asked, answered = _first(QUESTION_COLUMNS, turn), _first(ANSWER_COLUMNS, turn)
    return {"user": asked, "assistant": answered} if asked and answered else {}


def _forbid(turn: dict[str, Any]) -> None:
    """Refuse a turn with a tool call or an image in it."""
    if _FORBIDDEN.isdisjoint(turn):
        return
    if any(not is_absent(turn.get(key)) for key in TOOL_COLUMNS):
        raise Unusable("tool calls", TOOLS)
    if any(not is_absent(turn.get(key)) for key in MEDIA_COLUMNS):
        raise Unusable("images", MEDIA)


def _first(keys: Iterable[str], turn: dict[str, Any]) -> str:
    """The first of `keys` under which something stands, or nothing."""
    return next((key for key in keys if turn.get(key) is not None), "")


def _role(said: Any, number: int) -> str:
    name = said.strip().lower() if isinstance(said, str) else ""
    if name in TOOL_ROLES:
        raise Unusable("tool calls", TOOLS)
    if name.startswith(MODEL_NAMES):
        return "assistant"
    if name not in ROLES:
        wrong = f"the role “{said[:40]}”" if isinstance(said, str) and said else "no role"
        raise Unusable(
            "unknown role", f"has {wrong} in message {number} (system, user or assistant is meant)"
        )
    return ROLES[name]


def _names_speakers(turns: list[Any]) -> bool:
    """Whether turns are grouped in lists, or say who spoke by a name that is no role."""
    first = turns[0]
    if isinstance(first, list):
        return True
    if not isinstance(first, dict) or is_message(first):
        return False
    spoken = {str(_speaker(turn)).strip().lower() for turn in turns if isinstance(turn, dict)}
    return _speaker(first) is not None and not spoken <= ROLES.keys() and spoken.isdisjoint(_SURE)


def _speaker(turn: dict[str, Any]) -> str | None:
    said = turn.get(_first(SPEAKER_KEYS, turn))
    return said if isinstance(said, str) else None


def _spoken(turns: list[Any], remarks: list[Remark]) -> Turns:
    """A chat of two people: who speaks first asks, the other answers; one who speaks alone answers.

    What somebody says in one go (a list within the list) becomes one message, a line each. Turns in which
    nothing is said are left out.
    """
    found = Turns("named speakers")
    spoken = [_one_go(go, number, found, remarks) for number, go in enumerate(turns, start=1)]
    speakers = list(dict.fromkeys(speaker for speaker, _ in spoken))
    if len(speakers) > 2:
        names = ", ".join(f"“{name[:20]}”" for name in speakers[:_NAMED])
        raise Unusable("unknown role", f"has {len(speakers)} speakers ({names} …), and two are meant")
    roles = dict(zip(speakers, ("user", "assistant") if len(speakers) == 2 else ("assistant",)))
    said = [{"role": roles[speaker], "content": text} for speaker, text in spoken]
    found.messages = [message for message in said if not is_absent(message["content"])]
    if len(found.messages) < len(said):
        remarks.append(Remark("blank turns", f"has {len(said) - len(found.messages)} turns that say nothing"))
    if not found.messages:
        raise Unusable("no messages", "has only turns that say nothing")
    return found


def _one_go(go: Any, number: int, found: Turns, remarks: list[Remark]) -> tuple[str, str]:
    """(speaker, text) of what one person says before the other one does."""
    parts = go if isinstance(go, list) else [go]
    speaker, lines = "", []
    for part in parts:
        if not isinstance(part, dict) or (who := _speaker(part)) is None:
            raise Unusable("bad message", f"has a message {number} that does not say who speaks")
        if lines and who != speaker:
            raise Unusable("bad message", f"has two speakers within message {number}")
        speaker = who
        held = _first(CONTENT_KEYS, part)
        text = text_of(part.get(held), f"message {number}", remarks)
        lines.append(text)
        found.extra.update(
            key for key in part if key != held and key not in SPEAKER_KEYS and not is_absent(part[key])
        )
    if not parts:
        raise Unusable("bad message", f"has an empty message {number}")
    return speaker, "\n".join(line for line in lines if not is_absent(line))


def read_history(value: Any, column: str, remarks: list[Remark]) -> list[Message]:
    """Alpaca's history: [question, answer] pairs, or messages."""
    place = f"“{column}”"
    past = list_of(value, place, remarks)
    if past and is_message(past[0]):
        return read_turns(past, column, remarks).messages
    messages: list[Message] = []
    for pair in past:
        if isinstance(pair, list) and all(map(is_absent, pair)):
            continue
        if not isinstance(pair, list) or len(pair) != 2:
            raise Unusable("bad message", f"has something else than [question, answer] pairs in {place}")
        for role, text in zip(("user", "assistant"), pair):
            messages.append({"role": role, "content": text_of(text, place, remarks)})
    return messages
