"""Turns one row into messages: finds its shape by its columns, or takes the columns as they are mapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.data.kinds import Remark
from core.data.read import Row
from core.data.shapes.chat import add_reasoning, is_message, read_history, read_tree, read_turns
from core.data.shapes.names import (
    ANSWER_COLUMNS,
    BAD_WORDS,
    CHAT_COLUMNS,
    CONTENT_KEYS,
    GOOD_WORDS,
    QUESTION_COLUMNS,
    ROLE_KEYS,
    SCORES,
    SPEAKER_KEYS,
    plain,
)
from core.data.shapes.outcome import UNTRAINED, Message, Recognised, Refused, Unusable
from core.data.shapes.plan import (
    CLASSIFICATION,
    MAPPED,
    ColumnPlan,
    Columns,
    RowLayout,
    layout_of,
    mapped_layout,
)
from core.data.shapes.rendered import apart, rendered_as
from core.data.shapes.text import MEDIA, SIGNS, TOOLS, is_absent, is_formula, is_true, text_of

_NAMED = 6
# rows with a thousand columns each of another name must not be remembered
_MOST_CACHED = 60


def recognise(row: Row, columns: Mapping[str, str] | None = None) -> Recognised | Refused:
    """The row as messages, or why it can't be used. A mapping {column: role} wins over the columns' names."""
    data = row.data
    try:
        layout = _layout(tuple(data), columns)
        if layout.tools or layout.media or layout.judged or layout.worse:
            _forbid(layout, data)
        if any(not is_absent(data[column]) for column in layout.worse):
            return _better(layout, data)
        if "current_node" in data and isinstance(data.get("mapping"), dict):
            remarks: list[Remark] = []
            messages = read_tree(data["mapping"], data["current_node"], remarks)
            _check(messages)
            return Recognised("ChatGPT's conversations, the current branch of each", messages, [], remarks)
        if not layout.plans:
            return _meaningless(layout, data, mapped=bool(columns))
        plan = layout.plans[0] if len(layout.plans) == 1 else _fitting(layout.plans, data)
        return _carry_out(plan, data)
    except Unusable as problem:
        return problem.refused


def _layout(names: Columns, columns: Mapping[str, str] | None) -> RowLayout:
    if columns:
        find = mapped_layout if len(names) <= _MOST_CACHED else mapped_layout.__wrapped__
        return find(names, tuple(columns.items()))
    return layout_of(names) if len(names) <= _MOST_CACHED else layout_of.__wrapped__(names)


def _carry_out(plan: ColumnPlan, data: dict[str, Any]) -> Recognised:
    remarks: list[Remark] = []
    unused = [column for column in plan.spare if not is_absent(data[column])]
    shape = plan.shape
    if plan.text:
        messages = _side(plan.text, "text", data, remarks)
        if [message["role"] for message in messages] != ["text"]:
            raise Unusable("empty answer", f"has no text in {_quoted(plan.text)}")
        _note_rendered(shape, messages, remarks)
        return Recognised(shape, messages, unused, remarks)
    if plan.messages:
        shape, messages = _chat(plan, data, unused, remarks)
    else:
        messages = _pair(plan, data, remarks)
    if plan.system:
        messages = _with_system(messages, plan.system, data, unused, remarks)
    _check(messages)
    if unused:
        unused = [column for column in unused if not _is_said(data.get(column), messages)]
    for column in plan.reasoning:
        if isinstance(data[column], str) and messages[-1]["role"] == "assistant":
            add_reasoning(messages, data[column], remarks)
    if shape == CLASSIFICATION:
        remarks.append(
            Remark("classification", f"“{messages[-1]['content'][:40]}” in {_quoted(plan.assistant)}")
        )
    _note_rendered(shape, messages, remarks)
    return Recognised(shape, messages, unused, remarks)


def _note_rendered(shape: str, messages: list[Message], remarks: list[Remark]) -> None:
    """Ask what is to become of a chat that is written out; whoever maps the columns has said it."""
    written = "" if shape == MAPPED else rendered_as(messages)
    if written:
        remarks += [Remark("rendered chat", written), Remark("rendered chat as text", "")]


def _is_said(value: Any, messages: list[Message]) -> bool:
    """Whether a column only repeats what a message says."""
    return isinstance(value, str) and any(value.strip() == message["content"].strip() for message in messages)


def _better(layout: RowLayout, data: dict[str, Any]) -> Recognised:
    """The row with the better of its answers; a whole chat in its place is taken as it is."""
    remarks: list[Remark] = []
    column = next((column for column in layout.better if not is_absent(data[column])), "")
    if not column:
        raise Unusable(
            "no answer", f"has an answer in {_quoted(layout.worse)} but none in {_quoted(layout.better)}"
        )
    value = data[column]
    if isinstance(value, dict) and not is_message(value):
        value = next((value[key] for key in (*ANSWER_COLUMNS, *CONTENT_KEYS) if key in value), value)
    answered = _side_of(value, column, "assistant", remarks)
    if len(answered) == 1:
        written = [{"role": "text", "content": answered[0]["content"]}]
        answered = apart(written) or answered
    if answered and answered[0]["role"] == "assistant":
        answered = _lead(data, remarks) + answered
    _check(answered)
    reason = f"{_quoted((column,))} is taken, {_quoted(layout.worse)} is not"
    remarks.append(Remark("preference pairs", reason))
    return Recognised("preference pairs", answered, [], remarks)


def _lead(data: dict[str, Any], remarks: list[Remark]) -> list[Message]:
    """What stands before two answers to choose from: a chat or a question; also OpenAI's input."""
    named = {plain(column): column for column in reversed(data) if not is_absent(data[column])}
    for name in (*CHAT_COLUMNS, *QUESTION_COLUMNS):
        if name not in named:
            continue
        value = data[named[name]]
        if isinstance(value, dict) and "messages" in value:
            value = value["messages"]
        lead = read_turns(value, name, remarks).messages if name in CHAT_COLUMNS else []
        lead = lead or _side_of(value, name, "user", remarks)
        context = named.get("input", "") if name == "instruction" else ""
        more = _side((context,), "user", data, remarks) if context else []
        if more:
            lead = [*lead[:-1], {**lead[-1], "content": f"{lead[-1]['content']}\n\n{more[0]['content']}"}]
        system = named.get("system", "")
        lead = _with_system(lead, (system,), data, [], remarks) if system else lead
        return [one | UNTRAINED if one["role"] == "assistant" else one for one in lead]
    raise Unusable("empty question", "has two answers to choose from but no question")


