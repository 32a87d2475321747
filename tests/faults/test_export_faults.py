"""Exports that are killed, find a full disk or a broken input: a sentence, a way on, never half a file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.base.errors import UserError
from core.base.files import read_json
from core.base.home import STARTER_GGUF, Home
from core.base.jobs import read_job, wait_job
from core.export.convert import convert, quantize
from core.export.record import newest_export, start_export
from core.runs.run import Run
from tests.real_parts import random_run

pytestmark = pytest.mark.slow


@pytest.fixture
def run(home: Home, tiny_model: Path) -> Run:
    return random_run(home, tiny_model)


def wait_for_stage(job: Path, stage: str) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        if read_json(job / "state.json", {}).get("stage") == stage:
            return
        time.sleep(0.02)
    raise AssertionError(f"never reached {stage}: {read_job(job)}")


def test_killed_while_converting(home: Home, run: Run) -> None:
    job = start_export(home, run, "Q8_0")
    wait_for_stage(job, "convert")
    worker = psutil.Process(read_job(job).pid)
    until = time.monotonic() + 60
    while not worker.children() and time.monotonic() < until:
        time.sleep(0.02)
    (converter,) = worker.children()
    worker.kill()
    assert wait_job(job, timeout_s=10).status == "died"
    assert newest_export(run) is None and not list(run.export.glob("*.gguf"))
    assert list(run.export.glob(".*.aside")), "the kill left its temporary files"
    converter.wait(timeout=10)
    assert wait_job(start_export(home, run, "Q8_0"), timeout_s=120).status == "done"
    made = newest_export(run)
    assert made is not None and made.file.is_file()
    assert not list(run.export.glob(".*.aside"))


def test_a_base_model_that_is_gone_or_cut_off(home: Home, run: Run, tiny_model: Path) -> None:
    copy = home.models / "copy"
    copy.mkdir()
    for file in tiny_model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4096])
    run.recipe.with_changes(model=str(copy)).save(run.folder / "recipe.yaml")
    state = wait_job(start_export(home, run, "Q8_0"), timeout_s=60)
    assert (state.status, state.fields["error"]) == ("failed", "UserError")
    assert "model.safetensors is damaged" in state.message
    assert not list(run.export.glob("*.gguf")) and not list(run.export.glob(".*.aside"))


def test_a_model_that_the_converter_does_not_know(home: Home, tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "strange"
    copy.mkdir()
    for file in tiny_model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    config = (copy / "config.json").read_text().replace("LlamaForCausalLM", "StrangeForCausalLM")
    (copy / "config.json").write_text(config)
    with pytest.raises(UserError, match=r"Converting to GGUF failed: .*StrangeForCausalLM"):
        convert(copy, tmp_path / "out.gguf", "auto", "strange", lambda share: None, lambda: None)


def test_quantizing_rubbish(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.gguf"
    rubbish.write_bytes(b"GGUF" + os.urandom(5000))
    with pytest.raises(UserError, match="Quantizing to Q4_K_M failed: it "):
        quantize(rubbish, tmp_path / "out.gguf", "Q4_K_M", lambda share: None, lambda: None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("a small disk of its own (tmpfs) takes root on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a tmpfs is not allowed here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_too_little_space_is_said_before_anything_is_written(home: Home, run: Run, small_disk: Path) -> None:
    run.export.symlink_to(small_disk)
    state = wait_job(start_export(home, run, "Q8_0"), timeout_s=60)
    assert state.status == "failed"
    assert "This export needs about 5" in state.message and "has 2" in state.message
    assert not list(small_disk.glob("*.gguf"))


def test_the_disk_fills_up_on_the_way(small_disk: Path, tiny_model: Path) -> None:
    (small_disk / "other.bin").write_bytes(bytes(20 << 20))
    with pytest.raises(UserError, match="could not write to .*: the disk is full. Free some space"):
        convert(tiny_model, small_disk / "out.gguf", "auto", "tiny", lambda share: None, lambda: None)
    with pytest.raises(UserError, match="could not write to .*: the disk is full. Free some space"):
        quantize(STARTER_GGUF, small_disk / "out2.gguf", "Q8_0", lambda share: None, lambda: None)


def test_the_disk_fills_up_while_merging(home: Home, run: Run, small_disk: Path) -> None:
    """The space is taken by someone else after it was checked."""
    (small_disk / "other.bin").write_bytes(bytes(20 << 20))
    run.export.symlink_to(small_disk)
    code = (
        "import sys; from core.export import worker; worker.require_space = lambda *_: None;"
        f"sys.argv = ['worker', {str(run.export)!r}, '--run', {str(run.folder)!r}, '--quant', 'Q8_0',"
        f" '--home', {str(home.root)!r}]; worker.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    state = read_job(run.export)
    assert (state.status, state.fields["error"]) == ("failed", "UserError")
    assert "the disk is full" in state.message
    assert not list(small_disk.glob(".*.aside")) and not list(small_disk.glob("*.gguf"))
