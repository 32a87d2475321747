"""What becomes of a row: messages, or one reason why it can't be used."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.data.kinds import Remark

Message = dict[str, str]
# {"weight": "0"} in a message: it is read, not trained
UNTRAINED = {"weight": "0"}


@dataclass(slots=True)
class Conversation:
    """One row as messages and where it stood.

    Each message is {"role": system|user|assistant, "content": text}, an answer that is read but not trained
    with UNTRAINED in it; a row of plain text is one message with the role “text”.
    """

    messages: list[Message]
    where: str


@dataclass(slots=True)
class Recognised:
    """A row as messages. `unused` names what no message was made of, `remarks` what stands out."""

    shape: str
    messages: list[Message]
    unused: list[str] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a row can't be used: a kind of problem, and words that follow the row's place (“has …”)."""

    kind: str
    reason: str


class Unusable(Exception):
    """Ends the recognition of one row; `refused` says why."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.refused = Refused(kind, reason)