def _side_of(value: Any, column: str, role: str, remarks: list[Remark]) -> list[Message]:
    return _side((column,), role, {column: value}, remarks)


def _chat(
    plan: ColumnPlan, data: dict[str, Any], unused: list[str], remarks: list[Remark]
) -> tuple[str, list[Message]]:
    """Columns that hold lists of turns, one after the other."""
    shape, messages = plan.shape, []
    for column in plan.messages:
        if len(plan.messages) > 1 and is_absent(data[column]):
            continue
        turns = read_turns(data[column], column, remarks)
        messages += turns.messages
        if plan.shape == "messages":
            shape = turns.shape
        if turns.extra:
            unused += [f"{column}.{key}" for key in sorted(turns.extra)]
    return shape, messages


def _pair(plan: ColumnPlan, data: dict[str, Any], remarks: list[Remark]) -> list[Message]:
    """A question and its answer, each of one or more columns, after what was said before."""
    messages: list[Message] = []
    for column in plan.history:
        messages += read_history(data[column], column, remarks)
    asked = _side(plan.user + plan.input, "user", data, remarks)
    answered = _side(plan.assistant, "assistant", data, remarks)
    if not answered and plan.assistant:
        raise Unusable("empty answer", f"has an empty answer in {_quoted(plan.assistant)}")
    if not asked and (plan.user or not messages):
        raise Unusable("empty question", f"has an empty question in {_quoted(plan.user)}")
    if any(message["role"] == "assistant" for message in answered):
        # what was said before the completion is read, whoever said it
        asked = [one | UNTRAINED if one["role"] == "assistant" else one for one in asked]
    return messages + asked + answered


def _side(columns: Columns, role: str, data: dict[str, Any], remarks: list[Remark]) -> list[Message]:
    """What one side says: the messages that its columns hold, and their texts as one message."""
    messages: list[Message] = []
    texts: list[str] = []
    for column in columns:
        value = data[column]
        if type(value) is not str:
            if _holds_messages(value):
                messages += read_turns(value, column, remarks).messages
                continue
            value = (
                "" if is_absent(value) else text_of(_single(value, column, remarks), f"“{column}”", remarks)
            )
        if not value or value.isspace():
            continue
        if value[0] in SIGNS and is_formula(value):
            remarks.append(Remark("formula cells", f"begins with “{value[:20]}” in “{column}”"))
        texts.append(value)
    if texts:
        messages.append({"role": role, "content": texts[0] if len(texts) == 1 else "\n\n".join(texts)})
    return messages


def _holds_messages(value: Any) -> bool:
    return is_message(value) or (isinstance(value, list) and bool(value) and all(map(is_message, value)))


