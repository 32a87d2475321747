"""Engine and precision: what is chosen, and the reason that the page shows."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from core.base.errors import UserError
from core.recipe import Recipe
from core.train import calibrate
from core.train.engine import choose_engine
from core.train.precision import Device, pick_precision

CPU = Device("cpu", "CPU", bf16=False, bf16_cost=8.2)
NEW_CPU = Device("cpu", "CPU", bf16=True, bf16_cost=0.5)
ADA = Device("cuda", "NVIDIA GeForce RTX 4090", bf16=True)
TURING = Device("cuda", "NVIDIA GeForce RTX 2070", bf16=False)
APPLE = Device("mps", "Apple GPU", bf16=False)
ARC = Device("xpu", "Intel Arc B580", bf16=True)
OLD_INTEL = Device("xpu", "Intel Iris Xe", bf16=False)


def test_every_device_can_be_calibrated() -> None:
    assert set(calibrate.TOKENS) == set(get_args(get_type_hints(Device)["kind"]))


def works() -> str | None:
    return None


def fails() -> str | None:
    return "Unsloth can't be imported here (NotImplementedError: no accelerator)"


def never() -> str | None:
    raise AssertionError("nobody should have imported it")


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
    assert pick_precision(Recipe(precision="auto"), device) == (precision, reason)


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
    chosen, reason = pick_precision(Recipe.model_validate({"precision": wanted}), device)
    assert chosen == precision
    assert reason
    if chosen != wanted:
        assert f"asks for {wanted}" in reason, "a wish that isn't granted is answered"


def test_unsloth_where_it_works() -> None:
    assert choose_engine(Recipe(), works)[0] == "unsloth"
    assert choose_engine(Recipe(engine="unsloth"), works)[0] == "unsloth"


def test_fallback_says_why() -> None:
    name, reason = choose_engine(Recipe(), fails)
    assert name == "peft"
    assert "NotImplementedError: no accelerator" in reason


def test_insisting_on_unsloth_where_it_fails_is_an_error() -> None:
    with pytest.raises(UserError, match="no accelerator"):
        choose_engine(Recipe(engine="unsloth"), fails)


def test_peft_on_request_imports_nothing_else() -> None:
    assert choose_engine(Recipe(engine="peft"), never)[0] == "peft"


def test_what_unsloth_cannot_express_goes_to_peft() -> None:
    name, reason = choose_engine(Recipe(quantization="nf4", double_quantization=False), never)
    assert name == "peft"
    assert "constants" in reason


@pytest.mark.parametrize("targets", ["lm_head", ["q_proj", "model.embed_tokens"]])
def test_what_unsloth_would_train_whole_goes_to_peft(targets: str | list[str]) -> None:
    """Such an adapter could not be merged (core.export.merge)."""
    name, reason = choose_engine(Recipe(target_modules=targets), never)
    assert name == "peft"
    assert "whole" in reason
    assert choose_engine(Recipe(target_modules=["q_proj", "v_proj"]), works)[0] == "unsloth"
