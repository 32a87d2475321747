"""What the app asks about exports: names, records, quantizations, headers, free space."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.events import now
from core.base.home import APP_FOLDER, STARTER_GGUF, open_home
from core.base.records import write_record
from core.export.convert import require_space
from core.export.forms import default_form, form_named, forms
from core.export.record import (
    Export,
    add_export,
    newest_export,
    noted_sha256,
    out_of_date,
    read_exports,
    start_export,
)
from core.models.gguf_header import read_header
from core.recipe import Recipe
from core.runs.run import TRAINED, Run, Trained, adapter_sha256


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


def test_forms() -> None:
    assert [form.name for form in forms()] == ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"]
    for shapes in ([(1000, 256)], [(1000, 576), (100, 576), (576,)]):
        sizes = [form.size(shapes) for form in forms()]
        assert sizes == sorted(sizes)
    assert default_form().size([(1000, 256)]) == 1000 * 256 * 4.9 / 8
    assert all(form.help.endswith(".") and form.ending == ".gguf" for form in forms())
    assert form_named("q4_k_m") is default_form()
    with pytest.raises(UserError, match="“Q3_X”.*Q4_K_M, Q5_K_M"):
        form_named("Q3_X")


NEW_FORM = """
from core.export.forms.gguf import Gguf


class Toy(Gguf):
    name = "Q2_TOY"
    order = 99
    bits = 2.0
    help = "Nothing that anybody would want."
"""
NEW_TARGET = """
from core.export.targets import Target


class Toy(Target):
    name = "toy"
    title = "Toy Studio"
    button = "Place it in Toy Studio"
"""


def test_a_new_form_and_a_new_target_are_one_file_each(run: Run, tmp_path: Path) -> None:
    """They stand in the command's help and on the page, and nothing else was touched."""
    add_export(run, made(run, "pirate-Q4_K_M.gguf"))
    for room, source in (("forms", NEW_FORM), ("targets", NEW_TARGET)):
        folder = tmp_path / room
        folder.mkdir()
        (folder / "toy.py").write_text(source)
    code = (
        "from core.export import forms, targets;"
        f"forms.__path__.append({str(tmp_path / 'forms')!r});"
        f"targets.__path__.append({str(tmp_path / 'targets')!r});"
        "from core.base.home import open_home; from core.runs.run import Run; from ui.bench import Bench;"
        "from tests.ui_page import shown; from core.commands.dispatch import arguments;"
        f"print(shown(Bench(open_home({str(tmp_path)!r})), 'export-panel'));"
        "arguments('export', ['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=APP_FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page, _, command = done.stdout.partition("usage: app.py export")
    assert "Q2_TOY" in page and "Place it in Toy Studio" in page
    assert "Q2_TOY" in command and "Toy Studio" in command


def adapter(run: Run, weights: bytes, step: int | None) -> None:
    """What training leaves; without a step as earlier versions of the app left it."""
    run.adapter.mkdir(exist_ok=True)
    (run.adapter / "adapter_config.json").write_text("{}")
    (run.adapter / "adapter_model.safetensors").write_bytes(weights)
    (run.adapter / TRAINED).unlink(missing_ok=True)
    if step is not None:
        write_record(run.adapter / TRAINED, Trained(step, adapter_sha256(run.adapter)))


def test_a_file_of_an_earlier_step_says_so(run: Run) -> None:
    adapter(run, b"eleven", 11)
    file = replace(made(run, "a-Q4_K_M.gguf"), adapter=adapter_sha256(run.adapter), step=11)
    add_export(run, file)
    assert read_exports(run) == [file] and out_of_date(run, file) == ""
    adapter(run, b"eighteen", 18)
    sentence = out_of_date(run, file)
    assert "a-Q4_K_M.gguf was made from step 11, and the run is at step 18" in sentence
    assert "Make it again" in sentence
    again = replace(file, adapter=adapter_sha256(run.adapter), step=18)
    assert out_of_date(run, again) == ""


def test_of_files_of_earlier_versions_the_log_tells(run: Run) -> None:
    """Not the files' own times, which a copied home has not kept."""
    adapter(run, b"eleven", None)
    run.events.append("stage", stage="saving")
    file = made(run, "a-Q4_K_M.gguf")
    assert out_of_date(run, file) == ""
    adapter(run, b"eighteen", 18)
    run.events.append("stage", stage="saving")
    file = replace(file, made="2026-01-01T00:00:00.000+00:00")
    assert "made before the run's last training, and the run is at step 18" in out_of_date(run, file)


def test_two_quantizations_are_two_models(run: Run) -> None:
    one, two = made(run, "a-Q4_K_M.gguf"), made(run, "a-Q8_0.gguf", "Q8_0")
    assert one.modelfile != two.modelfile and one.modelfile.name == "a-Q4_K_M.Modelfile"
    assert (one.tag, two.tag) == ("a:q4_k_m", "a:q8_0")


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
        "import sys, core.export.record, core.chat.service, core.models.starter;"
        "from core.export.targets import targets; targets();"
        "print([m for m in ('torch', 'llama_cpp', 'transformers', 'gguf') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=APP_FOLDER, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
