"""Our own routes beside Gradio's: assets, uploads into the home folder, downloads, a sign of life."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.base.errors import UserError, disk_sentence
from core.base.files import inside, replacement
from core.base.home import APP_FOLDER
from core.data.read import DATA_ENDINGS, PACKED_ENDINGS, TEXT_ENDINGS
from core.presets import preset_named
from core.runs.run import open_run
from ui.bench import Bench
from ui.data import cleaned
from ui.scene import scene_of
from ui.step import steps

ASSETS = APP_FOLDER / "assets" / "ui"
DATA_SUFFIXES = DATA_ENDINGS + TEXT_ENDINGS + PACKED_ENDINGS
_STYLES = ("garage.css", "fit.css", "model.css")
_SCRIPTS = ("frame.js", "plot.js", "fit.js", "model.js")


def routes(bench: Bench) -> list[BaseRoute]:
    """All of them, bound to the bench's home folder."""

    async def upload(request: Request) -> Response:
        return await take_upload(request, bench.home.datasets)

    def route(path: str, send: Callable[..., Response], refused: int = 404) -> Route:
        def answer(request: Request) -> Response:
            try:
                return send(bench, **request.path_params)
            except UserError as problem:
                return PlainTextResponse(str(problem), refused)

        return Route(path, answer)

    return [
        Route("/garage/alive", _alive),
        Route("/garage/assets/{name}", _asset),
        Route("/garage/upload", upload, methods=["POST"]),
        route("/garage/runs/{run}/export/{file}", send_result),
        route("/garage/runs/{run}/losses.csv", send_losses),
        route("/garage/presets/{key}.yaml", send_preset),
        route("/garage/data/cleaned.jsonl", lambda bench: send_cleaned(bench, changes=False), refused=422),
        route("/garage/data/changes.jsonl", lambda bench: send_cleaned(bench, changes=True), refused=422),
    ]


def _alive(_: Request) -> Response:
    return PlainTextResponse("alive", headers={"cache-control": "no-store"})


def _asset(request: Request) -> Response:
    path = ASSETS / Path(request.path_params["name"]).name
    if not path.is_file():
        return PlainTextResponse("There is no such file.", 404)
    return FileResponse(path, headers={"cache-control": "no-cache"})


async def take_upload(request: Request, folder: Path) -> Response:
    """Stream the body into `folder` under a safe, free name; the answer is {"name": …}."""
    try:
        name = dataset_name(request.query_params.get("name", ""))
        target = _free(folder, name)
        await _receive(request, target)
    except UserError as problem:
        return PlainTextResponse(str(problem), 422)
    except ClientDisconnect:
        return PlainTextResponse("The upload was cut off.", 400)
    return Response(json.dumps({"name": target.name}), media_type="application/json")


async def _receive(request: Request, target: Path) -> None:
    try:
        with replacement(target) as temporary:
            with open(temporary, "wb") as file:
                async for piece in request.stream():
                    file.write(piece)
            if temporary.stat().st_size == 0:
                raise UserError(f"{target.name} is empty. Choose a file with at least a few rows.")
    except OSError as error:
        raise UserError(disk_sentence(error, f"{target.name} could not be saved", target.parent)) from error


def dataset_name(name: str) -> str:
    """The file's own name without anything that a file system could take for a path."""
    base = re.split(r"[\\/]", name)[-1]
    safe = re.sub(r"[^\w.() -]+", "_", base).strip(". ")[-100:]
    if not safe.lower().endswith(DATA_SUFFIXES):
        endings = ", ".join(DATA_SUFFIXES)
        raise UserError(f"“{base}” is not a data file. Its name should end in one of {endings}.")
    return safe


def _free(folder: Path, name: str) -> Path:
    stem, dot, suffix = name.rpartition(".")
    number = 1
    while (path := folder / (name if number == 1 else f"{stem} ({number}){dot}{suffix}")).exists():
        number += 1
    return path


def send_result(bench: Bench, run: str, file: str) -> Response:
    """A finished file from a run's export folder, sent from where it lies."""
    path = inside(open_run(bench.home, run).export, file)
    if file.startswith(".") or not path.is_file():
        raise UserError("There is no such file in this run's export folder.")
    return FileResponse(path, filename=path.name)


def send_losses(bench: Bench, run: str) -> Response:
    """The run's losses as CSV: kind (train or held-out), step, loss."""
    rows = ["kind,step,loss"]
    for event in open_run(bench.home, run).events.all():
        if event["kind"] in ("log", "eval") and event.get("loss") is not None:
            rows.append(
                f"{'train' if event['kind'] == 'log' else 'held-out'},{event['step']},{event['loss']}"
            )
    headers = {"content-disposition": f'attachment; filename="{run}-losses.csv"'}
    return Response("\n".join(rows) + "\n", media_type="text/csv", headers=headers)


def send_preset(bench: Bench, key: str) -> Response:
    """A preset as the file that others can load."""
    text = preset_named(key, bench.home).to_yaml()
    # a name may have letters that a header can't hold as they are (RFC 6266)
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(key)}.yaml"}
    return Response(text, media_type="application/yaml", headers=headers)


def send_cleaned(bench: Bench, changes: bool) -> Response:
    """The chosen data's rows after the fixes that were taken, or the list of what was changed."""
    store = scene_of(bench).data.store
    if store is None:
        raise UserError("The data isn't checked yet. Look at the Data step.")
    copy = cleaned(bench, store, bench.choices().taken)
    stem = Path(store.summary.files[0].name).name.split(".")[0]
    if changes:
        return FileResponse(copy.list, filename=f"{stem}.changes.jsonl")
    return FileResponse(copy.file, filename=f"{stem}.cleaned.jsonl")


class OwnHead:
    """Put our style sheet and scripts into the head of the page, before Gradio's own start.

    Gradio would add them only once its page has loaded: an unstyled flash, and components without our code.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.head = own_head().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if message["type"] != "http.response.body":
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                page = without_foreign(bytes(body)).replace(b"<head>", b"<head>" + self.head, 1)
                answer = MutableHeaders(scope=start)
                answer["content-length"] = str(len(page))
                answer["cache-control"] = "no-store"
                await send(start)
                await send({"type": "http.response.body", "body": page})

        await self.app({**scope, "headers": headers}, receive, collect)


def own_head() -> str:
    """Style sheet, scripts, and the names of the steps for both. The version in an address is the
    file's time, so updates arrive."""

    def address(name: str) -> str:
        return f"/garage/assets/{name}?{int(os.path.getmtime(ASSETS / name))}"

    scripts = "".join(f'<script src="{address(name)}"></script>' for name in _SCRIPTS)
    styles = "".join(f'<link rel="stylesheet" href="{address(name)}">' for name in _STYLES)
    names = [step.name for step in steps()]
    opened = ",".join(f'#lg[data-step="{name}"] #step-{name}' for name in names)
    style = f"<style>{opened}{{display:flex!important}}</style>"
    return f'<meta name="garage-steps" content="{" ".join(names)}">{style}{styles}{scripts}'


def without_foreign(page: bytes) -> bytes:
    """Gradio's page without its meta tags for link previews; they point at foreign hosts."""
    return re.sub(rb"<meta\s+(?:property|name)=\"(?:og|twitter):[^>]*>", b"", page)
