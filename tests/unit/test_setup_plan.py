"""Which builds a machine gets, and how each is tried."""

from __future__ import annotations

import json

import pytest

from core.setup.machine import Gpu, Machine
from core.setup.plan import Plan, choose_plan
from core.setup.torch_build import attempts


def machine(*gpus: Gpu, cuda: tuple[int, int] | None = None, system: str = "linux", **more) -> Machine:
    return Machine(
        system, "x86_64", (3, 11, 7), gpus=gpus, driver="999.9" if gpus else None, cuda=cuda, **more
    )


RTX_3060 = Gpu("NVIDIA GeForce RTX 3060", 12288, (8, 6))
RTX_5090 = Gpu("NVIDIA GeForce RTX 5090", 32607, (12, 0))
GTX_1080 = Gpu("NVIDIA GeForce GTX 1080", 8192, (6, 1))
KEPLER = Gpu("Tesla K80", 11441, (3, 7))
UNKNOWN = Gpu("NVIDIA something", 24000, None)


@pytest.mark.parametrize(
    ("found", "torch", "llama"),
    [
        (machine(), "cpu", ("cpu",)),
        (machine(RTX_3060, cuda=(12, 4)), "cu126", ("cu124", "cpu")),
        (machine(RTX_3060, cuda=(12, 9)), "cu126", ("cu124", "cpu")),
        (machine(RTX_3060, cuda=(13, 0)), "cu130", ("cu130", "cpu")),
        (machine(RTX_3060, cuda=(11, 8)), "cpu", ("cpu",)),
        (machine(GTX_1080, cuda=(13, 0)), "cu126", ("cu124", "cpu")),
        (machine(RTX_5090, cuda=(12, 8)), "cu129", ("cu124", "cpu")),
        (machine(RTX_5090, cuda=(13, 1)), "cu130", ("cu130", "cpu")),
        (machine(RTX_5090, cuda=(12, 4)), "cpu", ("cpu",)),
        (machine(GTX_1080, RTX_5090, cuda=(13, 0)), "cu130", ("cu130", "cpu")),
        (machine(KEPLER, cuda=(12, 2)), "cpu", ("cpu",)),
        (machine(UNKNOWN, cuda=(12, 2)), "cu126", ("cu124", "cpu")),
        (machine(UNKNOWN, cuda=(13, 2)), "cu130", ("cu130", "cpu")),
        (machine(RTX_3060, cuda=None), "cpu", ("cpu",)),
        (machine(system="macos"), "default", ("metal", "cpu")),
        (machine(amd=("gfx1100",)), "rocm7.2", ("cpu",)),
        (machine(amd=("gfx1032",)), "cpu", ("cpu",)),
        (machine(intel_gpu=True), "cpu", ("cpu",)),
    ],
)
def test_builds(found: Machine, torch: str, llama: tuple[str, ...]):
    plan = choose_plan(found)
    assert (plan.torch, plan.llama) == (torch, llama)
    assert plan.reason


def test_an_old_driver_says_what_to_do():
    plan = choose_plan(machine(RTX_5090, cuda=(12, 4)))
    assert "needs CUDA 12.8" in plan.reason
    assert plan.notes == ("Update the NVIDIA driver to 570 or newer, then run `python app.py setup`.",)


def test_a_broken_driver_is_named():
    plan = choose_plan(machine(problems=("nvidia-smi is there but fails: no devices",)))
    assert plan.torch == "cpu"
    assert "no devices" in plan.notes[0]


def test_a_plan_survives_json():
    plan = choose_plan(machine(RTX_3060, cuda=(13, 0)))
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_torchvision_comes_only_beside_a_cuda_torch():
    for torch in ("cpu", "default", "rocm7.2"):
        for _, arguments in attempts(Plan(torch, "", ())):
            assert not any("torchvision" in argument for argument in arguments)
    for _, arguments in attempts(Plan("cu126", "", ())):
        assert "torchvision==0.28.0+cu126" in arguments


def test_a_12_x_driver_never_gets_the_general_cuda_13_build():
    assert [name for name, _ in attempts(Plan("cu126", "", ()))] == ["configured index", "PyTorch's index"]
    assert attempts(Plan("cu130", "", ()))[-1][0] == "configured index, general build"
