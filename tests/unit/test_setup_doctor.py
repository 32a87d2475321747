"""The doctor's report, before and after set-up."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from core.machine import read_probe
from core.setup.doctor import examine, report
from core.setup.prepare import wanted_steps
from core.setup.state import Places, State
from tests.unit.set_up import PLAN


def recording(name: str) -> dict[str, Any]:
    return read_probe(Path(__file__).parents[1] / "data" / "probes" / f"{name}.json")


def test_before_set_up(tmp_path: Path):
    facts = examine(Places(tmp_path), recording("linux_rtx_3060"))
    assert not facts["ready"]
    assert {step["state"] for step in facts["steps"] if step["name"] != "browser"} == {"missing"}
    text = report(facts)
    assert "cu130: NVIDIA GeForce RTX 3060" in text
    assert "Not ready: Python environment, pip," in text
    assert json.loads(json.dumps(facts))["hardware"]["gpus"][0]["capability"] == [8, 6]


def test_a_changed_machine_and_an_interrupted_step_are_said(tmp_path: Path):
    places = Places(tmp_path)
    state = State(places.state, {"plan": asdict(PLAN)})
    for step in wanted_steps(places, PLAN, test=False):
        state.finish(step.name, "yesterday", 2.0, {})
    state.begin("torch")
    text = report(examine(places, recording("linux_rtx_3060")))
    assert "today cu130 would fit: run `python app.py setup`" in text
    assert "outdated  Packages" in text
    assert "under way or was interrupted" in text


@pytest.mark.parametrize(
    ("name", "lines"),
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
def test_what_the_page_finds_stands_here_too(tmp_path: Path, name: str, lines: list[str]) -> None:
    text = report(examine(Places(tmp_path), recording(name)))
    assert all(line in text for line in lines)