def _single(value: Any, column: str, remarks: list[Remark]) -> Any:
    """The one text of a list of one; several could be choices, so they are not joined.

    Of `answers`, alike as SQuAD has them ({"text": […]}), the first is taken.
    """
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        value = value["text"]
        if not value:
            return ""
        remarks.append(Remark("several answers", f"{len(value)} in “{column}”"))
        value = value[:1]
    if plain(column) == "answers" and isinstance(value, list) and len(value) > 1:
        remarks.append(Remark("several answers", f"{len(value)} in “{column}”"))
        value = value[:1]
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "text" in value[0]:
        return value[0]["text"]
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        return value
    if len(value) > 1:
        raise Unusable("bad message", f"has {len(value)} texts where one belongs in “{column}”")
    return value[0]


def _with_system(
    messages: list[Message], columns: Columns, data: dict[str, Any], unused: list[str], remarks: list[Remark]
) -> list[Message]:
    """The messages with the row's system column in front, unless they begin with one of their own."""
    texts = []
    for column in columns:
        value = data[column]
        if isinstance(value, dict):
            value = value.get("parts", value.get("content"))
        if not is_absent(value):
            texts.append(text_of(value, f"“{column}”", remarks))
    if not texts:
        return messages
    system = "\n\n".join(texts)
    if messages and messages[0]["role"] == "system":
        if messages[0]["content"] != system:
            unused += columns
        return messages
    return [{"role": "system", "content": system}, *messages]


def _check(messages: list[Message]) -> None:
    """Refuse a row in which there is nothing to learn, or something to learn from is missing."""
    answers = trained = 0
    for message in messages:
        role, text = message["role"], message["content"]
        if role == "assistant":
            answers += 1
            trained += "weight" not in message
        if (not text or text.isspace()) and role != "system":
            kind = "empty answer" if role == "assistant" else "empty question"
            raise Unusable(kind, f"has an {kind}")
    if not answers:
        raise Unusable("no answer", "has no answer")
    if not trained:
        raise Unusable("nothing trained", "has only answers that are marked as not to be trained")


def _fitting(plans: tuple[ColumnPlan, ...], data: dict[str, Any]) -> ColumnPlan:
    """The first plan whose columns are all filled, else the first of which anything is."""
    filled = [
        (plan, [not is_absent(data[column]) for column in plan.goal], bool(plan.text)) for plan in plans
    ]
    whole = [plan for plan, goal, is_text in filled if all(goal) and not is_text]
    begun = [plan for plan, goal, _ in filled if any(goal)]
    return (whole or begun or [plans[0]])[0]


def _forbid(layout: RowLayout, data: dict[str, Any]) -> None:
    """Refuse what is recognised but can't be trained."""
    for column in layout.judged:
        if _is_good(data[column], plain(column) in SCORES) is False:
            raise Unusable("judged bad", f"holds an answer that “{column}” marks as bad ({data[column]})")
    if any(not is_absent(data[column]) and data[column] not in ("[]", "{}") for column in layout.tools):
        raise Unusable("tool calls", TOOLS)
    if any(not is_absent(data[column]) for column in layout.media):
        raise Unusable("images", MEDIA)


def _is_good(value: Any, is_score: bool) -> bool | None:
    """What a judgement says; None where it is none. A score of 0 or less is bad."""
    said = str(value).strip().lower().replace(" ", "_")
    if said in GOOD_WORDS or said in BAD_WORDS:
        return said in GOOD_WORDS
    if not is_score:
        return is_true(value)
    try:
        return float(said) > 0 if said and not isinstance(value, bool) else is_true(value)
    except ValueError:
        return None


def _meaningless(layout: RowLayout, data: dict[str, Any], mapped: bool) -> Refused:
    if mapped:
        return Refused("unknown columns", f"has no column of a role that was chosen, only {_named(data)}")
    names = set(map(plain, data))
    if names & {*ROLE_KEYS, *SPEAKER_KEYS} and names & {*CONTENT_KEYS}:
        return Refused("unknown columns", f"has one message ({_named(data)}) where a list of them belongs")
    if layout.asked:
        said = f"has a question (“{layout.asked}”) but no known column for its answer"
        return Refused("unknown columns", f"{said} ({_named(data)})")
    return Refused("unknown columns", f"has columns that mean nothing here ({_named(data)})")


def _named(data: dict[str, Any]) -> str:
    named = ", ".join(f"“{column[:40]}”" for column in list(data)[:_NAMED])
    return (named or "none") + (f" and {len(data) - _NAMED} more" if len(data) > _NAMED else "")


def _quoted(columns: Columns) -> str:
    return ", ".join(f"“{column}”" for column in columns) or "a column that it lacks"
