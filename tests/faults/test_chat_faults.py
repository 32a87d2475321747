"""Chat servers that die, files that should never be served: a sentence each time, and the app lives on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from core.base.errors import UserError
from core.base.files import sha256_file, write_json
from core.base.home import APP_FOLDER, STARTER_GGUF
from core.chat.service import ChatServer
from core.export.record import base_record
from core.models.gguf_header import read_header

pytestmark = pytest.mark.slow

SHORT = [{"role": "user", "content": "Hello?"}]
QUESTION = [{"role": "user", "content": "Tell me a long story about the sea."}]


def test_killed_in_the_middle_of_an_answer() -> None:
    server = ChatServer.start(STARTER_GGUF, n_ctx=1024)
    stream = server.stream(QUESTION, max_tokens=800)
    assert next(stream)
    assert server._process is not None
    server._process.kill()
    with pytest.raises(UserError, match=r"SmolLM2.* broke off: llama.cpp was killed.*Start the chat again"):
        list(stream)
    assert not server.alive()
    with pytest.raises(UserError, match="is not running"):
        list(server.stream(QUESTION))
    again = ChatServer.start(STARTER_GGUF, n_ctx=1024)
    try:
        assert again is not server
        assert "".join(again.stream(QUESTION, max_tokens=5))
    finally:
        again.stop()


def test_stopped_while_it_reads_a_long_prompt() -> None:
    """Nothing is heard of the server meanwhile: the connection is closed, and that ends the reading, too."""
    server = ChatServer.start(STARTER_GGUF, n_ctx=4096)
    try:
        before = "".join(server.stream(SHORT, max_tokens=5, temperature=0.0))
        cancel = threading.Event()
        threading.Timer(0.5, cancel.set).start()
        long = [{"role": "user", "content": "The sea is wide. " * 700}]
        assert list(server.stream(long, max_tokens=800, cancel=cancel)) == []
        # and the next question does not wait for the rest of it
        assert "".join(server.stream(SHORT, max_tokens=5, temperature=0.0)) == before
        assert "failed to decode, ret = 2" in server.log.read_text("utf-8", "replace")
    finally:
        server.stop()


def test_stopped_while_the_server_is_frozen() -> None:
    """As when the machine swaps: Stop does not wait for a sign of life."""
    server = ChatServer.start(STARTER_GGUF, n_ctx=1024)
    try:
        cancel = threading.Event()
        stream = server.stream(QUESTION, max_tokens=800, cancel=cancel)
        assert next(stream)
        assert server._process is not None
        psutil.Process(server._process.pid).suspend()
        threading.Timer(0.3, cancel.set).start()
        began = time.monotonic()
        list(stream)
        # not the minute after which a silent server is given up
        assert time.monotonic() - began < 50
    finally:
        server.stop()


def test_it_goes_when_the_app_is_killed() -> None:
    code = (
        "import sys, time; from core.chat.service import ChatServer; from core.base.home import STARTER_GGUF;"
        "server = ChatServer.start(STARTER_GGUF); print(server._process.pid, flush=True); time.sleep(60)"
    )
    app = subprocess.Popen([sys.executable, "-c", code], cwd=APP_FOLDER, stdout=subprocess.PIPE)
    assert app.stdout is not None
    server = psutil.Process(int(app.stdout.readline()))
    app.kill()
    app.wait()
    server.wait(timeout=15)


def test_it_goes_when_the_app_ends() -> None:
    code = (
        "from core.chat.service import ChatServer; from core.base.home import STARTER_GGUF;"
        "server = ChatServer.start(STARTER_GGUF); print(server._process.pid, server._folder)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=APP_FOLDER, capture_output=True, text=True, check=True
    )
    pid, folder = done.stdout.split(maxsplit=1)
    assert not psutil.pid_exists(int(pid)) and not Path(folder.strip()).exists()


def test_a_cut_off_file(tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    size = STARTER_GGUF.stat().st_size
    with open(STARTER_GGUF, "rb") as file:
        cut.write_bytes(file.read(size - 1000))
    with pytest.raises(UserError, match=r"cut.gguf could not load: .*Start the chat again"):
        ChatServer.start(cut)


def test_zeros_in_the_second_half_are_noticed_by_the_hash(tmp_path: Path) -> None:
    """llama.cpp itself loads such a file and talks nonsense."""
    file = tmp_path / "half.gguf"
    data = bytearray(STARTER_GGUF.read_bytes())
    file.write_bytes(data)
    write_json(base_record(file), {"sha256": sha256_file(file)})
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    file.write_bytes(data)
    with pytest.raises(UserError, match="half.gguf is damaged: it is not the file that was exported"):
        ChatServer.start(file)


def test_a_wrong_vocabulary_type_aborts_only_the_server(tmp_path: Path) -> None:
    """A byte-pair vocabulary declared to be SentencePiece: llama.cpp aborts at the first prompt."""
    file = tmp_path / "wrong.gguf"
    data = STARTER_GGUF.read_bytes()
    data = data.replace(_text(b"gpt2"), _text(b"llama"), 1)
    # one letter less elsewhere keeps the weights where they are
    data = data.replace(_text(b"8k-lc100k-mix1-ep2"), _text(b"8k-lc100k-mix1-ep"), 1)
    file.write_bytes(data)
    assert read_header(file).metadata["tokenizer.ggml.model"] == "llama"
    with pytest.raises(UserError, match=r"wrong.gguf .*: llama.cpp gave up \(abort\), saying “.+”"):
        server = ChatServer.start(file)
        try:
            list(server.stream(QUESTION, max_tokens=3))
        finally:
            server.stop()


def _text(value: bytes) -> bytes:
    return len(value).to_bytes(8, "little") + value


def test_not_a_gguf_at_all(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(os.urandom(1000))
    with pytest.raises(UserError, match="no working GGUF"):
        ChatServer.start(file)
    with pytest.raises(UserError, match="There is no file"):
        ChatServer.start(tmp_path / "none.gguf")


def test_loading_takes_too_long() -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match="took longer than 0 s"):
        ChatServer.start(STARTER_GGUF, n_ctx=999, timeout_s=0.01)
    assert time.monotonic() - began < 10


def test_a_third_model_takes_the_place_of_the_first(three_files: list[Path]) -> None:
    """Models in memory are few: the one not used for longest goes, but not while it answers."""
    first, second, third = three_files
    servers = [ChatServer.start(first), ChatServer.start(second)]
    assert ChatServer.start(first) is servers[0]
    stream = servers[0].stream(QUESTION, max_tokens=2000)
    next(stream)
    servers.append(ChatServer.start(third))
    assert [server.alive() for server in servers] == [True, False, True]
    servers.append(ChatServer.start(second))
    assert [server.alive() for server in servers] == [True, False, False, True]
    stream.close()
    for server in servers:
        server.stop()


@pytest.fixture
def three_files(tmp_path: Path) -> list[Path]:
    """The same model under three names."""
    files = [tmp_path / f"{name}.gguf" for name in "abc"]
    for file in files:
        os.link(STARTER_GGUF, file) if sys.platform != "win32" else file.write_bytes(
            STARTER_GGUF.read_bytes()
        )
    return files
