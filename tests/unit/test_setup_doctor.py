"""The doctor's report, before and after set-up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.machine import read_hardware, read_probe
from core.setup.doctor import examine, report
from core.setup.machine import Gpu, Machine
from core.setup.places import Places
from core.setup.plan import Plan
from core.setup.prepare import wanted_steps
from core.setup.state import State

MACHINE = Machine(
    "linux",
    "x86_64",
    (3, 11, 7),
    gpus=(Gpu("NVIDIA GeForce RTX 3060", 12288, (8, 6)),),
    driver="570.86.16",
    cuda=(12, 8),
)


def test_before_set_up(tmp_path: Path):
    found = examine(Places(tmp_path), MACHINE)
    assert not found["ready"]
    assert {step["state"] for step in found["steps"] if step["name"] != "browser"} == {"missing"}
    text = report(found)
    assert "NVIDIA GeForce RTX 3060, 12 GB, driver 570.86.16, CUDA 12.8" in text
    assert "cu126: NVIDIA GeForce RTX 3060" in text
    assert "Not ready: Python environment, pip," in text
    assert json.loads(json.dumps(found))["machine"]["cuda"] == [12, 8]


def test_a_changed_machine_and_an_interrupted_step_are_said(tmp_path: Path):
    places = Places(tmp_path)
    plan = Plan("cpu", "no GPU found that can train", ("cpu",))
    state = State(places.state, {"plan": plan.to_json()})
    for step in wanted_steps(places, plan, test=False):
        state.finish(step.name, "yesterday", 2.0, {})
    state.begin("torch")
    text = report(examine(places, MACHINE))
    assert "today cu126 would fit: run `python app.py setup`" in text
    assert "outdated  Packages" in text
    assert "under way or was interrupted" in text


@pytest.mark.parametrize(
    ("recording", "lines"),
    [
        (
            "linux_rtx_5080_and_4090",
            [
                "GPU        NVIDIA GeForce RTX 5080, 16 GB, 14.6 free, driver 580.95.05, CUDA 13.0",
                "GPU        NVIDIA GeForce RTX 4090, 24 GB, 21.3 free, driver 580.95.05, CUDA 13.0",
                "memory     125.4 GB, 96.0 free",
            ],
        ),
        ("linux_gtx_1080", ["refused    GeForce GTX 1080 has compute capability 6.1 (Pascal)"]),
        ("wsl_rtx_5070_ti", ["drives the screen", "16 cores, avx avx2 fma f16c", "13.2 free, in WSL"]),
        ("linux_driver_updated", ["problem    The NVIDIA driver does not answer"]),
    ],
)
def test_what_the_page_finds_stands_here_too(tmp_path: Path, recording: str, lines: list[str]) -> None:
    probe = read_probe(Path(__file__).parents[1] / "data" / "probes" / f"{recording}.json")
    found = examine(Places(tmp_path), MACHINE, read_hardware(probe))
    text = report(found)
    assert all(line in text for line in lines)
    assert json.loads(json.dumps(found))["hardware"]["cores"] >= 1
