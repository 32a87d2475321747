"""The guard: what a browser of this machine may do, and what a page of another site may not."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from ui.guard import Guard, host_name

OWN = {"host": "127.0.0.1:7860"}
LIMIT = 1000


async def echo(request: Request) -> Response:
    size = len(await request.body())
    return PlainTextResponse(str(size), headers={"access-control-allow-origin": "http://localhost:1"})


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


@pytest.fixture
def client() -> TestClient:
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), WebSocketRoute("/ws", talk)])
    return TestClient(Guard(app, LIMIT))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:7860", "localhost:9", "LOCALHOST", "[::1]:7860"])
def test_own_hosts_are_welcome(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:7860",
        "127.0.0.1@evil.example",
        "0.0.0.0:7860",
        "",
    ],
)
def test_foreign_hosts_are_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "127.0.0.1" in answer.text


@pytest.mark.parametrize("host", ["a/b", "a b@c", "127.0.0.1:x", "[::1", "127.0.0.1/x", "127.0.0.1?x"])
def test_what_is_no_host_has_no_name(host: str) -> None:
    assert host_name(host) not in ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:7861"},
        {"origin": "http://localhost:7860"},
        {"origin": "https://127.0.0.1:7860"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "cross-site"},
    ],
)
def test_writes_of_other_pages_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/", content="x", headers={**OWN, **headers})
    assert answer.status_code == 403
    assert "refused" in answer.text


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}],
)
def test_own_writes_pass(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/", content="four", headers={**OWN, **headers})
    assert (answer.status_code, answer.text) == (200, "4")


def test_a_large_body_is_refused_by_its_announced_size(client: TestClient) -> None:
    answer = client.post("/", content=b"x" * (LIMIT + 1), headers=OWN)
    assert answer.status_code == 413
    assert "LORA_GARAGE_MAX_UPLOAD_MB" in answer.text


def test_a_large_body_is_refused_as_it_comes(client: TestClient) -> None:
    pieces = (b"x" * 400 for _ in range(4))
    assert client.post("/", content=pieces, headers=OWN).status_code == 413


def test_a_body_at_the_limit_passes(client: TestClient) -> None:
    assert client.post("/", content=b"x" * LIMIT, headers=OWN).status_code == 200


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"host": "evil.example"}])
def test_foreign_web_sockets_are_closed(client: TestClient, headers: dict[str, str]) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        client.websocket_connect("/ws", headers={**OWN, **headers}),
    ):
        pass
    assert closed.value.code == 1008


def test_own_web_sockets_open(client: TestClient) -> None:
    with client.websocket_connect("/ws", headers={**OWN, "origin": "http://127.0.0.1:7860"}):
        pass


def test_answers_carry_the_security_headers_and_no_cors(client: TestClient) -> None:
    headers = client.get("/", headers=OWN).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers
