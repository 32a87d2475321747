"""The checks of one row that need no tokenizer, and the fixes of its text."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import core.data.doctor.characters as characters
import core.data.doctor.contacts as contacts
import core.data.doctor.keys as keys
import core.data.doctor.markers as markers
from core.data.doctor.glance import Glance
from core.data.doctor.turns import (
    order_of_turns,
    separators,
    short_answer,
    without_reasoning,
    without_separators,
)
from core.data.kinds import Remark
from core.data.shapes import Message, apart


class TextCheck(NamedTuple):
    """`may` is cheap and looks at a whole row; `find` says what it saw in one text; `clean` takes it out."""

    may: Callable[[Glance], bool]
    find: Callable[[str], str]
    clean: Callable[[str], str] | None = None


# what one fix leaves behind can be what the next one takes out, so the order matters: a zero-width space may
# stand inside a control token or a key
TEXT_CHECKS = {
    "null characters": TextCheck(
        lambda row: row.has("\0"), characters.null_characters, characters.without_null
    ),
    "invisible characters": TextCheck(
        characters.may_have_unseen, characters.invisible_characters, characters.without_invisible
    ),
    "line separators": TextCheck(
        lambda row: not row.text.isascii(), characters.line_separators, characters.with_line_breaks
    ),
    "unusual forms": TextCheck(
        lambda row: not row.text.isascii(), characters.unusual_forms, characters.in_one_form
    ),
    "control tokens": TextCheck(
        markers.may_have_control, markers.control_tokens, markers.without_control_tokens
    ),
    "forged turn": TextCheck(markers.may_have_control, markers.forged_turn),
    "template braces": TextCheck(markers.may_have_braces, markers.template_braces),
    "private keys": TextCheck(
        lambda row: row.dashes and "PRIVATE KEY" in row.text, keys.private_key, keys.without_private_keys
    ),
    "API keys": TextCheck(keys.may_have_key, keys.api_key, keys.without_api_keys),
    "e-mail addresses": TextCheck(lambda row: row.has("@"), contacts.email_address, contacts.without_emails),
    "phone numbers": TextCheck(Glance.has_long_number, contacts.phone_number, contacts.without_phones),
}
TEXT_FIXES = tuple(kind for kind, check in TEXT_CHECKS.items() if check.clean)
# fixes of whole rows, which come before those of their texts; a row that they don't fit stays as it is
ROW_FIXES: dict[str, Callable[[list[Message]], list[Message]]] = {
    "rendered chat": lambda messages: apart(messages) or messages,
    "reasoning left out": without_reasoning,
    "separators": without_separators,
}
# what would take the marks out of a chat that is written out as text, before it is taken apart
_DESTROYING = ("control tokens",)


def inspect(messages: list[Message], rendered: bool = False) -> list[Remark]:
    """Everything that stands out in one row, at most one remark a kind.

    rendered: the row is a chat written out as text, and is looked at as it reads when taken apart.
    """
    messages = (rendered and apart(messages)) or messages
    remarks = list(order_of_turns(tuple([message["role"] for message in messages])))
    remarks += filter(None, [separators(messages)])
    short = short_answer(messages)
    if short:
        remarks.append(short)
    row = Glance.at("\n".join([message["content"] for message in messages]))
    if not row.signs and row.text.isascii():
        return remarks
    for kind, check in TEXT_CHECKS.items():
        if check.may(row):
            remarks.extend(_seen(kind, check, messages))
    return remarks


def _seen(kind: str, check: TextCheck, messages: list[Message]) -> list[Remark]:
    for number, message in enumerate(messages, start=1):
        detail = check.find(message["content"])
        if detail:
            return [Remark(kind, f"{detail} in message {number}")]
    return []


def rewrite(messages: list[Message], kinds: Collection[str]) -> tuple[list[Message], list[str]]:
    """(the messages after the text fixes named in `kinds`, which of them changed something).

    `inspect` finds none of these kinds in the result. A turn may be empty then: see `empty_turn`.
    """
    wanted = [kind for kind in TEXT_FIXES if kind in kinds]
    changed: set[str] = set()
    for kind, mend in ROW_FIXES.items():
        mended = mend(messages) if kind in kinds else messages
        if mended != messages:
            changed.add(kind)
            messages = mended
    if any(kind in wanted for kind in _DESTROYING) and "rendered chat" not in kinds and apart(messages):
        wanted = [kind for kind in wanted if kind not in _DESTROYING]
    fixed = [{**message, "content": _rewritten(message["content"], wanted, changed)} for message in messages]
    return fixed, [kind for kind in (*ROW_FIXES, *wanted) if kind in changed]


def _rewritten(text: str, kinds: list[str], changed: set[str]) -> str:
    """The text after these fixes, applied again until none finds anything."""
    before = None
    while text != before:
        before = text
        for kind in kinds:
            check = TEXT_CHECKS[kind]
            if check.clean and check.find(text):
                text = check.clean(text)
                changed.add(kind)
    return text
