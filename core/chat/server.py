"""The chat server's process: llama.cpp's OpenAI-compatible server on 127.0.0.1, a free port, a random key.

`python -m core.chat.server FILE.gguf READY_FILE --n-ctx N [--sha256 HEX]`; the key comes in the environment.
READY_FILE gets the port once the model is loaded. Ends when the process that started it is gone.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from llama_cpp.server.app import create_app
from llama_cpp.server.settings import ModelSettings, ServerSettings

from core.base.cores import idle_cores
from core.base.errors import UserError
from core.base.files import sha256_file, write_json
from core.base.process import die_with_parent
from core.chat.hangup import Hangups, end_prompts_of_the_gone
from core.chat.markers import keep_markers_text, whole_characters
from core.chat.service import KEY
from core.models.gguf_header import read_header


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
    app = build_app(arguments.gguf, arguments.n_ctx, os.environ.pop(KEY))
    write_json(arguments.ready, {"port": listener.getsockname()[1]})
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf", type=Path)
    parser.add_argument("ready", type=Path)
    parser.add_argument("--n-ctx", type=int, required=True)
    parser.add_argument("--sha256")
    return parser.parse_args()


def _check(gguf: Path, sha256: str | None) -> None:
    """llama.cpp loads a file whose second half is zeros and talks nonsense: compare with the noted hash."""
    read_header(gguf)
    if sha256 and sha256_file(gguf) != sha256:
        raise UserError(f"{gguf} is damaged: it is not the file that was exported. Export the run again.")


def build_app(gguf: Path, n_ctx: int, key: str) -> FastAPI:
    """The server with the model loaded. Whatever a page on another site sends, it gets no CORS permission."""
    avoid_broken_amx()
    pass_broken_characters()
    end_prompts_of_the_gone()
    keep_markers_text()
    threads = idle_cores()
    model = ModelSettings(
        model=str(gguf),
        n_ctx=n_ctx,
        n_gpu_layers=-1 if llama_cpp.llama_supports_gpu_offload() else 0,
        n_threads=threads,
        n_threads_batch=threads,
        # the server's default keeps the logits of every position: n_ctx × vocabulary × 4 bytes
        logits_all=False,
        # by name, or llama-cpp-python swaps some well-known templates for its own versions of them
        chat_format="chat_template.default" if read_header(gguf).chat_template else "chatml",
        verbose=True,
    )
    # a second question waits for the first; the default would cut the first one off
    settings = ServerSettings(api_key=key, interrupt_requests=False)
    app = create_app(server_settings=settings, model_settings=[model])
    app.user_middleware = [layer for layer in app.user_middleware if layer.cls is not CORSMiddleware]
    app.add_middleware(Hangups)
    return app


def avoid_broken_amx() -> None:
    """Keep llama.cpp off the matrix units of server CPUs: its code for them crashes at the first token.

    Their tile configuration is built on the stack, where GCC drops the writes (llama.cpp issue 20824), and no
    setting of llama-cpp-python's server turns the weight layout that leads there off.
    """
    if b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info():
        return
    defaults = llama_cpp.llama_model_default_params

    def without_extra_buffers() -> llama_cpp.llama_model_params:
        settings = defaults()
        settings.use_extra_bufts = False
        return settings

    llama_cpp.llama_cpp.llama_model_default_params = without_extra_buffers


def pass_broken_characters() -> None:
    """Let an answer go on after a token that is no character.

    llama-cpp-python's stream waits for the rest of such a character, which never comes: it says nothing any
    more, and tries all the tokens since then again at every new one.
    """
    detokenize = llama_cpp.Llama.detokenize

    def healed(self: llama_cpp.Llama, *args: Any, **options: Any) -> bytes:
        return whole_characters(detokenize(self, *args, **options))

    llama_cpp.Llama.detokenize = healed


if __name__ == "__main__":
    main()
