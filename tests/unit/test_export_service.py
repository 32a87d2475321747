"""What the app asks about exports: names, records, quantizations, headers, free space."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.events import now
from core.base.home import APP_FOLDER, STARTER_GGUF, open_home
from core.export.gguf import require_space
from core.export.quants import DEFAULT_QUANT, QUANTS, quant_named
from core.export.service import (
    Export,
    add_export,
    export_name,
    newest_export,
    noted_sha256,
    read_exports,
    start_export,
)
from core.models.gguf_header import read_header
from core.recipe import Recipe
from core.runs.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "runs" / "2026-11-21_pirate_smollm2-135m-instruct_k3f9".replace("k3f9", "a3f9"))
    Recipe().save(run.folder / "recipe.yaml")
    run.export.mkdir()
    return run


def made(run: Run, name: str, quant: str = "Q4_K_M", content: bytes = b"GGUF") -> Export:
    file = run.export / name
    file.write_bytes(content)
    return Export(file, quant, len(content), "ab" * 32, "tuned", "starter", now(), {"merge": 1.0})


def test_quants() -> None:
    assert list(QUANTS) == ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"] and DEFAULT_QUANT == "Q4_K_M"
    bits = [quant.bits for quant in QUANTS.values()]
    assert bits == sorted(bits) and all(quant.help.endswith(".") for quant in QUANTS.values())
    assert quant_named("q4_k_m").name == "Q4_K_M"
    assert QUANTS["F16"].estimate(1000) == 2000
    with pytest.raises(UserError, match="“Q3_X”.*Q4_K_M, Q5_K_M"):
        quant_named("Q3_X")


def test_name_without_date_and_random_end(run: Run, tmp_path: Path) -> None:
    assert export_name(run) == "pirate-smollm2-135m-instruct"
    assert export_name(Run(tmp_path / "My Own Ünrun")) == "my-own-nrun"


def test_records(run: Run) -> None:
    assert read_exports(run) == [] and newest_export(run) is None
    first = made(run, "a-Q4_K_M.gguf")
    add_export(run, first)
    second = made(run, "a-Q8_0.gguf", "Q8_0")
    add_export(run, second)
    assert read_exports(run) == [second, first]
    assert newest_export(run) == second
    assert newest_export(run, "q4_k_m") == first
    assert newest_export(run, "F16") is None
    again = made(run, "a-Q4_K_M.gguf", content=b"GGUF2")
    add_export(run, again)
    assert read_exports(run) == [again, second]
    assert noted_sha256(again.file) == "ab" * 32
    assert noted_sha256(run.export / "other.gguf") is None
    second.file.unlink()
    again.file.write_bytes(b"cut")
    assert read_exports(run) == []


def test_nothing_to_export(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no adapter yet"):
        start_export(open_home(tmp_path), run)


def test_header_of_a_real_file() -> None:
    header = read_header(STARTER_GGUF)
    assert (header.architecture, header.context, len(header.tensors)) == ("llama", 8192, 272)
    assert header.chat_template is not None and "<|im_start|>" in header.chat_template
    assert header.metadata["tokenizer.ggml.eos_token_id"] == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no working GGUF"),
        (b"PK\x03\x04 a zip file", "does not begin like one"),
        (b"GGUF" + struct.pack("<IQQ", 9, 1, 1), "version 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "no tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 5, 1 << 60), "impossibly many"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 5, 5, 1 << 50), "impossibly long"),
        (b"GGUF" + struct.pack("<IQQ", 3, 5, 5), "no working GGUF"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 5, 5, 0) + struct.pack("<IIQ", 9, 9, 1) * 5000, "holds lists"),
    ],
)
def test_header_of_a_broken_file(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        read_header(tmp_path / "x.gguf")


def test_header_of_a_cut_off_file(tmp_path: Path) -> None:
    data = min(tensor.start for tensor in read_header(STARTER_GGUF).tensors)
    with open(STARTER_GGUF, "rb") as file:
        (tmp_path / "x.gguf").write_bytes(file.read(data + 5000))
    with pytest.raises(UserError, match="cut off"):
        read_header(tmp_path / "x.gguf")
    with pytest.raises(UserError, match="There is no file"):
        read_header(tmp_path / "none.gguf")


def test_space_is_asked_for_before(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    require_space(tmp_path, free // 2)
    with pytest.raises(UserError, match=r"needs about [\d.]+ [MG]B.* has [\d.]+ [MG]B free"):
        require_space(tmp_path, free * 2)


def test_the_app_side_loads_nothing_heavy() -> None:
    code = (
        "import sys, core.export.service, core.export.handoff, core.chat.service, core.models.starter;"
        "print([m for m in ('torch', 'llama_cpp', 'transformers', 'gguf') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=APP_FOLDER, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
