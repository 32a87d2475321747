"""The presets that come with the app: what they hold, and which one a machine gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.base.errors import UserError
from core.base.home import APP_FOLDER
from core.machine import GIB, LEAST_GIB, Gpu, Hardware, read_hardware
from core.presets import (
    Preset,
    choose_preset,
    load_preset,
    load_presets,
    preset_knobs,
    preset_named,
    suggested_models,
    usual_epochs,
    usual_learning_rate,
)
from core.recipe import Recipe

PROBES = APP_FOLDER / "tests" / "data" / "probes"


def machine(*gpus: Gpu, torch: str = "", system: str = "Linux") -> Hardware:
    return Hardware(
        gpus=gpus,
        cpu="x",
        cores=4,
        ram=16 * GIB,
        ram_free=8 * GIB,
        disk_free=99 * GIB,
        system=system,
        torch=torch,
    )


def card(gib: float, name: str = "A card", capability: tuple[int, int] | None = (8, 6), **rest) -> Gpu:
    return Gpu(name, int(gib * GIB), int(gib * GIB * 0.9), capability, "580.1", **rest)


def other(vendor: str, gib: float, arch: str = "", name: str = "A card") -> Gpu:
    return card(gib, name, None, vendor=vendor, arch=arch, unified=vendor == "apple")


def by_maker() -> Iterator[tuple[str, bool, list[Preset]]]:
    """For every maker, with and without bfloat16, the presets for its cards from small to large."""
    for vendor in LEAST_GIB:
        for bf16 in (True, False):
            presets = [preset for preset in load_presets() if preset.vendor == vendor]
            yield vendor, bf16, [p for p in presets if p.hardware and p.hardware.bf16 in (None, bf16)]


def test_every_class_of_hardware_has_one() -> None:
    keys = [preset.key for preset in load_presets()]
    sizes = ["04", "06", "08", "10", "12", "16", "16", "20", "24", "32", "48", "80"]
    assert keys[0] == "cpu"
    assert [key[4:6] for key in keys if key.startswith("gpu-")] == sizes
    assert {preset.vendor for preset in load_presets()} == {"cpu", *LEAST_GIB}
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("preset", load_presets(), ids=lambda preset: preset.key)
def test_what_a_preset_holds(preset: Preset) -> None:
    recipe = preset.recipe(name="x")
    assert (recipe.rank, recipe.alpha, recipe.target_modules) == (16, 16, "all-linear")
    assert recipe.preset == preset.key
    assert 8 <= recipe.effective_batch <= 16
    assert 0.05 <= recipe.warmup <= 0.10
    assert (recipe.epochs, recipe.learning_rate, recipe.dropout) == (3, 2e-4, 0)
    plenty = preset.vendor in ("cpu", "apple") or preset.key == "gpu-80gb"
    assert recipe.method_title == ("LoRA" if plenty else "QLoRA")
    assert preset.settings.keys() <= set(preset_knobs())
    assert preset.models
    assert not preset.own


def test_ranges_leave_no_gap_and_no_overlap() -> None:
    for vendor, bf16, presets in by_maker():
        ranges = [preset.hardware for preset in presets if preset.hardware]
        assert ranges[0].from_gib == LEAST_GIB[vendor]
        for small, large in zip(ranges, ranges[1:]):
            assert small.below_gib == large.from_gib, (vendor, bf16)
        assert ranges[-1].below_gib == float("inf")


def test_a_card_that_is_too_small_leaves_the_training_to_the_cpu() -> None:
    for small in (
        card(2, "NVIDIA GeForce MX450", (7, 5)),
        card(0, "A silent card"),
        other("intel", 4, "Alchemist"),
    ):
        found = machine(small)
        preset, why = choose_preset(found)
        assert found.training_gpu is None and preset.key == "cpu"
        assert f"{small.name} has {small.total_gib:.1f} GB of memory; training starts at" in why


@given(gib=st.floats(3.5, 600), bf16=st.booleans())
def test_every_card_that_is_large_enough_gets_exactly_one(gib: float, bf16: bool) -> None:
    gpu = card(gib, capability=(8, 6) if bf16 else (7, 5))
    assert sum(preset.hardware.fits(gpu) for preset in load_presets() if preset.hardware) == 1


@pytest.mark.parametrize(
    ("gpus", "key"),
    [
        ([], "cpu"),
        ([card(2.0, "GTX 1050")], "cpu"),
        ([card(4.0, "RTX 3050 Laptop")], "gpu-04gb"),
        ([card(8.0, "RTX 3070")], "gpu-08gb"),
        ([card(11.76, "RTX 3060")], "gpu-12gb"),
        ([card(10.0, "RTX 3080")], "gpu-10gb"),
        ([card(11.0, "RTX 2080 Ti", (7, 5))], "gpu-10gb"),
        ([card(15.99, "RTX 4080")], "gpu-16gb"),
        ([card(14.75, "Tesla T4", (7, 5))], "gpu-16gb-fp16"),
        ([card(22.5, "A10")], "gpu-24gb"),
        ([card(23.99, "RTX 4090"), card(12.0, "RTX 3060")], "gpu-24gb"),
        ([card(44.99, "L40S", (8, 9))], "gpu-48gb"),
        ([card(139.8, "H200", (9, 0))], "gpu-80gb"),
        ([other("amd", 15.98, "RDNA4")], "amd-16gb"),
        ([other("intel", 11.9, "Battlemage")], "intel-10gb"),
        ([other("apple", 24, "M3")], "apple-16gb"),
    ],
)
def test_the_preset_of_the_class_is_chosen(gpus: list[Gpu], key: str) -> None:
    preset, reason = choose_preset(machine(*gpus))
    assert preset.key == key
    assert preset.title in reason
    assert all(gpu.name in reason for gpu in gpus[:1])


def test_no_bfloat16_is_said() -> None:
    assert "computes in float16" in choose_preset(machine(card(8, capability=(7, 5))))[1]
    assert "float16" not in choose_preset(machine(card(8)))[1]


@pytest.mark.parametrize(
    ("hardware", "words"),
    [
        (machine(card(11, "GTX 1080 Ti", (6, 1))), "compute capability 6.1"),
        (machine(other("amd", 16, "RDNA2", "RX 6800")), "RX 6800 is RDNA2"),
        (machine(other("amd", 16, "RDNA3", "RX 7800 XT"), system="Windows 11"), "needs Linux"),
        (machine(other("intel", 12, "Battlemage"), torch="2.13.0+cpu"), "made for CPUs"),
        (machine(card(24, cuda="12.2"), torch="2.13.0+cu130"), "install driver"),
    ],
)
def test_a_card_that_is_refused_gets_no_gpu_preset(hardware: Hardware, words: str) -> None:
    preset, reason = choose_preset(hardware)
    assert preset.key == "cpu"
    assert words in reason
    assert "CPU preset" in reason


@pytest.mark.parametrize(
    ("probe", "key", "words"),
    [
        ("container_without_gpu", "cpu", "No GPU"),
        ("linux_arc_a770_i915", "cpu", "made for CPUs"),
        ("linux_arc_b580_small_window", "intel-10gb", "12 GB"),
        ("linux_gb10", "gpu-80gb", "with the machine"),
        ("linux_gtx_1080", "cpu", "compute capability 6.1"),
        ("linux_radeon_780m", "amd-08gb", "with the machine"),
        ("linux_rtx_5080_and_4090", "gpu-24gb", "RTX 4090"),
        ("linux_rx_6600_and_ryzen_gpu", "cpu", "RDNA2"),
        ("linux_rx_7900_xtx", "amd-20gb", "24 GB"),
        ("linux_tesla_t4_driver_535", "cpu", "install driver"),
        ("mac_m1_pro", "apple-16gb", "16 GB"),
        ("windows_rtx_3070_ti_laptop", "gpu-08gb", "8 GB"),
        ("windows_rx_9070_xt", "cpu", "not Windows"),
        ("wsl_rtx_5070_ti", "gpu-16gb", "15.9 GB"),
    ],
)
def test_recorded_machines_get_their_preset(probe: str, key: str, words: str) -> None:
    hardware = read_hardware(json.loads((PROBES / f"{probe}.json").read_text("utf-8")))
    preset, reason = choose_preset(hardware)
    assert preset.key == key
    assert words in reason


def test_a_refused_card_does_not_stand_before_one_that_trains() -> None:
    both = machine(card(24, "Tesla P40", (6, 1)), card(12, "RTX 3060"))
    assert choose_preset(both)[0].key == "gpu-12gb"


def test_models_that_need_bfloat16_are_not_suggested_without_it() -> None:
    preset = preset_named("gpu-24gb")
    assert suggested_models(preset, card(24)) == suggested_models(preset) == preset.models
    left = suggested_models(preset, card(24, capability=(7, 5)))
    assert left
    assert not any("gemma-3" in name for name in left)


def test_a_name_that_is_none_lists_those_that_are() -> None:
    with pytest.raises(UserError, match="cpu, gpu-04gb"):
        preset_named("gpu-3gb")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: A\n", "“settings” field required"),
        ("title: A\nsettings: {rank: 0}\n", "“rank”"),
        ("title: A\nsettings: {data: x.jsonl}\n", "can't hold data"),
        ("title: A\nsettings: {speed: 1}\n", "no setting “speed”"),
        ('title: "A\\nB"\nsettings: {}\n', "one line of ordinary text"),
        ("title: A\nmodels: [../../etc]\nsettings: {}\n", "must be ids"),
        ("title: A\nmodels: [../..]\nsettings: {}\n", "must be ids"),
        ('title: A\nmodels: ["Qwen/Qwen3-4B\\n"]\nsettings: {}\n', "must be ids"),
        ("title: A\nrun: rm\nsettings: {}\n", "no setting “run”"),
        ("title: A\nhardware: {vendor: nvidia, from_gib: 9, below_gib: 8}\nsettings: {}\n", "less than"),
    ],
)
def test_files_that_are_no_preset(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(UserError, match=words) as caught:
        load_preset(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "epochs"), [(0, 3), (999, 3), (1000, 2), (9999, 2), (10_000, 1), (10**7, 1)]
)
def test_more_rows_are_seen_less_often(rows: int, epochs: float) -> None:
    suited, why = usual_epochs(rows)
    assert suited == epochs
    assert f"{rows:,} rows" in why


def test_large_models_learn_slower() -> None:
    assert usual_learning_rate(8_030_000_000)[0] == Recipe().learning_rate
    assert usual_learning_rate(32_760_000_000)[0] == 1e-4
