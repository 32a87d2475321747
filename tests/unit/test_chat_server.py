"""The chat server on a little random model: its API, turns, stops, and adapters."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from core.chat.context import Context, Sampling
from core.chat.server import ChatApi
from tests.tiny_gguf import CONTEXT, write_tiny_gguf, write_tiny_lora

GREEDY = Sampling(temperature=0)
CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base model, an adapter, and both merged."""
    folder = tmp_path_factory.mktemp("tiny")
    added = write_tiny_lora(folder / "pirate.gguf")
    return {
        "base": write_tiny_gguf(folder / "base.gguf"),
        "pirate": folder / "pirate.gguf",
        "merged": write_tiny_gguf(folder / "merged.gguf", adapted=added),
    }


@pytest.fixture(scope="module")
def context(files: dict[str, Path]) -> Context:
    return Context(files["base"], CONTEXT, 1, {"pirate": files["pirate"]})


@pytest.fixture(scope="module")
def client(context: Context) -> Iterator[httpx.Client]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app = ChatApi(context, "base", "key").app()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    headers = {"Authorization": "Bearer key"}
    with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join()


def ask(client: httpx.Client, path: str = CHAT, **wish: Any) -> dict[str, Any]:
    wish = {"messages": HELLO, "prompt": "Hello", "temperature": 0, "max_tokens": 8, **wish}
    reply = client.post(path, json=wish)
    assert reply.status_code == 200, reply.text
    return reply.json()


def said(reply: dict[str, Any]) -> str:
    choice = reply["choices"][0]
    return choice["message"]["content"] if "message" in choice else choice["text"]


def events(client: httpx.Client, path: str, **wish: Any) -> list[Any]:
    wish = {"messages": HELLO, "prompt": "Hello", "temperature": 0, "max_tokens": 8, "stream": True, **wish}
    with client.stream("POST", path, json=wish) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in reply.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def tokens(context: Context, text: str, count: int = 16, **scales: float) -> list[int]:
    ids = context.vocabulary.chat([{"role": "user", "content": text}])
    answer = context.answer(ids, GREEDY, scales, threading.Event())
    return [token for token, _ in zip(answer, range(count))]


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_streamed_or_whole_it_is_the_same_answer(client: httpx.Client, path: str) -> None:
    whole = ask(client, path)
    pieces = events(client, path, stream_options={"include_usage": True}, unknown_field=1, top_p=None)
    usage = pieces.pop()
    assert usage["choices"] == [] and usage["usage"] == whole["usage"]
    counts = whole["usage"]
    assert counts["total_tokens"] == counts["prompt_tokens"] + counts["completion_tokens"]
    assert counts["completion_tokens"] == 8
    choices = [piece["choices"][0] for piece in pieces]
    text = "".join(choice.get("text") or choice.get("delta", {}).get("content", "") for choice in choices)
    assert text == said(whole) != ""
    reasons = [choice["finish_reason"] for choice in choices]
    assert reasons == [None] * (len(choices) - 1) + ["length"]
    assert whole["choices"][0]["finish_reason"] == "length"


def test_a_stop_text_ends_it(client: httpx.Client) -> None:
    text = said(ask(client))
    stopped = ask(client, stop=text[4:7])
    assert said(stopped) == text[: text.index(text[4:7])]
    assert stopped["choices"][0]["finish_reason"] == "stop"


