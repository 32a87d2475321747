"""What a machine makes of a recipe: each decision, and the reason that the page shows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from core.base.home import APP_FOLDER
from core.fit.training import device_of
from core.machine import Gpu
from core.methods.settle import Device, reason_for, settle, unmet, wants_unsloth
from core.recipe import Recipe, parse_recipe
from core.train import calibrate

CPU = Device("cpu", "CPU", bf16=False, bf16_cost=8.2)
NEW_CPU = Device("cpu", "CPU", bf16=True, bf16_cost=0.5)
ADA = Device("cuda", "NVIDIA GeForce RTX 4090", bf16=True)
TURING = Device("cuda", "NVIDIA GeForce RTX 2070", bf16=False)
APPLE = Device("mps", "Apple GPU", bf16=False)
ARC = Device("xpu", "Intel Arc B580", bf16=True)
WITHOUT_UNSLOTH = replace(ADA, unsloth="Unsloth can't be imported here (NotImplementedError: no accelerator)")
TURING_WITHOUT_FLASH = replace(TURING, flash=False)
OLD_INTEL = Device("xpu", "Intel Iris Xe", bf16=False)


def test_every_device_can_be_calibrated() -> None:
    assert set(calibrate.TOKENS) == set(get_args(get_type_hints(Device)["kind"]))


@pytest.mark.parametrize(
    ("device", "precision", "reason"),
    [
        (CPU, "fp32", "this CPU emulates bfloat16 (8 times slower)"),
        (NEW_CPU, "bf16", "this CPU computes in bfloat16"),
        (ADA, "bf16", "NVIDIA GeForce RTX 4090 computes in bfloat16"),
        (TURING, "fp16", "NVIDIA GeForce RTX 2070 is too old for bfloat16"),
        (APPLE, "fp32", "float32 is the safe choice on Apple GPUs"),
        (ARC, "bf16", "Intel Arc B580 computes in bfloat16"),
        (OLD_INTEL, "fp32", "Intel Iris Xe does not compute in bfloat16"),
    ],
)
def test_auto_precision(device: Device, precision: str, reason: str) -> None:
    settled, reasons = settle(Recipe(precision="auto"), device)
    assert (settled.precision, reason_for("precision", reasons)) == (precision, reason)


@pytest.mark.parametrize(
    ("wanted", "device", "precision"),
    [
        ("fp32", ADA, "fp32"),
        ("fp16", ADA, "fp16"),
        ("fp32", CPU, "fp32"),
        ("bf16", CPU, "fp32"),
        ("bf16", TURING, "fp16"),
        ("fp16", CPU, "fp32"),
        ("fp16", NEW_CPU, "bf16"),
        ("bf16", APPLE, "fp32"),
        ("fp16", ARC, "bf16"),
    ],
)
def test_a_wish_is_granted_where_the_hardware_can(wanted: str, device: Device, precision: str) -> None:
    settled, reasons = settle(parse_recipe({"precision": wanted}), device)
    assert settled.precision == precision
    reason = reason_for("precision", reasons)
    assert reason
    if precision != wanted:
        assert f"asks for {wanted}" in reason, "a wish that isn't granted is answered"


def engine(recipe: Recipe, device: Device = ADA) -> tuple[str, str]:
    settled, reasons = settle(recipe, device)
    return settled.engine, reason_for("engine", reasons)


def test_unsloth_where_it_works() -> None:
    assert engine(Recipe())[0] == engine(Recipe(engine="unsloth"))[0] == "unsloth"


def test_fallback_says_why() -> None:
    name, reason = engine(Recipe(), WITHOUT_UNSLOTH)
    assert name == "peft"
    assert "NotImplementedError: no accelerator" in reason


def test_insisting_on_unsloth_where_it_fails_is_an_error() -> None:
    assert "no accelerator" in unmet(Recipe(engine="unsloth"), WITHOUT_UNSLOTH)
    assert not unmet(Recipe(), WITHOUT_UNSLOTH) and not unmet(Recipe(engine="unsloth"), ADA)


@pytest.mark.parametrize(
    ("recipe", "word"),
    [
        (Recipe(engine="peft"), "asks for Transformers"),
        (Recipe(quantization="nf4", double_quantization=False), "constants"),
        (Recipe(attention="eager"), "the recipe asks for eager"),
        # such an adapter could not be merged (core.export.merge)
        (Recipe(target_modules="lm_head"), "whole"),
        (Recipe(target_modules=["q_proj", "model.embed_tokens"]), "whole"),
    ],
)
def test_what_unsloth_cannot_express_goes_to_peft(recipe: Recipe, word: str) -> None:
    assert not wants_unsloth(recipe), "so nobody imports it"
    name, reason = engine(recipe)
    assert name == "peft" and word in reason


def test_unsloth_trains_named_layers() -> None:
    assert wants_unsloth(Recipe(target_modules=["q_proj", "v_proj"]))


@pytest.mark.parametrize(
    ("knob", "wanted", "device", "taken"),
    [
        ("optimizer", "adamw_8bit", CPU, "adamw_torch"),
        ("optimizer", "paged_adamw_8bit", ARC, "adamw_torch"),
        ("optimizer", "adamw_8bit", ADA, "adamw_8bit"),
        ("checkpointing", "unsloth", CPU, "hf"),
        ("checkpointing", "unsloth", WITHOUT_UNSLOTH, "hf"),
        ("checkpointing", "unsloth", ADA, "unsloth"),
        ("offload_embedding", True, CPU, False),
        ("offload_embedding", True, ADA, True),
        ("attention", "flash_attention_2", ADA, "flash_attention_2"),
    ],
)
def test_what_is_done_instead_is_said(knob: str, wanted: object, device: Device, taken: object) -> None:
    settled, reasons = settle(parse_recipe({knob: wanted}), device)
    assert getattr(settled, knob) == taken
    changed = [reason for reason in reasons if reason.knob == knob]
    assert bool(changed) == (wanted != taken)
    assert all(reason.sentence.endswith(".") and reason.changes_a_wish for reason in changed)


@pytest.mark.parametrize("device", [CPU, TURING_WITHOUT_FLASH])
def test_flash_attention_says_what_it_needs(device: Device) -> None:
    recipe = Recipe(attention="flash_attention_2")
    assert "needs the package flash-attn" in unmet(recipe, device)
    assert settle(recipe, device)[0].attention == "auto"


def test_capped_scores_need_eager_attention() -> None:
    """Transformers' SDPA would leave the cap of Gemma 2 out; Unsloth has an attention of its own."""
    assert settle(Recipe(engine="peft"), ADA, caps_scores=True)[0].attention == "eager"
    assert settle(Recipe(), ADA, caps_scores=True)[0].attention == "auto"


