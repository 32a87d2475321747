"""A run's conversation: kept in its folder, asked of the tuned model and of its base beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.base.errors import UserError
from core.base.files import read_json
from core.base.records import decode_all, write_record
from core.chat.service import Answer, ChatServer

Side = Literal["tuned", "base"]
# a browser that gets every token one by one spends more on drawing than the model on thinking
REDRAW_S = 0.08


@dataclass
class Turn:
    """A question, and each side's answer; None where that side was not asked.

    `cut`: the sides that have not finished. `limited`: the number of tokens after which a side had to end.
    """

    user: str
    tuned: str | None = None
    base: str | None = None
    cut: list[Side] = field(default_factory=list)
    limited: dict[Side, int] = field(default_factory=dict)

    def answer(self, side: Side) -> str | None:
        return getattr(self, side)


@dataclass(frozen=True)
class Manner:
    """How to ask: system prompt (empty: the model's own), temperature, most tokens of an answer."""

    system: str = ""
    temperature: float = 0.7
    max_tokens: int = 256


@dataclass
class Talk:
    """One run's conversation in this process. The turns are read from and written to `folder`."""

    folder: Path
    turns: list[Turn] = field(default_factory=list)
    problem: str = ""
    doing: str = ""
    cancel: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def file(self) -> Path:
        return self.folder / "conversation.json"

    @property
    def busy(self) -> bool:
        return self.lock.locked()

    def load(self) -> Talk:
        """Read the turns that were kept; a damaged file starts an empty conversation."""
        try:
            saved = read_json(self.file)
        except UserError:
            saved = None
        self.turns = decode_all(saved.get("turns"), Turn) if isinstance(saved, dict) else []
        return self

    def save(self) -> None:
        write_record(self.file, {"turns": self.turns})

    def clear(self) -> None:
        """Begin a new conversation. A UserError while an answer is being written."""
        if self.busy:
            raise UserError("An answer is being written. Stop it first.")
        self.turns, self.problem = [], ""
        self.save()

    def shown(self, side: Side) -> list[tuple[str, str, str]]:
        """One side's conversation: question, answer, and why an answer is not whole (empty where it is)."""
        return [
            (turn.user, answer or "…", self._note(turn, side))
            for turn in self.turns
            if (answer := turn.answer(side)) is not None
        ]

    def _note(self, turn: Turn, side: Side) -> str:
        if limit := turn.limited.get(side):
            return f"Cut off at {limit} tokens, the longest answer asked for."
        writing = self.busy and turn is self.turns[-1]
        return "Stopped before its end." if side in turn.cut and turn.answer(side) and not writing else ""

    def messages(self, side: Side, system: str) -> list[dict[str, str]]:
        """What that side is sent: system prompt, its own earlier turns, the last question."""
        sent = [{"role": "system", "content": system}] if system else []
        for turn in self.turns[:-1]:
            if answer := turn.answer(side):
                sent.append({"role": "user", "content": turn.user})
                sent.append({"role": "assistant", "content": answer})
        return [*sent, {"role": "user", "content": self.turns[-1].user}]

    def ask(self, question: str, files: dict[Side, Path], manner: Manner) -> Iterator[None]:
        """Put a question to every side in `files`; yields whenever there is something new to show."""
        self._take_turn()
        self.turns.append(Turn(question))
        yield from self._answer(files, manner)

    def again(self, files: dict[Side, Path], manner: Manner) -> Iterator[None]:
        """Ask the last question once more of the sides that did not finish."""
        if not self.turns:
            return
        self._take_turn()
        turn = self.turns[-1]
        unfinished: dict[Side, Path] = {
            side: file for side, file in files.items() if side in turn.cut or not turn.answer(side)
        }
        yield from self._answer(unfinished, manner)

    def _take_turn(self) -> None:
        if not self.lock.acquire(blocking=False):
            raise UserError("The last question is still being answered. Wait for it, or stop it first.")
        self.cancel.clear()
        self.problem = ""

    def _answer(self, files: dict[Side, Path], manner: Manner) -> Iterator[None]:
        """One side after the other: together they would only share the same cores. Ends the turn."""
        turn = self.turns[-1]
        turn.cut = list(files)
        for side in files:
            setattr(turn, side, "")
            turn.limited.pop(side, None)
        try:
            for side, file in files.items():
                self.doing = f"Loading {file.name}"
                yield
                server = ChatServer.start(file)
                self.doing = "Writing"
                sent = self.messages(side, manner.system)
                answer = server.stream(sent, manner.temperature, manner.max_tokens, cancel=self.cancel)
                for text in paced(answer, self.cancel):
                    setattr(turn, side, text)
                    yield
                if self.cancel.is_set():
                    break
                turn.cut.remove(side)
                if answer.finish == "length":
                    turn.limited[side] = answer.tokens
            yield
        except UserError as problem:
            self.problem = str(problem)
            yield
        finally:
            self.doing = ""
            try:
                self.save()
            finally:
                self.lock.release()


def paced(
    answer: Answer, cancel: threading.Event, clock: Callable[[], float] = time.monotonic
) -> Iterator[str]:
    """The answer so far, as it grows, but not more often than a page can draw; whole at the end."""
    text = ""
    drawn = 0.0
    with closing(answer):
        for piece in answer:
            text += piece
            if clock() - drawn >= REDRAW_S:
                drawn = clock()
                yield text
    yield text or ("" if cancel.is_set() else "(The model said nothing.)")
