"""The ASGI guard in front of everything: this machine's browser, this page's own requests, no one else.

A page of another site can send requests to 127.0.0.1, and a foreign name can be pointed at it (DNS
rebinding). So only loopback names are answered, writes need the app's own Origin, and bodies have a cap.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})

# Gradio builds templates with Function() and inline styles, so both are allowed; nothing may leave the origin
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Middleware around the whole app. `max_body` is the largest body of a request, in bytes."""

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self.app = app
        self.max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        reading = scope["type"] == "http" and scope["method"] in READING
        refusal = refuse(headers, reading)
        if refusal:
            await _answer(403, refusal, scope, receive, send)
        elif _announced(headers) > self.max_body:
            await _answer(413, too_large(self.max_body), scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer, with the body counted as it comes and the security headers added."""
        received = 0
        answered = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self.max_body:
                    raise _TooLarge
            return message

        async def guarded(message: Message) -> None:
            nonlocal answered
            # the app answers an exception of its own accord with a bare 500; ours says what is wrong
            if received > self.max_body and not answered:
                return
            if message["type"] == "http.response.start":
                answered = True
                _secure(MutableHeaders(scope=message))
            await send(message)

        with suppress(_TooLarge):
            await self.app(scope, counted, guarded)
        if received > self.max_body and not answered:
            await _answer(413, too_large(self.max_body), scope, receive, send)


def _announced(headers: Headers) -> int:
    """The body's size as announced. A nonsense value counts as none; the bytes are counted anyway."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


class _TooLarge(Exception):
    """More bytes came than the cap allows (a body without, or with a wrong, Content-Length)."""


def refuse(headers: Headers, reading: bool) -> str:
    """Why a request with these headers is turned away; empty when it is welcome."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or host_name(hosts[0]) not in LOOPBACK:
        return "LoRA Garage answers only to 127.0.0.1 and localhost."
    if reading:
        return ""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "Another site tried to change something here; that is refused."
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{hosts[0]}":
        return "A page of another origin tried to change something here; that is refused."
    return ""


def host_name(host: str) -> str:
    """The name in a Host header without its port; empty when it is not a plain host and port."""
    try:
        parts = urlsplit(f"//{host}")
        valid = parts.netloc == host and "@" not in host and not (parts.path or parts.query or parts.fragment)
        _ = parts.port
        return (parts.hostname or "") if valid else ""
    except ValueError:
        return ""


def too_large(limit: int) -> str:
    """The sentence for a body over the cap of `limit` bytes."""
    return (
        f"The file is larger than the limit of {limit / 2**20:.0f} MB. "
        "Split it, or start the app with LORA_GARAGE_MAX_UPLOAD_MB set higher."
    )


def _secure(headers: MutableHeaders) -> None:
    for name, value in SECURITY_HEADERS.items():
        headers[name] = value
    # Gradio reflects any loopback origin and lets it read answers with credentials
    for name in _cors(headers.keys()):
        del headers[name]


def _cors(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith("access-control-")]


async def _answer(status: int, text: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    await PlainTextResponse(text, status, headers=SECURITY_HEADERS)(scope, receive, send)
