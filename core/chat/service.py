"""The app's side of a chat: start the server of a GGUF file, stream answers, say in words when it dies."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from core.base.errors import UserError
from core.base.files import read_json
from core.base.process import death, end, spawn, telling_line
from core.export.record import noted_sha256
from core.models.gguf_header import read_header

KEY = "LORA_GARAGE_CHAT_KEY"
DEFAULT_CONTEXT = 4096
# each holds a whole model in memory: the tuned one and its base
MOST_SERVERS = 2
LOAD_TIMEOUT_S = 300.0
SILENCE_TIMEOUT_S = 300.0
# the server gives signs of life much more often, but a machine that swaps is slow
_LIFE_TIMEOUT_S = 60.0
# how soon a stop is heard while the server gives none
_LOOK_S = 0.1
# threads that wait give their core away: beside a training run 13 tokens a second instead of 2
_WAIT = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive")}

Message = dict[str, str]


class ChatServer:
    """One running llama.cpp server. Get it by `ChatServer.start`; it dies with this process at the latest."""

    def __init__(self, gguf: Path, n_ctx: int) -> None:
        self.gguf = gguf
        self.n_ctx = n_ctx
        self.port = 0
        self.key = secrets.token_urlsafe(32)
        self._folder = Path(tempfile.mkdtemp(prefix="lora-garage-chat-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.streams = 0

    @classmethod
    def start(cls, gguf: Path, n_ctx: int | None = None, timeout_s: float = LOAD_TIMEOUT_S) -> ChatServer:
        """The server of `gguf`, ready to answer; the one that already runs, if the file is still the same.

        `n_ctx` is the room for the whole conversation in tokens: by default 4096, or less if the model was
        built for less. Raises a UserError when the file is damaged, needs too much memory, or takes too long.
        """
        header = read_header(gguf)
        room = n_ctx or min(header.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
        return _registry.start(gguf.resolve(), room, timeout_s)

    @property
    def log(self) -> Path:
        return self._folder / "server.log"

    @property
    def url(self) -> str:
        """The base of its OpenAI-compatible addresses; they want `Authorization: Bearer <key>`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def answering(self) -> bool:
        """Whether somebody reads an answer from it now."""
        return self.streams > 0

    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the process, whatever it does, and forget its log."""
        if self._process is not None:
            end(self._process, patience_s=2.0)
        _registry.forget(self)
        shutil.rmtree(self._folder, ignore_errors=True)

    def stream(
        self,
        messages: list[Message],
        temperature: float = 0.7,
        max_tokens: int = 512,
        top_p: float = 0.95,
        seed: int | None = None,
        cancel: threading.Event | None = None,
    ) -> Answer:
        """The answer, piece by piece. Closing it, or setting `cancel`, stops the model.

        Its iteration raises a UserError when the conversation is too long or the server dies; then start it
        again.
        """
        question = {
            "messages": messages,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "top_p": top_p,
            "seed": secrets.randbelow(1 << 31) if seed is None else seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return Answer(self, question, cancel or threading.Event())

    def _begin(self, timeout_s: float) -> None:
        """Start the process and wait until the model is loaded."""
        ready = self._folder / "ready.json"
        args = [str(self.gguf), str(ready), "--n-ctx", str(self.n_ctx)]
        noted = noted_sha256(self.gguf)
        args += ["--sha256", noted] if noted else []
        with open(self.log, "wb") as log:
            self._process = spawn("core.chat.server", args, log, {**_WAIT, KEY: self.key})
        until = time.monotonic() + timeout_s
        while not ready.is_file():
            if not self.alive() and not ready.is_file():
                raise UserError(self.death("could not load"))
            if time.monotonic() > until:
                raise UserError(
                    f"Loading {self.gguf.name} took longer than {timeout_s:.0f} s. Try a smaller model."
                )
            time.sleep(0.05)
        news = read_json(ready)
        if "error" in news:
            raise UserError(news["error"])
        self.port = news["port"]

    def death(self, what: str) -> str:
        """What its end has kept it from, with its last words."""
        if self._process is None or self._process.poll() is None:
            return f"The chat with {self.gguf.name} {what}. Start it again."
        how = death(self._process.returncode)
        # who is killed has no last words: what stands in the log is about something else
        said = "" if "killed" in how else f", saying “{telling_line(self._last_words())}”"
        return f"The chat with {self.gguf.name} {what}: llama.cpp {how}{said}. Start the chat again."

    def broken(self, error: Exception) -> str:
        """Why an answer broke off."""
        if self._process is not None:
            # a dying process closes its connection a moment before it is gone
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        if not self.alive():
            return self.death("broke off")
        return f"The answer broke off: “{error}”. Ask again, or start a new conversation."

    def _last_words(self) -> str:
        if not self.log.is_file():
            return ""
        with open(self.log, "rb") as log:
            log.seek(max(0, self.log.stat().st_size - 64_000))
            return log.read().decode("utf-8", "replace")


class Answer:
    """Text as it comes. At its end `finish` is “stop”, or “length” where it was cut off, empty where somebody
    stopped it; `tokens` are how many there were."""

    def __init__(self, server: ChatServer, question: dict[str, Any], cancel: threading.Event) -> None:
        self.finish = ""
        self.tokens = 0
        self._server = server
        self._question = question
        self._cancel = cancel
        self._pieces = self._ask()

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """Stop it."""
        self._pieces.close()

    def _ask(self) -> Generator[str, None, None]:
        if not self._server.alive():
            raise UserError(self._server.death("is not running"))
        self._server.streams += 1
        try:
            yield from self._read()
        except httpx.HTTPError as error:
            if not self._cancel.is_set():
                raise UserError(self._server.broken(error)) from error
        finally:
            self._server.streams -= 1

    def _read(self) -> Generator[str, None, None]:
        url, headers = f"{self._server.url}/chat/completions", {"Authorization": f"Bearer {self._server.key}"}
        heard = time.monotonic()
        with (
            httpx.Client(timeout=_LIFE_TIMEOUT_S, trust_env=False) as client,
            client.stream("POST", url, json=self._question, headers=headers) as response,
        ):
            if response.status_code != 200:
                self._take(json.loads(response.read()))
            with _hanging_up(self._cancel, response):
                # while the model says nothing there are signs of life, several times a second
                for line in response.iter_lines():
                    if line == "data: [DONE]" or self._cancel.is_set():
                        return
                    if line.startswith("data: "):
                        heard = time.monotonic()
                        yield from self._take(json.loads(line.removeprefix("data: ")))
                    if time.monotonic() - heard > SILENCE_TIMEOUT_S:
                        seconds = f"{SILENCE_TIMEOUT_S:.0f} s"
                        raise UserError(f"The model has said nothing for {seconds}. Stop it and try again.")
        raise httpx.RemoteProtocolError("the connection was closed")

    def _take(self, event: dict[str, Any]) -> list[str]:
        """The pieces of text in an event. A UserError if it is an error."""
        if "error" in event:
            raise UserError(event["error"]["message"])
        self.tokens = event.get("usage", {}).get("completion_tokens", self.tokens)
        for choice in event["choices"]:
            self.finish = choice["finish_reason"] or self.finish
        return [choice["delta"]["content"] for choice in event["choices"] if choice["delta"]["content"]]


@contextmanager
def _hanging_up(cancel: threading.Event, response: httpx.Response) -> Iterator[None]:
    """Close the connection as soon as `cancel` is set: a server that swaps gives no sign of life."""
    over = threading.Event()
    connection = response.extensions["network_stream"].get_extra_info("socket")

    def watch() -> None:
        while not over.wait(_LOOK_S):
            if cancel.is_set():
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                return

    threading.Thread(target=watch, name="chat-cancel", daemon=True).start()
    try:
        yield
    finally:
        over.set()


class _Registry:
    """The servers of this process, one for each file; those not used for longest make room for new ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starting: dict[Path, threading.Lock] = {}
        self._servers: dict[Path, tuple[ChatServer, tuple[int, int]]] = {}

    def start(self, gguf: Path, n_ctx: int, timeout_s: float) -> ChatServer:
        with self._lock:
            turn = self._starting.setdefault(gguf, threading.Lock())
        with turn:
            stamp = (gguf.stat().st_size, gguf.stat().st_mtime_ns)
            server, known = self._servers.get(gguf, (None, None))
            if server is not None and server.alive() and (known, server.n_ctx) == (stamp, n_ctx):
                self._servers[gguf] = self._servers.pop(gguf)  # last in the row: used last
                return server
            if server is not None:
                server.stop()
            return self._begin(gguf, n_ctx, timeout_s, stamp)

    def _begin(self, gguf: Path, n_ctx: int, timeout_s: float, stamp: tuple[int, int]) -> ChatServer:
        idle = [other for other, _ in list(self._servers.values()) if not other.answering()]
        for other in idle[: max(0, len(self._servers) + 1 - MOST_SERVERS)]:
            other.stop()
        server = ChatServer(gguf, n_ctx)
        try:
            server._begin(timeout_s)
        except BaseException:
            server.stop()
            raise
        self._servers[gguf] = (server, stamp)
        return server

    def forget(self, server: ChatServer) -> None:
        with self._lock:
            if self._servers.get(server.gguf, (None,))[0] is server:
                del self._servers[server.gguf]

    def stop_all(self) -> None:
        for server, _ in list(self._servers.values()):
            server.stop()


_registry = _Registry()
atexit.register(_registry.stop_all)