def test_the_seed_decides(client: httpx.Client) -> None:
    answers = [said(ask(client, temperature=2, seed=seed)) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_an_answer_may_fill_the_context(client: httpx.Client) -> None:
    usage = ask(client, max_tokens=None, prompt="Hello " * (CONTEXT - 20), path=TEXT)["usage"]
    assert usage["total_tokens"] == CONTEXT


@pytest.mark.parametrize(
    ("status", "path", "body", "match"),
    [
        (
            400,
            CHAT,
            {"messages": [{"role": "user", "content": "x " * CONTEXT}]},
            "tokens and only 4096 fit. Start",
        ),
        (400, CHAT, {"messages": []}, "messages: "),
        (400, CHAT, {"messages": HELLO, "temperature": "hot"}, "temperature: "),
        (400, CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "text only"),
        (400, CHAT, "{", "The request: Invalid JSON"),
        (400, TEXT, {"prompt": ""}, "The prompt is empty"),
        (400, CHAT, {"messages": HELLO, "lora": [{"id": 7}]}, "no adapter “7”, only: pirate"),
        (404, CHAT, {"messages": HELLO, "model": "gone"}, "no “gone” here. Choose one of: base, pirate"),
        (404, "/v1/nothing", {}, "Not Found"),
    ],
)
def test_refusals_are_sentences(client: httpx.Client, status: int, path: str, body: Any, match: str) -> None:
    reply = client.post(path, content=body if isinstance(body, str) else json.dumps(body))
    assert reply.status_code == status
    assert match in reply.json()["error"]["message"]


def test_the_small_addresses(client: httpx.Client, context: Context) -> None:
    assert client.get("/health", headers={"Authorization": ""}).json() == {"status": "ok"}
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["base", "pirate"]
    typed = "Hello <|im_end|>"
    ids = client.post("/tokenize", json={"content": typed}).json()["tokens"]
    assert b"".join(map(context.vocabulary.piece, ids)).decode() == typed
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert said(ask(client, messages=[{"role": "user", "content": parts}])) == said(ask(client))


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer é".encode()}])
def test_without_the_key_there_is_nothing(client: httpx.Client, headers: Any) -> None:
    reply = client.post(CHAT, json={"messages": HELLO}, headers={**headers, "Origin": "https://evil.example"})
    assert reply.status_code == 401 and "key" in reply.json()["error"]["message"]
    assert "access-control-allow-origin" not in reply.headers
    # a page whose own name leads here (DNS rebinding)
    assert client.get("/v1/models", headers={"Host": "evil.example"}).status_code == 400


def test_conversations_are_answered_in_turn(client: httpx.Client) -> None:
    questions = [[{"role": "user", "content": text}] for text in ("One", "Two", "Three")]
    alone = [said(ask(client, messages=messages, max_tokens=40)) for messages in questions]
    with ThreadPoolExecutor() as pool:
        together = pool.map(lambda messages: said(ask(client, messages=messages, max_tokens=40)), questions)
    assert list(together) == alone


def test_what_was_read_already_changes_nothing(context: Context, files: dict[str, Path]) -> None:
    fresh = Context(files["base"], CONTEXT, 1, {})
    tokens(context, "Hello there", 4)
    held = list(context._held)
    answer = tokens(context, "Hello there, all")
    assert context._held[:20] == held[:20]
    assert answer == tokens(fresh, "Hello there, all")
    # the same again reads only the last token
    assert tokens(context, "Hello there, all") == answer


class After(threading.Event):
    """Set after it was asked so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("times", [1, 2, 40, 200])
def test_reading_ends_at_once_when_nobody_waits(context: Context, times: int) -> None:
    before = tokens(context, "Hello")
    ids = context.vocabulary.prompt("The sea is wide. " * 700)
    assert list(context.answer(ids, GREEDY, {}, After(times))) == []
    assert context._held == ids[: len(context._held)] and len(context._held) < len(ids)
    assert tokens(context, "Hello") == before


def test_who_hangs_up_makes_nobody_wait(client: httpx.Client, context: Context) -> None:
    before = said(ask(client))
    wish = {"messages": HELLO, "temperature": 0, "stream": True}
    with client.stream("POST", CHAT, json=wish) as reply:
        next(line for line in reply.iter_lines() if "delta" in line)
    with pytest.raises(httpx.ReadTimeout):
        client.post(CHAT, json={**wish, "stream": False}, timeout=0.2)
    assert said(ask(client)) == before
    assert len(context._held) < 100


def test_an_adapter_at_scale_one_is_the_merged_model(context: Context, files: dict[str, Path]) -> None:
    merged = Context(files["merged"], CONTEXT, 1, {})
    plain, tuned = tokens(context, "Hello"), tokens(merged, "Hello")
    assert plain != tuned
    assert tokens(context, "Hello", pirate=1.0) == tuned
    assert tokens(context, "Hello", pirate=0.0) == plain
    assert tokens(context, "Hello", pirate=0.5) not in (plain, tuned)
    assert tokens(context, "Hello") == plain


def test_each_request_says_which_adapter(client: httpx.Client) -> None:
    plain, tuned = said(ask(client)), said(ask(client, model="pirate"))
    assert plain != tuned
    for lora in ([{"id": 0}], [{"name": "pirate", "scale": 1}]):
        assert said(ask(client, lora=lora)) == tuned
    for wish in ({"lora": []}, {"model": "pirate", "lora": [{"id": 0, "scale": 0}]}, {"model": "base"}):
        assert said(ask(client, **wish)) == plain
