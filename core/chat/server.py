"""The chat server's process: an OpenAI-compatible server of one GGUF file on 127.0.0.1, with a random key.

`python -m core.chat.server FILE.gguf READY_FILE --n-ctx N [--sha256 HEX] [--adapter NAME=FILE.gguf …]`; the
key comes in the environment. READY_FILE gets the port once the model is loaded. Ends when the process that
started it is gone.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from core.base.cores import idle_cores
from core.base.errors import UserError
from core.base.files import sha256_file, write_json
from core.base.process import die_with_parent
from core.chat.context import Context
from core.chat.questions import AnswerBroke, ChatQuestion, ChatWorker, Outcome
from core.chat.requests import (
    AdapterScale,
    ChatRequest,
    CompletionRequest,
    TokenizeRequest,
)
from core.chat.service import KEY
from core.models.gguf_header import read_header

B = TypeVar("B", bound=BaseModel)


def main() -> None:
    die_with_parent()
    arguments = _arguments()
    try:
        _check(arguments.gguf, arguments.sha256)
    except UserError as problem:
        write_json(arguments.ready, {"error": str(problem)})
        sys.exit(2)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    context = Context(arguments.gguf, arguments.n_ctx, idle_cores(), dict(arguments.adapter))
    app = ChatApi(context, arguments.gguf.stem, os.environ.pop(KEY)).app()
    write_json(arguments.ready, {"port": listener.getsockname()[1]})
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf", type=Path)
    parser.add_argument("ready", type=Path)
    parser.add_argument("--n-ctx", type=int, required=True)
    parser.add_argument("--sha256")
    parser.add_argument("--adapter", type=_named_file, action="append", default=[], metavar="NAME=FILE")
    return parser.parse_args()


def _named_file(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if not name or not file:
        raise argparse.ArgumentTypeError(f"“{text}” is not NAME=FILE")
    return name, Path(file)


def _check(gguf: Path, sha256: str | None) -> None:
    """llama.cpp loads a file whose second half is zeros and talks nonsense: compare with the noted hash."""
    read_header(gguf)
    if sha256 and sha256_file(gguf) != sha256:
        raise UserError(f"{gguf} is damaged: it is not the file that was exported. Export the run again.")


class ChatApi:
    """The addresses of the server of a loaded model called `name`; all but one want the key."""

    def __init__(self, context: Context, name: str, key: str) -> None:
        self._n_ctx = context.n_ctx
        self._vocabulary = context.vocabulary
        self._adapters = context.adapters
        self._worker = ChatWorker(context)
        self._name = name
        self._authorization = f"Bearer {key}".encode()

    def app(self) -> Starlette:
        """As an ASGI app. Whatever a page on another site sends, it gets no CORS permission."""
        posts = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/tokenize": self._tokenize,
        }
        routes = [Route(path, self._with_key(answer), methods=["POST"]) for path, answer in posts.items()]
        routes += [Route("/v1/models", self._with_key(self._models)), Route("/health", self._health)]
        # a page that let its own name point to our address (DNS rebinding) asks for that name
        ours = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        refusals = dict.fromkeys((UserError, AnswerBroke, HTTPException), _refuse)
        return Starlette(routes=routes, middleware=[ours], exception_handlers=refusals)

    def _with_key(self, answer: Any) -> Any:
        async def keyed(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, self._authorization):
                raise HTTPException(401, "This server wants its key.")
            return await answer(request)

        return keyed

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _models(self, request: Request) -> Response:
        models = [{"id": name, "object": "model"} for name in [self._name, *self._adapters]]
        return JSONResponse({"object": "list", "data": models})

    async def _tokenize(self, request: Request) -> Response:
        body = await _read(request, TokenizeRequest)
        return JSONResponse({"tokens": self._vocabulary.tokenize(body.content)})

    async def _chat(self, request: Request) -> Response:
        wish = await _read(request, ChatRequest)
        ids = self._vocabulary.chat([message.plain() for message in wish.messages])
        return await self._reply(request, wish, ids, _Form(wish.model or self._name, chat=True))

    async def _complete(self, request: Request) -> Response:
        wish = await _read(request, CompletionRequest)
        ids = self._vocabulary.prompt(wish.prompt)
        return await self._reply(request, wish, ids, _Form(wish.model or self._name, chat=False))

    async def _reply(
        self, request: Request, wish: CompletionRequest, ids: list[int], form: _Form
    ) -> Response:
        room = self._n_ctx - len(ids)
        if room <= 0:
            raise UserError(
                f"The conversation has {len(ids)} tokens and only {self._n_ctx} fit. "
                "Start a new conversation or shorten the last message."
            )
        if not ids:
            raise UserError("The prompt is empty. Write something.")
        limit = min(wish.max_completion_tokens or wish.max_tokens or room, room)
        question = ChatQuestion(ids, limit, wish, self._scales(wish), wish.stops)
        self._worker.ask(question)
        if wish.stream:
            events = _events(question, request, form, wish.stream_options.include_usage)
            return StreamingResponse(events, media_type="text/event-stream")
        text = "".join([piece async for piece in question.pieces(request)])
        return JSONResponse(form.whole(text, question.outcome))

    def _scales(self, wish: CompletionRequest) -> dict[str, float]:
        """How strongly which adapters count."""
        models = [self._name, *self._adapters]
        if wish.model and wish.model not in models:
            raise HTTPException(404, f"There is no “{wish.model}” here. Choose one of: {', '.join(models)}.")
        if wish.lora is not None:
            return {self._adapter(one): one.scale for one in wish.lora}
        return {wish.model: 1.0} if wish.model in self._adapters else {}

    def _adapter(self, one: AdapterScale) -> str:
        names = dict(enumerate(self._adapters))
        name = one.name if one.id is None else names.get(one.id, str(one.id))
        if name not in self._adapters:
            raise UserError(f"There is no adapter “{name}”, only: {', '.join(self._adapters) or 'none'}.")
        return name


@dataclass(frozen=True)
class _Form:
    """How the API writes an answer: a chat's or a text's."""

    model: str
    chat: bool
    id: str = field(default_factory=lambda: f"cmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, text: str = "", reason: str | None = None, first: bool = False) -> dict[str, Any]:
        """One piece of a stream."""
        delta = {"role": "assistant", "content": text} if first else {"content": text}
        return self._of("chat.completion.chunk", {"delta": delta} if self.chat else {"text": text}, reason)

    def whole(self, text: str, outcome: Outcome) -> dict[str, Any]:
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        return {**self._of("chat.completion", said, outcome.reason), "usage": _usage(outcome)}

    def _of(self, kind: str, said: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        head = {"id": self.id, "created": self.created, "model": self.model}
        return {**head, "object": kind if self.chat else "text_completion", "choices": [choice]}


async def _events(question: ChatQuestion, request: Request, form: _Form, usage: bool) -> AsyncIterator[str]:
    """An answer as server-sent events."""
    yield _event(form.chunk(first=True))
    try:
        async for text in question.pieces(request):
            yield _event(form.chunk(text)) if text else ": still there\n\n"
    except AnswerBroke as error:
        yield _event(_problem(500, str(error)))
        return
    yield _event(form.chunk(reason=question.outcome.reason))
    if usage:
        yield _event({**form.chunk(), "choices": [], "usage": _usage(question.outcome)})
    yield "data: [DONE]\n\n"


async def _read(request: Request, kind: type[B]) -> B:
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UserError(f"{'.'.join(map(str, first['loc'])) or 'The request'}: {first['msg']}.") from error


async def _refuse(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    status = 500 if isinstance(error, AnswerBroke) else status
    return JSONResponse(_problem(status, getattr(error, "detail", str(error))), status)


def _problem(status: int, message: str) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def _usage(outcome: Outcome) -> dict[str, int]:
    total = outcome.prompt + outcome.completion
    counts = {"prompt_tokens": outcome.prompt, "completion_tokens": outcome.completion}
    return {**counts, "total_tokens": total}


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"


if __name__ == "__main__":
    main()
