"""Every kind of problem that a dataset can have: how bad it is, what is said, and the fix that is offered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]
LEAVE_OUT = "Leave these rows out"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem.

    severity: an `error` rejects the data until its fix is taken, a `warning` is for the person to judge, a
    `note` is only said. says: the sentence after “12 rows ”, or a whole one if it is about the dataset.
    drops: such rows are never trained on. fix: what the one click says; None where there is nothing to
    offer. fix_drops: the fix leaves the rows out; otherwise it rewrites them, or takes them as they are said
    to be. settles: the kind whose question this fix answers in another way.
    """

    name: str
    severity: Severity
    says: str
    drops: bool = False
    fix: str | None = None
    fix_drops: bool = True
    about_rows: bool = True
    settles: str = ""


class Remark(NamedTuple):
    """One thing that stands out in one row: which kind of problem it is, and what exactly was seen."""

    kind: str
    detail: str


def _unusable(name: str, says: str) -> Kind:
    """Rows of which no messages can be made."""
    return Kind(name, "error", says, drops=True, fix=LEAVE_OUT)


def _mendable(name: str, says: str, fix: str) -> Kind:
    """Text that a fix rewrites."""
    return Kind(name, "warning", says, fix=fix, fix_drops=False)


def _assumed(name: str, fix: str) -> Kind:
    """What the reading took for granted of a file; nothing is trained before the person agrees."""
    return Kind(name, "error", "", fix=fix, fix_drops=False, about_rows=False)


def _decision(name: str, says: str, fix: str) -> Kind:
    """Rows that can be used in a way that the person has to choose."""
    return Kind(name, "error", says, fix=fix, fix_drops=False)


def _instead(name: str, says: str, fix: str, of: str) -> Kind:
    """The other answer to a decision."""
    return Kind(name, "note", says, fix=fix, fix_drops=False, settles=of)


_ALL = (
    # the file
    Kind("unreadable file", "error", "", drops=True, about_rows=False),
    _assumed("other encoding", "Read it so"),
    _assumed("no header", "Name the columns so"),
    _assumed("doubled columns", "Keep these names"),
    _decision("Python lists", "hold a list as Python writes it, which is not JSON", "Read them so"),
    Kind("stray commas", "warning", "have a comma too much, which JSON does not allow; it is passed over"),
    Kind("NaN values", "note", "hold NaN or Infinity, which JSON lacks; that is read as empty"),
    _unusable("unreadable row", "can't be read"),
    # the row's shape
    _unusable("unknown columns", "have columns that mean nothing here"),
    _unusable("no messages", "have an empty list of messages"),
    _unusable("bad message", "hold a message that is none"),
    _unusable("unknown role", "name a role that is none"),
    _unusable("missing content", "have a message without text"),
    _unusable("no answer", "have no answer at all"),
    _unusable("tool calls", "hold tool calls, which can't be trained yet"),
    _unusable("images", "hold images, sound or video; only text can be trained"),
    _decision(
        "preference pairs",
        "hold a better and a worse answer; only the better ones can be trained",
        "Train the better answers",
    ),
    Kind(
        "judged bad",
        "error",
        "hold an answer that is marked as bad",
        drops=True,
        fix="Use only the good ones",
    ),
    _decision("rendered chat", "hold a chat written out as one text", "Take them apart into turns"),
    _instead(
        "rendered chat as text",
        "can also be trained as plain text, with all marks",
        "Train them as plain text",
        of="rendered chat",
    ),
    _decision("classification", "hold a text and its label", "Ask with the text, answer with the label"),
    _decision(
        "reasoning",
        "hold the thinking before the answer apart from it",
        "Write it before the answer as <think>…</think>",
    ),
    _instead(
        "reasoning left out", "can also be trained without it", "Leave the thinking out", of="reasoning"
    ),
    Kind("empty answer", "warning", "have an empty answer and are left out", drops=True),
    Kind("empty question", "warning", "have an empty question and are left out", drops=True),
    Kind("not text", "warning", "have a number where text belongs; it is taken as written"),
    Kind("formula cells", "warning", "begin with = + - or @ like a spreadsheet's formula"),
    Kind("extra columns", "warning", "have columns that are not used"),
    Kind("idle columns", "note", "have columns that nobody needs"),
    Kind("several answers", "note", "have a list of answers, of which the first is taken"),
    Kind("blank turns", "note", "hold turns in which nothing is said; those turns are left out"),
    Kind("media left out", "note", "hold pictures or files, of which only the text around them is used"),
    Kind("late column", "warning", "are the first to fill a column that was empty for very long"),
    Kind("mixed shapes", "warning", "", about_rows=False),
    Kind("few rows", "warning", "", about_rows=False),
    Kind("little data", "note", "", about_rows=False),
    Kind("nothing usable", "error", "", about_rows=False),
    # the order of turns
    Kind("late system", "warning", "have a system message after their beginning"),
    Kind("assistant first", "warning", "begin with an answer"),
    Kind("ends on user", "warning", "end with a question that has no answer"),
    Kind("repeated role", "warning", "have two turns of the same side in a row"),
    # the text
    _mendable(
        "control tokens",
        "hold the text of control tokens; it is trained as plain text",
        "Take that text out",
    ),
    Kind("forged turn", "warning", "hold a forged turn (control tokens with a role)", fix=LEAVE_OUT),
    Kind("template braces", "note", "hold template braces like {{ name }}"),
    _mendable("separators", "end their texts with separators of old formats", "Take the separators out"),
    Kind(
        "line separators",
        "note",
        "hold line separators that few programs know (U+2028, U+2029, U+0085)",
        fix="Write them as line breaks",
        fix_drops=False,
    ),
    _mendable("null characters", "hold a null character", "Remove them"),
    _mendable("invisible characters", "hold invisible or direction-changing characters", "Remove them"),
    _mendable("unusual forms", "write letters with separate accents (NFD)", "Write them in one form (NFC)"),
    _mendable("e-mail addresses", "hold an e-mail address", "Mask them"),
    _mendable("phone numbers", "hold a phone number", "Mask them"),
    _mendable("API keys", "hold what looks like an API key", "Mask them"),
    _mendable("private keys", "hold a private key", "Mask them"),
    Kind("mixed scripts", "note", "", about_rows=False),
    # rows beside each other
    Kind("duplicates", "warning", "stand more than once", fix="Keep one of each"),
    Kind("near-duplicates", "warning", "are almost the same as an earlier one", fix="Keep one of each"),
    Kind("held-out leak", "warning", "also stand in the held-out file and are not trained on", drops=True),
    Kind("bad held-out file", "error", "", about_rows=False),
    Kind("alike answers", "warning", "", about_rows=False),
    Kind("short answers", "note", "have an answer of one or two words"),
    # as the model sees them
    Kind("over-long", "warning", "are longer than the maximum length and are cut off there"),
    Kind("answer cut away", "warning", "lose their whole answer to the maximum length", drops=True),
    Kind("every answer cut away", "error", "", drops=True, about_rows=False),
    Kind("nothing trained", "warning", "have no token to learn", drops=True),
    Kind("rewritten answers", "warning", "have earlier answers that the chat template rewrites; not trained"),
    Kind("lost characters", "warning", "hold characters that the model has no token for"),
)
KINDS = {kind.name: kind for kind in _ALL}
_OF_ROWS = [kind.name for kind in _ALL if kind.about_rows]
# one bit a kind in the flags of a row, which have 64; none for what is said of the whole data
BITS = {kind.name: 0 for kind in _ALL} | {name: 1 << place for place, name in enumerate(_OF_ROWS)}
