"""Questions wait in a row; one thread computes and answers them in turn."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue

from starlette.requests import Request

from core.chat.context import Context, Sampling
from core.chat.vocabulary import Speech

# a sign of life while nothing is said
_PING_S = 0.25


class AnswerBroke(Exception):
    """Why there is no (more) answer, for people."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"The answer broke off: “{error}”. Ask again, or start a new conversation.")


@dataclass(frozen=True)
class Outcome:
    """How an answer ended: `reason` is “stop”, or “length” where it was cut off. Counts are in tokens."""

    reason: str
    prompt: int
    completion: int


class ChatQuestion:
    """A prompt, how to go on with it (at most `limit` tokens), and the way of the answer to who has asked."""

    def __init__(
        self, ids: list[int], limit: int, sampling: Sampling, scales: Mapping[str, float], stops: list[str]
    ) -> None:
        self.ids, self.limit, self.sampling, self.scales, self.stops = ids, limit, sampling, scales, stops
        self.gone = threading.Event()
        self.outcome = Outcome("length", len(ids), 0)
        self._said: asyncio.Queue[str | Outcome | Exception] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def say(self, said: str | Outcome | Exception) -> None:
        """From the worker's thread: a piece of text, the outcome, or what went wrong."""
        if said != "":
            self._loop.call_soon_threadsafe(self._said.put_nowait, said)

    async def pieces(self, request: Request) -> AsyncIterator[str]:
        """The text as it comes, empty where nothing is said for a while; then `outcome` is there.

        Raises AnswerBroke. When `request` is closed or the iteration ends the worker stops at once.
        """
        watch = asyncio.create_task(self._watch(request))
        try:
            while True:
                try:
                    said = await asyncio.wait_for(self._said.get(), _PING_S)
                except asyncio.TimeoutError:
                    said = ""
                if isinstance(said, Exception):
                    raise AnswerBroke(said)
                if isinstance(said, Outcome):
                    self.outcome = said
                    return
                yield said
        finally:
            self.gone.set()
            watch.cancel()

    async def _watch(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue
        self.gone.set()


class ChatWorker:
    """The thread. A second question waits for the first."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._questions: SimpleQueue[ChatQuestion] = SimpleQueue()
        threading.Thread(target=self._work, name="chat-worker", daemon=True).start()

    def ask(self, question: ChatQuestion) -> None:
        """Put it at the end of the row."""
        self._questions.put(question)

    def _work(self) -> None:
        while True:
            question = self._questions.get()
            try:
                question.say(self._answer(question))
            except Exception as error:
                traceback.print_exc()
                question.say(error)

    def _answer(self, question: ChatQuestion) -> Outcome:
        vocabulary, speech = self._context.vocabulary, Speech(question.stops)
        count, stopped = 0, False
        tokens = self._context.answer(question.ids, question.sampling, question.scales, question.gone)
        with closing(tokens):
            for count, token in enumerate(tokens, 1):
                question.say(speech.add(vocabulary.piece(token)))
                stopped = vocabulary.ends(token) or speech.stopped
                if stopped or count == question.limit:
                    break
        question.say(speech.add(b"", final=True))
        return Outcome("stop" if stopped else "length", len(question.ids), count)
