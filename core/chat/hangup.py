"""A question that nobody waits for any more ends at once, also while its prompt is being read."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any

import llama_cpp

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
_gone: ContextVar[threading.Event | None] = ContextVar("gone", default=None)


class Hangups:
    """ASGI layer: notes when the one who asked closes the connection, for the thread that computes."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Callable[..., Awaitable[None]]) -> None:
        gone = threading.Event()
        _gone.set(gone)

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                gone.set()
            return message

        await self.app(scope, heard, send)


def end_prompts_of_the_gone() -> None:
    """Let llama.cpp ask, while it reads a prompt, whether somebody still waits for the answer.

    It asks before each operation (`llama_set_abort_callback`; on the CPU only, GPUs read a prompt quickly).
    For a single token that would cost more than it saves: between two of them the server looks itself.
    """
    evaluate = llama_cpp.Llama.eval

    def watched(self: llama_cpp.Llama, tokens: Sequence[int]) -> None:
        gone = _gone.get()
        if gone is None or len(tokens) < 2:
            evaluate(self, tokens)
            return
        asks = llama_cpp.llama_cpp.ggml_abort_callback(lambda _: gone.is_set())
        never = llama_cpp.llama_cpp.ggml_abort_callback()
        nothing = ctypes.c_void_p()
        llama_cpp.llama_set_abort_callback(self._ctx.ctx, asks, nothing)
        try:
            evaluate(self, tokens)
        except RuntimeError:
            # what was read of it is no beginning for the next question
            self.reset()
            raise
        finally:
            llama_cpp.llama_set_abort_callback(self._ctx.ctx, never, nothing)

    llama_cpp.Llama.eval = watched
