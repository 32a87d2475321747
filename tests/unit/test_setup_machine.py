"""What nvidia-smi and the kernel say, read: texts in their documented form, not recordings of machines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.setup.machine import Gpu, Machine, check_python, find_amd, find_intel, find_nvidia

HEADER = """Sat Nov 21 10:12:01 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI {driver}             Driver Version: {driver}      CUDA Version: {cuda}     |
|-----------------------------------------+------------------------+----------------------+
"""
LINUX = Machine("linux", "x86_64", (3, 11, 7))


def recorded(*answers: tuple[int, str]):
    """An `ask` that replays `answers` in order."""
    left = list(answers)
    return lambda command: left.pop(0)


def test_one_gpu():
    header = HEADER.format(driver="570.86.16", cuda="12.8")
    found = find_nvidia(recorded((0, header), (0, "NVIDIA GeForce RTX 3060, 12288, 570.86.16, 8.6\n")))
    assert found == ((Gpu("NVIDIA GeForce RTX 3060", 12288, (8, 6)),), "570.86.16", (12, 8), ())


def test_two_gpus_on_windows_line_ends():
    header = HEADER.format(driver="581.42", cuda="13.0").replace("\n", "\r\n")
    rows = (
        "NVIDIA GeForce RTX 5090, 32607, 581.42, 12.0\r\nNVIDIA GeForce GTX 1080 Ti, 11264, 581.42, 6.1\r\n"
    )
    gpus, driver, cuda, _ = find_nvidia(recorded((0, header), (0, rows)))
    assert [gpu.capability for gpu in gpus] == [(12, 0), (6, 1)]
    assert (driver, cuda) == ("581.42", (13, 0))


def test_newer_header_names_the_level_differently():
    header = "| NVIDIA-SMI 610.10   KMD Version: 610.10   CUDA UMD Version: 13.4 |"
    assert find_nvidia(recorded((0, header), (0, "NVIDIA H200, 143771, 610.10, 9.0")))[2] == (13, 4)


def test_old_driver_does_not_know_compute_cap():
    header = HEADER.format(driver="450.80.02", cuda="11.0")
    refusal = 'Field "compute_cap" is not a valid field to query.\n'
    gpus, _, cuda, _ = find_nvidia(recorded((0, header), (2, refusal), (0, "Tesla K80, 11441, 450.80.02")))
    assert gpus == (Gpu("Tesla K80", 11441, None),)
    assert cuda == (11, 0)


def test_memory_shared_with_the_cpu():
    header = HEADER.format(driver="580.95.05", cuda="13.0")
    gpus, *_ = find_nvidia(recorded((0, header), (0, "NVIDIA GB10, [N/A], 580.95.05, 12.1")))
    assert gpus == (Gpu("NVIDIA GB10", 0, (12, 1)),)


def test_driver_that_fails_is_a_problem_not_a_crash():
    said = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\nMake sure ...\n"
    gpus, driver, cuda, problems = find_nvidia(recorded((9, said)))
    assert (gpus, driver, cuda) == ((), None, None)
    assert problems == (
        "nvidia-smi is there but fails: NVIDIA-SMI has failed because it couldn't communicate "
        "with the NVIDIA driver.",
    )


def test_no_driver_at_all():
    assert find_nvidia(recorded((127, ""))) == ((), None, None, ())


@pytest.mark.parametrize(
    ("version", "name"), [(110000, "gfx1100"), (100302, "gfx1032"), (90010, "gfx90a"), (120001, "gfx1201")]
)
def test_amd_names(tmp_path: Path, version: int, name: str):
    for node, target in (("0", 0), ("1", version)):
        folder = tmp_path / "class/kfd/kfd/topology/nodes" / node
        folder.mkdir(parents=True)
        (folder / "properties").write_text(f"cpu_cores_count 0\ngfx_target_version {target}\nvendor_id 1\n")
    assert find_amd(tmp_path) == (name,)


def test_intel_gpu_in_the_cpu_does_not_count(tmp_path: Path):
    for number, slot in enumerate(("0000:00:02.0", "0000:03:00.0")):
        device = tmp_path / "devices" / slot
        device.mkdir(parents=True)
        (device / "vendor").write_text("0x8086\n")
        card = tmp_path / "class/drm" / f"card{number}"
        card.mkdir(parents=True)
        (card / "device").symlink_to(device)
        assert find_intel(tmp_path) == (slot == "0000:03:00.0")


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 11, 7), (3, 12, 1), (3, 13, 9)])
def test_python_that_works(version: tuple[int, int, int]):
    check_python(replace(LINUX, python=version), bits=64)


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0)])
def test_python_that_does_not(version: tuple[int, int, int]):
    with pytest.raises(UserError, match=r"needs Python 3\.10 to 3\.13; this is 3\."):
        check_python(replace(LINUX, python=version), bits=64)


def test_python_of_32_bits_and_intel_mac():
    with pytest.raises(UserError, match="32-bit"):
        check_python(LINUX, bits=32)
    with pytest.raises(UserError, match="Intel Macs"):
        check_python(replace(LINUX, system="macos"), bits=64)
