"""Which builds a machine gets, how each is tried, and which Pythons can carry them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.home import APP_FOLDER
from core.machine import GIB, Gpu, Hardware, read_probe
from core.setup.packages import torch_attempts
from core.setup.plan import InstallPlan, check_python, choose_plan, plan_for

PROBES = Path(__file__).parents[1] / "data" / "probes"


# GiB and compute capability
CARDS: dict[str, tuple[int, tuple[int, int] | None]] = {
    **{"RTX 3060": (12, (8, 6)), "RTX 5090": (32, (12, 0)), "RTX 5070": (12, (12, 0))},
    **{"GTX 1080": (8, (6, 1)), "P40": (24, (6, 1)), "K80": (11, (3, 7)), "something": (24, None)},
}


def machine(cuda: str, *names: str) -> Hardware:
    """A machine with these cards, whose driver runs that CUDA."""
    gpus = [Gpu(f"NVIDIA {n}", CARDS[n][0] * GIB, 0, CARDS[n][1], "999.9", cuda=cuda) for n in names]
    return Hardware(tuple(gpus), "", 4, 8 * GIB, 8 * GIB, GIB, "Linux 6")


@pytest.mark.parametrize(
    ("cuda", "names", "torch", "llama"),
    [
        ("", (), "cpu", "cpu"),
        ("12.4", ("RTX 3060",), "cu126", "cu124"),
        ("12.9", ("RTX 3060",), "cu126", "cu124"),
        ("13.0", ("RTX 3060",), "cu130", "cu130"),
        ("11.8", ("RTX 3060",), "cpu", "cpu"),
        ("", ("RTX 3060",), "cpu", "cpu"),
        ("13.0", ("GTX 1080",), "cu126", "cu124"),
        ("12.8", ("RTX 5090",), "cu129", "cu124"),
        ("13.1", ("RTX 5090",), "cu130", "cu130"),
        ("12.4", ("RTX 5090",), "cpu", "cpu"),
        ("13.0", ("GTX 1080", "RTX 5090"), "cu130", "cu130"),
        # the larger one can't train: the build is for the card that does
        ("12.8", ("P40", "RTX 5070"), "cu129", "cu124"),
        ("12.2", ("K80",), "cpu", "cpu"),
        ("12.2", ("something",), "cu126", "cu124"),
        ("13.2", ("something",), "cu130", "cu130"),
    ],
)
def test_builds(cuda: str, names: tuple[str, ...], torch: str, llama: str):
    plan = choose_plan(machine(cuda, *names))
    assert (plan.torch, plan.llama[0], plan.llama[-1]) == (torch, llama, "cpu")
    assert plan.reason
    assert InstallPlan.from_json(json.loads(json.dumps(asdict(plan)))) == plan


@pytest.mark.parametrize(
    ("name", "torch", "words"),
    [
        ("linux_rtx_3060", "cu130", "NVIDIA GeForce RTX 3060, driver"),
        ("linux_gb10", "cu130", "NVIDIA GB10"),
        ("windows_rtx_3070_ti_laptop", "cu126", "RTX 3070 Ti Laptop"),
        ("linux_rx_7900_xtx", "rocm7.2", "AMD Radeon RX 7900 XTX"),
        ("linux_mi210", "rocm7.2", "MI210"),
        ("linux_rx_6600_and_ryzen_gpu", "cpu", "RDNA2; AMD's PyTorch (ROCm) trains on"),
        ("windows_rx_9070_xt", "cpu", "needs Linux itself, not Windows"),
        ("linux_arc_a770_i915", "cpu", "no GPU found that can train"),
        ("mac_m4_pro", "default", "Apple silicon"),
        ("container_without_gpu", "cpu", "no GPU found"),
    ],
)
def test_recorded_machines_get_their_builds(name: str, torch: str, words: str):
    recording = read_probe(PROBES / f"{name}.json")
    plan = plan_for(recording)
    assert plan.torch == torch
    assert words in plan.reason
    hidden = {**recording, "environment": {"CUDA_VISIBLE_DEVICES": "-1"}, "torch": {"version": "2.13.0+xpu"}}
    assert plan_for(hidden) == plan, "a card that is hidden for once, or another torch, changes nothing"


def test_a_machine_gets_the_same_builds_before_anything_is_installed():
    """The finder reads every recording without site-packages, where the table of cards can't be read."""
    code = (
        "import json, pathlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "from core.machine import read_probe; from core.setup.plan import plan_for\n"
        "probes = sorted(pathlib.Path(sys.argv[2]).glob('*.json'))\n"
        "print(json.dumps({path.stem: plan_for(read_probe(path)).torch for path in probes}))"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(APP_FOLDER), str(PROBES)]
    plans = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert plans == {name: plan_for(read_probe(PROBES / f"{name}.json")).torch for name in plans}
    assert len(plans) > 20


def test_a_driver_that_is_old_or_broken_says_what_to_do():
    old = choose_plan(machine("12.4", "RTX 5090"))
    assert "needs CUDA 12.8" in old.reason
    assert old.notes == ("Update the NVIDIA driver to 570 or newer, then run `python app.py setup`.",)
    notes = plan_for(read_probe(PROBES / "linux_driver_updated.json")).notes
    assert "The driver was updated: restart the machine." in notes[0]
    assert notes[-1] == "Once that is mended, run `python app.py setup`."


@pytest.mark.parametrize("torch", ["cpu", "default", "rocm7.2", "cu126", "cu130"])
def test_torchvision_comes_only_beside_a_cuda_torch_and_cuda_13_only_by_its_name(torch: str):
    ways = torch_attempts(InstallPlan(torch, "", ()))
    assert all(any("torchvision" in one for one in way) == torch.startswith("cu") for way in ways.values())
    # a driver of CUDA 12 never gets the general build, which is one for CUDA 13
    assert ("configured index, general build" in ways) == (torch in ("cpu", "cu130"))


@pytest.mark.parametrize("python", [(3, 10, 0), (3, 11, 7), (3, 12, 1), (3, 13, 9)])
def test_python_that_works(python: tuple[int, ...]):
    check_python(python, 64, "Linux", "x86_64")
    check_python(python, 64, "Darwin", "arm64")


@pytest.mark.parametrize(
    ("python", "bits", "system", "sentence"),
    [
        ((3, 9, 18), 64, "Linux", r"needs Python 3\.10 to 3\.13; this is 3\.9\.18\. "),
        ((3, 14, 0), 64, "Linux", r"needs Python 3\.10 to 3\.13; this is 3\.14"),
        ((3, 11, 7), 32, "Windows", "32-bit"),
        ((3, 11, 7), 64, "Darwin", "Intel Macs"),
    ],
)
def test_python_that_does_not(python: tuple[int, ...], bits: int, system: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        check_python(python, bits, system, "x86_64")
