"""A run's conversation: kept in its folder, asked of the tuned model and of its base beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.base.errors import UserError
from core.base.files import read_json, write_json
from core.chat.service import ChatServer
from core.runs.run import Run

Side = Literal["tuned", "base"]
Turn = dict[str, Any]  # {"user": text, "tuned": text or None, "base": text or None}; None: was not asked
# a browser that gets every token one by one spends more on drawing than the model on thinking
REDRAW_S = 0.08


@dataclass(frozen=True)
class Manner:
    """How to ask: system prompt (empty: the model's own), temperature, most tokens of an answer."""

    system: str = ""
    temperature: float = 0.7
    max_tokens: int = 256


@dataclass
class Talk:
    """One run's conversation in this process. The turns are read from and written to the run's folder."""

    run: Run
    turns: list[Turn] = field(default_factory=list)
    problem: str = ""
    doing: str = ""
    cancel: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def file(self) -> Path:
        return self.run.chats / "conversation.json"

    @property
    def busy(self) -> bool:
        return self.lock.locked()

    def load(self) -> Talk:
        """Read the turns that were kept; a damaged file starts an empty conversation."""
        try:
            saved = read_json(self.file, {})
            turns = saved.get("turns", []) if isinstance(saved, dict) else []
        except UserError:
            turns = []
        self.turns = list(filter(_is_turn, turns)) if isinstance(turns, list) else []
        return self

    def save(self) -> None:
        write_json(self.file, {"turns": self.turns})

    def clear(self) -> None:
        """Begin a new conversation. A UserError while an answer is being written."""
        if self.busy:
            raise UserError("An answer is being written. Stop it first.")
        self.turns, self.problem = [], ""
        self.save()

    def shown(self, side: Side) -> list[dict[str, str]]:
        """The conversation of one side as the page shows it."""
        messages = []
        for turn in self.turns:
            if turn.get(side) is not None:
                messages.append({"role": "user", "content": turn["user"]})
                messages.append({"role": "assistant", "content": turn[side] or "…"})
        return messages

    def messages(self, side: Side, system: str) -> list[dict[str, str]]:
        """What that side is sent: system prompt, its own earlier turns, the last question."""
        sent = [{"role": "system", "content": system}] if system else []
        for turn in self.turns[:-1]:
            if turn.get(side):
                sent.append({"role": "user", "content": turn["user"]})
                sent.append({"role": "assistant", "content": turn[side]})
        return [*sent, {"role": "user", "content": self.turns[-1]["user"]}]

    def ask(self, question: str, files: dict[Side, Path], manner: Manner) -> Iterator[None]:
        """Put a question to every side in `files`; yields whenever there is something new to show."""
        self._take_turn()
        try:
            self.turns.append({"user": question, "tuned": None, "base": None})
            yield from self._answer(files, manner)
        finally:
            self._end_turn()

    def again(self, files: dict[Side, Path], manner: Manner) -> Iterator[None]:
        """Ask the last question once more of the sides that did not finish."""
        if not self.turns:
            return
        self._take_turn()
        try:
            yield from self._answer(
                {side: file for side, file in files.items() if not self._finished(side)}, manner
            )
        finally:
            self._end_turn()

    def _finished(self, side: Side) -> bool:
        return bool(self.turns[-1].get(side)) and side not in self.turns[-1].get("cut", [])

    def _take_turn(self) -> None:
        if not self.lock.acquire(blocking=False):
            raise UserError("The last question is still being answered. Wait for it, or stop it first.")
        self.cancel.clear()
        self.problem = ""

    def _end_turn(self) -> None:
        self.doing = ""
        try:
            self.save()
        finally:
            self.lock.release()

    def _answer(self, files: dict[Side, Path], manner: Manner) -> Iterator[None]:
        """One side after the other: together they would only share the same cores."""
        turn = self.turns[-1]
        turn["cut"] = list(files)
        for side in files:
            turn[side] = ""
        try:
            for side, file in files.items():
                self.doing = f"Loading {file.name}"
                yield
                server = ChatServer.start(file)
                self.doing = "Writing"
                for text in paced(server, self.messages(side, manner.system), manner, self.cancel):
                    turn[side] = text
                    yield
                if self.cancel.is_set():
                    break
                turn["cut"].remove(side)
        except UserError as problem:
            self.problem = str(problem)
        yield


def _is_turn(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("user"), str):
        return False
    return all(isinstance(value.get(side), (str, type(None))) for side in ("tuned", "base"))


def paced(
    server: ChatServer,
    messages: list[dict[str, str]],
    manner: Manner,
    cancel: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """The answer so far, as it grows, but not more often than a page can draw; whole at the end."""
    text = ""
    drawn = 0.0
    stream = server.stream(messages, manner.temperature, manner.max_tokens, cancel=cancel)
    with closing(stream):  # type: ignore[type-var]
        for piece in stream:
            text += piece
            if clock() - drawn >= REDRAW_S:
                drawn = clock()
                yield text
    yield text or ("" if cancel.is_set() else "(The model said nothing.)")