def test_settling_twice_changes_nothing() -> None:
    wish = Recipe(optimizer="adamw_8bit", checkpointing="unsloth", offload_embedding=True)
    for device in (CPU, NEW_CPU, ADA, TURING, APPLE, ARC, OLD_INTEL, WITHOUT_UNSLOTH):
        settled = settle(wish, device)[0]
        assert settle(settled, device)[0] == settled


@pytest.mark.parametrize(
    ("vendor", "arch", "kind"),
    [("nvidia", "", "cuda"), ("amd", "CDNA3", "cuda"), ("intel", "Alchemist", "xpu"), ("apple", "M2", "mps")],
)
def test_a_card_is_a_device_without_asking_torch(vendor: str, arch: str, kind: str) -> None:
    gpu = Gpu("A card", 1, 1, (8, 0) if vendor == "nvidia" else None, "", vendor=vendor, arch=arch)  # type: ignore[arg-type]
    assert (device_of(gpu).kind, device_of(gpu).name, device_of(gpu).bf16) == (kind, "A card", True)
    assert device_of(None).kind == "cpu"


TOY = """from core.methods.lora import Lora

class Toy(Lora):
    name, title, help, order = "toy", "Toy method", "Only a test takes it.", 90
"""
ASK = """
from core.commands.options import method_lines
from core.fit import Place, estimate_memory
from core.machine import GIB, card_named
from core.models import spec_of_config
from core.models.catalogue import catalogue_model
from core.recipe import knobs, parse_recipe
from tests.readme_tables import methods_table

spec = spec_of_config(catalogue_model("Qwen/Qwen3-0.6B").config)
place = Place(card_named("12"), 12 * GIB, 32 * GIB)
print(estimate_memory(parse_recipe({"method": "toy"}), spec, place).trainable > 0)
print("toy" in knobs()["method"]["choices"], "Toy method" in method_lines(True))
print(any("Toy method" in line for line in methods_table().splitlines()))
"""


def test_a_new_method_is_one_file(tmp_path: Path) -> None:
    """Help, README, page and estimate list the folder."""
    for name in ("core", "ui", "tests", "presets"):
        shutil.copytree(APP_FOLDER / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "core" / "methods" / "toy.py").write_text(TOY, "utf-8")
    done = subprocess.run([sys.executable, "-c", ASK], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["True"] * 4, done.stderr
