"""Adapter → merged → GGUF → quantized → chat, on the real starter model, converter and llama.cpp."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import httpx
import pytest

from core.base.errors import UserError
from core.base.files import read_json, sha256_file, write_json
from core.base.home import Home, open_home
from core.base.jobs import request_stop, wait_job
from core.chat.service import ChatServer
from core.export.forms import form_named
from core.export.record import base_gguf, newest_export, start_export
from core.models.gguf_header import read_header
from core.models.tensors import read_model
from core.runs.run import Run
from tests.real_parts import random_run, starter_folder

pytestmark = pytest.mark.slow

QUESTION = [{"role": "user", "content": "What is rain?"}]


@pytest.fixture(scope="module")
def starter_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = open_home(tmp_path_factory.mktemp("home"))
    shutil.copytree(starter_folder(), home.models / starter_folder().name)
    return home


@pytest.fixture(scope="module")
def run(starter_home: Home) -> Run:
    """A run of the starter model whose adapter changes it audibly."""
    return random_run(starter_home, scale=0.08)


@pytest.fixture(scope="module")
def tuned(starter_home: Home, run: Run) -> Path:
    job = start_export(starter_home, run, "Q4_K_M")
    with pytest.raises(UserError, match="under way already"):
        start_export(starter_home, run, "Q4_K_M")
    state = wait_job(job, timeout_s=300)
    assert (state.status, state.progress) == ("done", 1.0), state.message
    made = newest_export(run)
    assert made is not None
    return made.file


@pytest.fixture(scope="module")
def base(starter_home: Home, run: Run) -> Path:
    state = wait_job(start_export(starter_home, run, "q4_k_m", what="base"), timeout_s=300)
    assert state.status == "done", state.message
    made = base_gguf(starter_home, run, "Q4_K_M")
    assert made is not None
    return made


def test_what_the_export_leaves(run: Run, tuned: Path) -> None:
    made = newest_export(run, "Q4_K_M")
    assert made is not None and made.file == tuned
    assert made.sha256 == sha256_file(tuned) and made.bytes == tuned.stat().st_size
    # small models don't fit the blocks of K-quants: said before, and right
    shapes = [tensor.shape for tensor in read_model(starter_folder()).values()]
    assert form_named("Q4_K_M").size(shapes) == pytest.approx(made.bytes, rel=0.03)
    assert set(made.seconds) == {"merge", "convert", "quantize", "check"}
    header = read_header(tuned)
    assert header.metadata["general.name"] == "test-model"
    assert header.metadata["general.license"] == "apache-2.0"
    assert header.metadata["tokenizer.ggml.pre"] == "smollm"
    assert header.metadata["tokenizer.ggml.eos_token_id"] == 2
    modelfile = made.modelfile.read_text("utf-8")
    assert f"FROM ./{tuned.name}\n" in modelfile and 'PARAMETER stop "<|im_end|>"' in modelfile
    names = {path.name for path in run.export.iterdir() if path.suffix != ".lock"}
    assert names == {
        tuned.name,
        made.modelfile.name,
        "export.json",
        "state.json",
        "events.jsonl",
        "worker.log",
    }
    assert read_json(run.export / "export.json")["files"][0]["file"] == tuned.name


def test_base_is_made_once(starter_home: Home, run: Run, base: Path) -> None:
    before = base.stat().st_mtime_ns
    state = wait_job(start_export(starter_home, run, "Q4_K_M", what="base"), timeout_s=60)
    assert state.status == "done" and base.stat().st_mtime_ns == before
    weights = starter_home.models / "SmolLM2-135M-Instruct" / "model.safetensors"
    stat = weights.stat()
    try:
        weights.touch()
        assert base_gguf(starter_home, run) is None
    finally:
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert base_gguf(starter_home, run) == base


def test_side_by_side(tuned: Path, base: Path) -> None:
    """Both answer, each its own, at the same time; the same file is served once."""
    servers = [ChatServer.start(tuned), ChatServer.start(base)]
    try:
        assert ChatServer.start(tuned) is servers[0]
        answers = ["".join(server.stream(QUESTION, temperature=0, max_tokens=24)) for server in servers]
        assert all(len(answer) > 20 for answer in answers) and answers[0] != answers[1]
        assert "rain" in answers[1].lower()
    finally:
        for server in servers:
            server.stop()
    assert not any(server.alive() for server in servers)


def test_one_conversation(base: Path) -> None:
    """System text and earlier turns count, an answer can be cut short, and the next one comes quickly."""
    server = ChatServer.start(base, n_ctx=512)
    try:
        stream = server.stream([{"role": "user", "content": "Tell me a very long story."}], max_tokens=400)
        begun = [next(stream) for _ in range(3)]
        stream.close()
        assert all(begun)
        cancel = threading.Event()
        began = time.monotonic()
        for number, _ in enumerate(server.stream(QUESTION, max_tokens=400, cancel=cancel)):
            if number == 3:
                cancel.set()
        assert number < 6
        assert "".join(server.stream(QUESTION, temperature=0, max_tokens=8))
        assert time.monotonic() - began < 60
        same = ["".join(server.stream(QUESTION, temperature=1, max_tokens=8, seed=5)) for _ in range(2)]
        assert same[0] == same[1]
        with pytest.raises(UserError, match=r"has \d+ tokens and only 512 fit"):
            list(server.stream([{"role": "user", "content": "word " * 600}]))
        assert "".join(server.stream(QUESTION, temperature=0, max_tokens=8))
        assert ChatServer.start(base, n_ctx=256) is not server
        assert not server.alive()
    finally:
        ChatServer.start(base, n_ctx=256).stop()


def test_strangers_get_nothing(base: Path) -> None:
    """No key, no answer; and no CORS permission for a page on another site."""
    server = ChatServer.start(base)
    try:
        for key in ("", "Bearer wrong"):
            reply = httpx.post(
                f"{server.url}/chat/completions",
                json={"messages": QUESTION},
                headers={"Authorization": key, "Origin": "https://evil.example"},
                trust_env=False,
            )
            assert reply.status_code in (401, 403)
            assert "access-control-allow-origin" not in reply.headers
    finally:
        server.stop()


def test_stop_leaves_nothing(starter_home: Home, run: Run, tuned: Path) -> None:
    job = start_export(starter_home, run, "Q8_0")
    until = time.monotonic() + 60
    while time.monotonic() < until and read_json(job / "state.json", {}).get("stage") != "convert":
        time.sleep(0.05)
    request_stop(job)
    state = wait_job(job, timeout_s=30)
    assert (state.status, state.message) == ("stopped", "The export was stopped. Nothing half-made is left.")
    assert [path.name for path in run.export.glob("*.gguf")] == [tuned.name]
    assert not list(run.export.glob(".*.aside"))


def test_a_gguf_says_what_peft_says(home: Home, tiny_model: Path) -> None:
    """The F16 file of a tiny run: llama.cpp's logits are those of transformers + PEFT."""
    import llama_cpp
    import numpy as np
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = random_run(home, tiny_model, scale=0.2)
    state = wait_job(start_export(home, run, "F16"), timeout_s=120)
    assert state.status == "done", state.message
    made = newest_export(run)
    assert made is not None and "quantize" not in made.seconds
    ids = [1, 4093, 198, 19556, 2, 198, 1, 520, 9531, 198]
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    with torch.no_grad():
        plain = base(torch.tensor([ids])).logits[0].numpy()
        expected = PeftModel.from_pretrained(base, run.adapter)(torch.tensor([ids])).logits[0].numpy()
    model = llama_cpp.Llama(str(made.file), n_ctx=64, logits_all=True, verbose=False)
    model.eval(ids)
    found = np.asarray(model.scores[: len(ids)])
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
    assert np.abs(found - plain).max() > 0.2 * np.abs(expected).max()


def test_a_model_without_chat_template_gets_the_one_it_was_trained_with(
    home: Home, tiny_model: Path, tmp_path: Path
) -> None:
    bare = shutil.copytree(tiny_model, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    settings = read_json(bare / "tokenizer_config.json")
    del settings["chat_template"]
    write_json(bare / "tokenizer_config.json", settings)
    run = random_run(home, bare)
    run.recipe.with_changes(chat_template="vicuna").save(run.folder / "recipe.yaml")
    for what in ("tuned", "base"):
        state = wait_job(start_export(home, run, "Q8_0", what=what), timeout_s=120)
        assert state.status == "done", state.message
    made, base = newest_export(run), base_gguf(home, run, "Q8_0")
    assert made is not None and base is not None
    # the base model gets what fits its tokens, whatever a run has chosen
    for file, mark in ((made.file, "ASSISTANT: "), (base, "<|im_start|>")):
        assert mark in (read_header(file).chat_template or "")
    assert not (bare / "chat_template.jinja").exists()
    assert 'TEMPLATE """' in made.modelfile.read_text("utf-8")
    assert "ASSISTANT:" in made.modelfile.read_text("utf-8")
