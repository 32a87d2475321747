"""Which columns of a row become which part of its messages: recognised by their names, or as mapped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from core.data.shapes.names import (
    ANSWER_COLUMNS,
    ANSWERS_TO,
    BETTER,
    CHAT_COLUMNS,
    CONTEXT_COLUMNS,
    HISTORY_COLUMNS,
    JUDGED,
    LABEL_COLUMNS,
    MEDIA_COLUMNS,
    QUESTION_COLUMNS,
    REASONING,
    SCORES,
    SYSTEM_COLUMNS,
    TEXT_COLUMNS,
    TOOL_COLUMNS,
    WORSE,
    plain,
)

MAPPED = "mapped columns"
PLAIN_TEXT = "plain text"
CLASSIFICATION = "classification"

Columns = tuple[str, ...]
_SIDES = {
    "user": QUESTION_COLUMNS,
    "assistant": ANSWER_COLUMNS,
    "input": CONTEXT_COLUMNS,
    "system": SYSTEM_COLUMNS,
    "history": HISTORY_COLUMNS,
}


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """The columns of each role, in the file's order; `spare` are those that no message is made of."""

    shape: str
    messages: Columns = ()
    system: Columns = ()
    history: Columns = ()
    user: Columns = ()
    input: Columns = ()
    assistant: Columns = ()
    text: Columns = ()
    reasoning: Columns = ()
    spare: Columns = ()

    @property
    def goal(self) -> Columns:
        """The columns without which the plan makes nothing."""
        return self.messages + self.user + self.assistant + self.text


@dataclass(frozen=True, slots=True)
class RowLayout:
    """What the columns of a row allow: plans, the best first, and the columns that may forbid its use.

    `asked` is a question column, to be named where there is no plan.
    """

    plans: tuple[ColumnPlan, ...]
    tools: Columns = ()
    media: Columns = ()
    judged: Columns = ()
    better: Columns = ()
    worse: Columns = ()
    asked: str = ""


# a file has a handful of different rows; one with thousands must not fill the memory
@lru_cache(maxsize=64)
def layout_of(columns: Columns) -> RowLayout:
    """What columns with these names mean."""
    named: dict[str, str] = {}
    for column in columns:
        named.setdefault(plain(column), column)
    chats = _present(CHAT_COLUMNS, named)
    plans = [ColumnPlan("messages", messages=(chat,)) for chat in chats]
    plans += [replace(pair, history=_present(HISTORY_COLUMNS, named)) for pair in _pairs(named)]
    system = _present(SYSTEM_COLUMNS, named)[:1]
    plans = [replace(plan, system=system) for plan in plans]
    # beside a role, a text is one turn of a chat whose others stand in other rows
    texts = () if _present(("role", "speaker"), named) else _present(TEXT_COLUMNS, named)
    labels = _present(LABEL_COLUMNS, named)[:1] if not plans else ()
    plans += [ColumnPlan(CLASSIFICATION, user=(text,), assistant=labels) for text in texts if labels]
    plans += [ColumnPlan(PLAIN_TEXT, text=(column,)) for column in texts]
    judges = plans and not plans[0].text and plans[0].shape != CLASSIFICATION
    reasoning = _present(REASONING, named)[:1]
    plans = [plan if plan.text else replace(plan, reasoning=reasoning) for plan in plans]
    better, worse = _starting(BETTER, named), _starting(WORSE, named)
    tools, media = _present(TOOL_COLUMNS, named), _present(MEDIA_COLUMNS, named)
    # a row with tools or media in it is refused, so these are never spare
    others = tuple(column for column in columns if column not in tools + media)
    return RowLayout(
        plans=tuple(_with_spare(plan, others) for plan in plans),
        tools=tools,
        media=media,
        judged=_present(JUDGED + SCORES, named) if judges else (),
        better=better,
        worse=worse if better else (),
        asked="".join(_present(QUESTION_COLUMNS, named)[:1]),
    )


@lru_cache(maxsize=64)
def mapped_layout(columns: Columns, mapping: tuple[tuple[str, str], ...]) -> RowLayout:
    """What the user says that these columns are."""
    chosen = roles_by_column(columns, dict(mapping))

    def of(role: str) -> Columns:
        return tuple(column for column in columns if chosen[column] == role)

    plan = ColumnPlan(
        MAPPED,
        messages=of("messages"),
        system=of("system"),
        history=of("history"),
        user=of("user"),
        input=of("input"),
        assistant=of("assistant"),
        text=of("text"),
        spare=of(""),
    )
    if not plan.text:
        named = {plain(column): column for column in plan.spare}
        reasoning = _present(REASONING, named)[:1]
        plan = replace(
            plan, reasoning=reasoning, spare=tuple(one for one in plan.spare if one not in reasoning)
        )
    unasked = "user" in dict(mapping).values() and not plan.user
    return RowLayout(plans=(plan,) if plan.goal and not unasked else ())


def roles_by_column(columns: Collection[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """The role of each column, "" for none. A mapping that makes nothing by itself is completed by names."""
    roles = {plain(column): role for column, role in mapping.items()} | dict(mapping)
    chosen = {column: roles.get(column) or roles.get(plain(column), "") for column in columns}
    taken = set(mapping.values()) - {"ignore"}
    if taken & {"messages", "text"} or ("assistant" in taken and taken & {"user", "input", "history"}):
        return chosen
    left = {plain(column): column for column, role in chosen.items() if not role}
    names = {"messages": CHAT_COLUMNS} if taken <= {"system"} and _present(CHAT_COLUMNS, left) else _SIDES
    for role, known in names.items():
        for column in _present(known, left)[:1] if role not in taken else ():
            chosen[column] = role
            del left[plain(column)]
    return chosen


def _pairs(named: dict[str, str]) -> list[ColumnPlan]:
    """A plan for every question column that has an answer column, each answer used once."""
    plans: list[ColumnPlan] = []
    taken: set[str] = set()
    for question, shape in QUESTION_COLUMNS.items():
        if question not in named:
            continue
        answers = _present(ANSWERS_TO.get(question, ANSWER_COLUMNS), named)
        free = [answer for answer in answers if answer not in taken]
        for answer in free[:1] or answers[:1]:
            taken.add(answer)
            context = _present([name for name in CONTEXT_COLUMNS if name != question], named)
            plans.append(ColumnPlan(shape, user=(named[question],), input=context, assistant=(answer,)))
    return plans


def _with_spare(plan: ColumnPlan, columns: Columns) -> ColumnPlan:
    used = {*plan.goal, *plan.system, *plan.history, *plan.input, *plan.reasoning}
    return replace(plan, spare=tuple(column for column in columns if column not in used))


def _present(names: Collection[str], named: dict[str, str]) -> Columns:
    return tuple(named[name] for name in names if name in named)


def _starting(words: Collection[str], named: dict[str, str]) -> Columns:
    return tuple(
        column for name, column in named.items() if any(name == w or name.startswith(w + "_") for w in words)
    )
