"""Serve the page on 127.0.0.1: the Gradio app behind the guard, our own files, uploads and downloads.

Never imports torch: everything heavy happens in workers and in the chat server's own process.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import webbrowser

import gradio as gr
import uvicorn
from fastapi import FastAPI
from gradio.themes import Base
from gradio.themes.utils import sizes
from starlette.types import ASGIApp

from core.base.errors import UserError
from core.base.home import open_home
from ui import files
from ui.bench import Bench
from ui.guard import Guard
from ui.models import read_ahead
from ui.page import build_page

FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace"]
HOST = "127.0.0.1"
FIRST_PORT = 7860
PORTS_TRIED = 40
DEFAULT_MAX_UPLOAD_MB = 1024
# an open page keeps a stream open; without a limit Ctrl-C would wait for every tab to close
GOODBYE_S = 1
QUEUE_POLL_S = 0.05


def serve(home: str | None = None, port: int | None = None, open_browser: bool = True) -> int:
    """Serve until Ctrl-C; 0. A UserError when the home folder or the port can't be had."""
    bench = Bench(open_home(home))
    listener = listen(port)
    address = f"http://{HOST}:{listener.getsockname()[1]}/"
    config = uvicorn.Config(
        build_app(bench),
        log_level="warning",
        timeout_graceful_shutdown=GOODBYE_S,
        access_log=False,
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_announce, args=(server, address, bench, open_browser), daemon=True).start()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # uvicorn passes the signal on once it has shut down; that is the normal end here
    finally:
        listener.close()
    print("LoRA Garage is closed. A run that trains goes on; start the app again to see it.")
    return 0


def build_app(bench: Bench, max_upload_mb: int | None = None) -> ASGIApp:
    """The whole web app: guard outside, then our files, then Gradio."""
    limit = (max_upload_mb or _max_upload_mb()) << 20

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes.extend(files.routes(bench))
    page = build_page(bench)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        max_file_size=limit,
        show_error=True,
        ssr_mode=False,
        theme=_theme(),
        favicon_path=str(files.ASSETS / "icon.svg"),
    )
    # Gradio looks for work 1,000 times a second, which costs a training on the same cores 5 % of one;
    # 20 times, as it does on Windows, is soon enough
    page._queue.sleep_when_free = QUEUE_POLL_S
    return Guard(files.OwnHead(app), limit)


def _theme() -> Base:
    """Gradio's plainest theme with system fonts only; its colours are those of assets/ui/garage.css."""
    theme = Base(font=FONT, font_mono=MONO, radius_size=sizes.radius_md)
    return theme.set(block_shadow="none", block_border_width="1px", button_large_text_weight="600")


def listen(port: int | None) -> socket.socket:
    """A socket bound to 127.0.0.1 at `port`, or at 7860 or the next free one."""
    wanted = [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS_TRIED)
    for number in wanted:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":  # on Windows this option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, number))
            listener.listen(128)
            return listener
        except OSError:
            listener.close()
    if port is not None:
        raise UserError(f"Port {port} is taken or not allowed. Choose another with --port, or leave it out.")
    raise UserError(
        f"No free port from {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1}. Name one with --port."
    )


def _max_upload_mb() -> int:
    value = os.environ.get("LORA_GARAGE_MAX_UPLOAD_MB", "")
    if not value:
        return DEFAULT_MAX_UPLOAD_MB
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"LORA_GARAGE_MAX_UPLOAD_MB must be a whole number of megabytes; it is “{value}”.")
    return int(value)


def _announce(server: uvicorn.Server, address: str, bench: Bench, open_browser: bool) -> None:
    """Say the address once the server answers, then do what can wait: browser, starter model, catalogue."""
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.02)
    print(f"LoRA Garage is ready at {address}  (Ctrl-C closes it; a running training goes on)", flush=True)
    if open_browser:
        webbrowser.open(address)
    bench.build_starter()
    read_ahead(bench)
