"""Machines as recorded: what they say is read into words, and what they don't say becomes a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.cores import ask_cgroup, usable_cores
from core.base.errors import UserError
from core.fit import Place
from core.machine import GIB, MIB, Gpu, Hardware, ask, find_hardware, read_hardware, read_probe, refusal
from core.train.device import the_training_gpu

PROBES = Path(__file__).parents[1] / "data" / "probes"
NAMES = sorted(path.stem for path in PROBES.glob("*.json"))


def machine(name: str, /, **changes: Any) -> Hardware:
    """A recorded machine; `changes` are raw answers that stand in place of the recorded ones."""
    return read_hardware({**read_probe(PROBES / f"{name}.json"), **changes})


def with_card(name: str, /, **changes: Any) -> Hardware:
    """A recorded machine whose first NVIDIA card says something else."""
    raw = read_probe(PROBES / f"{name}.json")
    raw["nvml"]["devices"][0].update(changes)
    return read_hardware(raw)


def put(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n", "utf-8")


# ----- what is found


@pytest.mark.parametrize("name", NAMES)
def test_every_recording_says_where_it_comes_from_and_is_understood(name: str) -> None:
    assert len(read_probe(PROBES / f"{name}.json")["about"]) > 60
    hardware = machine(name)
    assert not [text for text in hardware.problems if "understood" in text or "form" in text]
    assert all(gpu.total > 0 and 0 <= gpu.free <= gpu.total for gpu in hardware.gpus)
    assert all(gpu.arch and gpu.driver for gpu in hardware.gpus)
    assert hardware.ram >= hardware.ram_free > 0
    assert hardware.headline


BLACKWELL = {"name": "NVIDIA GeForce RTX 5070 Ti", "total": 16303 * MIB, "free": 13287 * MIB, "cuda": "13.2"}
BLACKWELL |= {"capability": (12, 0), "arch": "Blackwell", "bf16": True, "driver": "596.49", "power": 300}
RDNA3 = {"name": "AMD Radeon RX 7900 XTX", "arch": "RDNA3", "bf16": True, "capability": None, "power": 339}
NO_GPU = "No GPU: training on 2 CPU cores"


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("wsl_rtx_5070_ti", {**BLACKWELL, "display": True, "laptop": False}),
        # the registry's NVIDIA entry is not a second card, Iris Xe is none at all
        ("windows_rtx_3070_ti_laptop", {"laptop": True, "display": False}),
        ("linux_gb10", {"unified": True, "total": 127600748 * 1024}),
        ("mac_m4_pro", {"vendor": "apple", "arch": "M4", "unified": True, "bf16": True}),
        ("mac_m1_pro", {"laptop": True, "bf16": False}),
        # what the kernel lends, not the 512 MB set aside; one of the two pools, not both
        ("linux_radeon_780m", {"unified": True, "total": 16428122112}),
        ("linux_strix_halo", {"total": 96 * GIB}),
        ("linux_rx_7900_xtx", {**RDNA3, "display": True}),
        ("linux_mi210", {"name": "AMD Instinct MI210", "arch": "CDNA2", "total": 65520 * MIB}),
        # by the slot's window; not the GPU inside the CPU
        ("linux_arc_pro_b50_on_arm", {"total": 16 * GIB}),
        ("linux_arc_a770_i915", {"total": 16 * GIB}),
        ("linux_arc_b580_small_window", {"total": 12 * GIB}),
    ],
)
def test_the_one_card_of_a_recorded_machine(name: str, facts: dict[str, Any]) -> None:
    (gpu,) = machine(name).gpus
    assert {fact: getattr(gpu, fact) for fact in facts} == facts


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("linux_driver_updated", {}, "different versions. The driver was updated: restart the machine."),
        ("linux_driver_updated", {"nvml": {"error": "library not found"}}, "container with `--gpus all`"),
        ("linux_nouveau", {}, "its driver is not (in use: nouveau). Install NVIDIA's driver."),
        ("linux_rtx_pro_6000_mig", {}, "is split by MIG"),
        ("linux_arc_b580_small_window", {}, "does not say how much memory it has; 12 GB are assumed"),
        ("wsl_radeon", {}, "Windows offers a GPU to WSL, but no NVIDIA driver answers."),
        ("wsl1_without_avx2", {}, "This is WSL 1, which has no GPU."),
        ("wsl1_without_avx2", {}, "This CPU has no AVX2"),
        ("windows_rtx_3070_ti_laptop", {"nvml": None}, "Windows lists NVIDIA GeForce RTX 3070 Ti Laptop GPU"),
        ("linux_rtx_3060", {"memory": None}, "memory (RAM) this machine has could not be found out"),
    ],
)
def test_what_fails_is_a_sentence(name: str, changes: dict[str, Any], sentence: str) -> None:
    assert any(sentence in problem for problem in machine(name, **changes).problems)


def test_wsl_windows_and_a_container_in_words() -> None:
    wsl = machine("wsl_rtx_5070_ti")
    assert wsl.wsl and not wsl.problems and "avx2" in wsl.instructions
    assert wsl.headline == "NVIDIA GeForce RTX 5070 Ti · 16 GB · 13.0 free"
    windows = machine("windows_rtx_3070_ti_laptop")
    assert (windows.system, windows.problems) == ("Windows 11", ())
    container = machine("container_without_gpu")
    assert (container.ram, container.ram_free, container.headline) == (8 * GIB, 7 * GIB, NO_GPU)


def test_inside_wsl_windows_desktop_takes_its_part_of_the_card() -> None:
    assert Place.of(machine("wsl_rtx_5070_ti")).usable == 16303 * MIB - GIB
    assert Place.of(machine("linux_rtx_5080_and_4090")).usable == 24564 * MIB


def test_old_cards_carry_the_desktops_name_so_the_chassis_tells() -> None:
    assert not machine("linux_gtx_1080").gpus[0].laptop
    assert machine("linux_gtx_1080", chassis="10").gpus[0].laptop
    # an external card beside a laptop
    assert not any(gpu.laptop for gpu in machine("linux_rtx_5080_and_4090", chassis="10").gpus)


def test_of_two_cards_the_larger_trains_though_the_other_is_newer() -> None:
    hardware = machine("linux_rtx_5080_and_4090")
    assert [gpu.name[-4:] for gpu in hardware.gpus] == ["5080", "4090"]
    assert hardware.best_gpu is not None and hardware.best_gpu.name.endswith("4090")
    assert the_training_gpu(hardware) == {"CUDA_VISIBLE_DEVICES": "1"}


def test_a_card_that_may_train_goes_before_a_larger_one_that_may_not() -> None:
    old = Gpu("Tesla P40", 24 * GIB, 24 * GIB, (6, 1), "570")
    new = Gpu("RTX 3060", 12 * GIB, 12 * GIB, (8, 6), "570", index=1)
    hardware = replace(machine("container_without_gpu"), gpus=(old, new), torch="2.13.0+cu126")
    assert hardware.best_gpu is hardware.training_gpu is new
    alone = replace(hardware, gpus=(old,))
    assert (alone.best_gpu, alone.training_gpu) == (old, None)
    assert alone.headline == "Tesla P40 can't train: training on 2 CPU cores"
    assert the_training_gpu(alone) == {"CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize(("visible", "left"), [("0", [0]), ("-1", []), ("", []), ("GPU-5f1c", [0, 1])])
def test_the_environment_hides_cards(visible: str, left: list[int]) -> None:
    hardware = machine("linux_rtx_5080_and_4090", environment={"CUDA_VISIBLE_DEVICES": visible})
    assert [gpu.index for gpu in hardware.gpus] == left
    hides = f"CUDA_VISIBLE_DEVICES is “{visible}”, which hides every NVIDIA card."
    assert any(hides in problem for problem in hardware.problems) == (not left)


@pytest.mark.parametrize(
    "memory", [{"error": "unknown error"}, {"total": -5, "free": 7}, {}, {"total": "much"}]
)
def test_a_card_whose_memory_nvml_can_not_tell_is_not_taken_for_one_that_shares(memory: Any) -> None:
    hardware = with_card("linux_rtx_3060", memory=memory)
    assert not hardware.gpus[0].unified and hardware.gpus[0].total == 0 and hardware.training_gpu is None
    assert "does not say how much memory" in hardware.problems[0]


@pytest.mark.parametrize(
    ("name", "laptop"),
    [
        ("NVIDIA GeForce RTX 4060 Laptop GPU", True),
        ("NVIDIA GeForce RTX 2050", True),
        ("NVIDIA GeForce RTX 2070 with Max-Q Design", True),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", False),
        ("NVIDIA GeForce RTX 3060", False),
    ],
)
def test_a_name_tells_a_laptop_s_card(name: str, laptop: bool) -> None:
    assert with_card("linux_rtx_3060", name=name).gpus[0].laptop == laptop


OLD_LIMITS = {"memory/memory.limit_in_bytes": "8589934592", "memory/memory.usage_in_bytes": "4096"}
OLD_LIMITS |= {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}
NO_OLD_LIMITS = {"memory/memory.limit_in_bytes": "9223372036854771712", "cpu/cpu.cfs_quota_us": "-1"}


@pytest.mark.parametrize(
    ("files", "memory", "most"),
    [
        ({"memory.max": "8589934592", "memory.current": "4096", "cpu.max": "50000 100000"}, 8 * GIB, 1),
        (OLD_LIMITS, 8 * GIB, 1),
        ({"memory.max": "max", "memory.current": "4096", "cpu.max": "max 100000"}, 24 * GIB, 4096),
        (NO_OLD_LIMITS, 24 * GIB, 4096),
        ({"memory.max": "", "cpu.max": "nonsense 0"}, 24 * GIB, 4096),
        ({}, 24 * GIB, 4096),
    ],
)
def test_limits_of_both_kinds_of_containers(
    tmp_path: Path, files: dict[str, str], memory: int, most: int
) -> None:
    put(tmp_path / "sys/fs/cgroup", files)
    told = {"total": 24 * GIB, "available": 20 * GIB}
    raw = {"memory": told, "cgroup": ask_cgroup(tmp_path), "cores": usable_cores(tmp_path)}
    hardware = read_hardware(raw)
    assert hardware.ram == memory
    assert 1 <= hardware.cores <= most


def test_a_card_split_by_mig_gives_its_first_part() -> None:
    raw = read_probe(PROBES / "linux_rtx_pro_6000_mig.json")
    first, second = raw["nvml"]["devices"]
    first["slices"] = [{"total": 23 * GIB, "free": 22 * GIB}, {"error": "no permission"}, {"total": 46 * GIB}]
    second["slices"] = []
    hardware = read_hardware(raw)
    assert [(gpu.total, gpu.free) for gpu in hardware.gpus] == [(23 * GIB, 22 * GIB)]
    assert "a run gets the first part, 23.0 GB" in hardware.problems[0]
    assert "has no parts yet" in hardware.problems[1]


def test_a_lost_card_leaves_the_others() -> None:
    raw = read_probe(PROBES / "linux_rtx_5080_and_4090.json")
    raw["nvml"]["devices"][0] = {"error": "GPU is lost"}
    hardware = read_hardware(raw)
    assert [gpu.index for gpu in hardware.gpus] == [1]
    assert "NVIDIA card 0 does not answer (GPU is lost). Restart the machine" in hardware.problems[0]


# ----- refusals


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("linux_rx_7900_xtx", {}, None),
        ("linux_rx_7900_xtx", {"kfd_access": "missing", "kfd": {}}, "/dev/kfd is missing"),
        ("linux_rx_7900_xtx", {"kfd_access": "denied"}, "`sudo usermod -aG render,video $USER`"),
        ("linux_rx_7900_xtx", {"driver": "vfio-pci"}, "Its driver is not amdgpu"),
        ("linux_gtx_1080", {}, "compute capability 6.1 (Pascal); training needs 7.0"),
        ("linux_rx_6600_and_ryzen_gpu", {}, "is RDNA2; AMD's PyTorch (ROCm) trains on RDNA3, RDNA4 and CDNA"),
        ("windows_rx_9070_xt", {}, "training on AMD GPUs needs Linux itself, not Windows"),
        (
            "linux_tesla_t4_driver_535",
            {},
            "too old for the installed PyTorch 2.13.0+cu130: install",
        ),
        ("wsl_gtx_1650_ti_max_q", {}, "install driver 525 or newer, or run `python app.py setup`"),
        ("linux_arc_a770_i915", {}, "is made for CPUs: set-up does not install its XPU build yet"),
    ],
)
def test_bad_combinations_are_refused_with_the_reason(
    name: str, changes: dict[str, Any], sentence: str | None
) -> None:
    raw = {**read_probe(PROBES / f"{name}.json"), **changes}
    for card in raw["pci"].values() if "driver" in changes else ():
        card["driver"] = changes["driver"]
    hardware = read_hardware(raw)
    reason = refusal(hardware.gpus[0], hardware)
    assert (reason is None) == (hardware.training_gpu is not None) == (sentence is None)
    assert (sentence or "") in (reason or "")


def card(name: str, capability: tuple[int, int] | None, driver: str = "580", **others: Any) -> Gpu:
    return Gpu(name, 8 * GIB, 8 * GIB, capability, driver, **others)


RTX_3060 = card("RTX 3060", (8, 6), "535", cuda="12.2")


@pytest.mark.parametrize(
    ("gpu", "torch", "sentence"),
    [
        (card("V100", (7, 0), cuda="13.0"), "2.13.0+cu130", "no code for V100"),
        (card("RTX 5090", (12, 0), cuda="13.0"), "2.13.0+cu126", "covers 5.0 to 9.0"),
        (RTX_3060, "2.13.0+cpu", "made for CPUs: run `python app.py setup`."),
        (card("RTX 2060", (7, 5), "396.54"), "2.13.0+cu126", "driver 396.54 is too old"),
        (card("RX 9070", None, vendor="amd", arch="RDNA4"), "2.13.0+cpu", "CPUs: run `python app.py setup`."),
        (card("780M", None, vendor="amd", arch="RDNA3"), "2.13.0+cu130", "is made for NVIDIA GPUs."),
        (RTX_3060, "2.13.0+cu126", None),
        (RTX_3060, "", None),
        (card("RTX 3060", (8, 6), ""), "2.13.0+cu130", None),
        (card("B580", None, vendor="intel", arch="Battlemage"), "2.13.0+xpu", None),
        (card("Apple M2", None, vendor="apple", arch="M2"), "2.13.0", None),
    ],
)
def test_card_and_installed_build(gpu: Gpu, torch: str, sentence: str | None) -> None:
    hardware = replace(machine("container_without_gpu"), gpus=(gpu,), torch=torch)
    reason = refusal(gpu, hardware)
    assert reason is None if sentence is None else sentence in (reason or "")


@pytest.mark.parametrize(
    ("version", "file", "build"),
    [
        ("2.13.0+cu126", "", "2.13.0+cu126"),
        ("2.13.0", "cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "2.13.0+cu130"),
        ("2.13.0", "cuda: Optional[str] = None\nhip: Optional[str] = '7.2.1'\n", "2.13.0+rocm"),
        ("2.13.0", "cuda = None\n", "2.13.0"),
        ("", "", ""),
    ],
)
def test_the_build_of_torch_is_read_without_importing_it(version: str, file: str, build: str) -> None:
    assert read_hardware({"torch": {"version": version, "version_py": file}}).torch == build


# ----- families


def test_families() -> None:
    families = {(6, 1): "Pascal", (7, 5): "Turing", (8, 6): "Ampere", (8, 9): "Ada", (12, 1): "Blackwell"}
    assert {level: Gpu("", 0, 0, level, "").arch for level in families} == families
    amd = {"RDNA2": False, "RDNA3.5": True, "CDNA1": True}
    assert {arch: Gpu("", 0, 0, None, "", "amd", arch).bf16 for arch in amd} == amd


NODES = {110000: "gfx1100", 110501: "gfx1151", 120001: "gfx1201", 100302: "gfx1032", 90010: "gfx90a"}
NODES |= {90012: "gfx90c"}
ARCHS = ("RDNA3", "RDNA3.5", "RDNA4", "RDNA2", "CDNA2", "Vega")


@pytest.mark.parametrize(("node", "arch"), [*zip(NODES.items(), ARCHS)])
def test_an_amd_card_that_nobody_knows_is_called_by_its_compute_node(
    node: tuple[int, str], arch: str
) -> None:
    properties = f"gfx_target_version {node[0]}\nlocation_id 768\ndomain 0\n"
    slot = {"vendor": "0x1002", "device": "0xffff", "driver": "amdgpu"}
    (gpu,) = read_hardware({"pci": {"0000:03:00.0": slot}, "kfd": {"0": "", "1": properties}}).gpus
    assert (gpu.name, gpu.arch) == (f"AMD {node[1]}", arch)


# ----- the machine under this test, and recordings


def test_this_machine_answers_in_words(tmp_path: Path) -> None:
    hardware = find_hardware(tmp_path)
    assert hardware.cores >= 1 and hardware.ram > hardware.ram_free > 0 and hardware.disk_free > 0
    assert hardware.cpu and hardware.system and hardware.torch
    assert not [problem for problem in hardware.problems if "understood" in problem]


def test_a_folder_that_is_not_there_yet_is_measured_where_it_will_be(tmp_path: Path) -> None:
    assert find_hardware(tmp_path / "not" / "yet").disk_free > 0


def test_a_driver_is_left_asleep_where_no_card_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "nvidia_expected", lambda raw: True)
    monkeypatch.setattr(ask, "ask_nvml", lambda patience: {"error": "it was asked"})
    assert not find_hardware(drivers=False).problems
    assert "it was asked" in find_hardware().problems[0]


def test_the_environment_names_a_recording(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(PROBES / "linux_rx_7900_xtx.json"))
    assert find_hardware().gpus[0].vendor == "amd"
    for content in (b"[]", b"{", b"\xff"):
        damaged = tmp_path / "probe.json"
        damaged.write_bytes(content)
        monkeypatch.setenv("LORA_GARAGE_PROBE", str(damaged))
        with pytest.raises(UserError, match="probe.json"):
            find_hardware()
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(tmp_path / "none.json"))
    with pytest.raises(UserError, match=r"none\.json can't be read"):
        find_hardware()


def test_linux_files_are_found_where_the_kernel_puts_them(tmp_path: Path) -> None:
    slot = tmp_path / "sys/bus/pci/devices/0000:03:00.0"
    put(slot, {"class": "0x030000", "vendor": "0x1002", "device": "0x744c", "revision": "0xc8"})
    put(slot, {"mem_info_vram_total": "25753026560", "hwmon/hwmon3/power1_cap": "339000000"})
    put(slot, {"drm/card1/card1-DP-1/status": "connected"})
    put(slot, {"resource": "0x0 0x0 0x0\n0x0 0x0 0x0\n0xe0000000 0xefffffff 0x14220c"})
    node = "gfx_target_version 110000\nlocation_id 768\ndomain 0"
    put(tmp_path / "sys", {"class/kfd/kfd/topology/nodes/1/properties": node})
    put(tmp_path / "sys", {"bus/pci/devices/0000:00:1f.3/class": "0x040300"})
    kib = "MemTotal:       24684084 kB\nMemFree:         9873400 kB\nMemAvailable:   12492416 kB"
    put(tmp_path / "proc", {"meminfo": kib, "cpuinfo": "model name\t: A CPU\nflags\t\t: avx avx2"})
    (tmp_path / "drivers" / "amdgpu").mkdir(parents=True)
    (slot / "driver").symlink_to(tmp_path / "drivers" / "amdgpu")
    raw = ask.ask_linux(tmp_path)
    assert list(raw["pci"]) == ["0000:03:00.0"]
    assert raw["memory"] == {"total": 24684084 * 1024, "available": 12492416 * 1024}
    (gpu,) = read_hardware(raw).gpus
    assert (gpu.name, gpu.arch, gpu.power, gpu.display) == ("AMD Radeon RX 7900 XTX", "RDNA3", 339, True)


def test_a_mac_s_free_memory_is_counted_in_pages() -> None:
    text = "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:        100.\n"
    text += "Pages active:     7000.\nPages inactive:    20.\nPages speculative: 3.\n"
    assert ask.parse_vm_stat(text) == 123 * 16384
    assert ask.parse_sysctl("hw.memsize: 17179869184\nsysctl: unknown oid\n")["hw.memsize"] == "17179869184"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(NAMES), path=st.lists(st.integers(0, 9), min_size=1, max_size=4), value=JSON)
def test_whatever_a_driver_says_nothing_is_raised(name: str, path: list[int], value: Any) -> None:
    raw = json.loads((PROBES / f"{name}.json").read_text("utf-8"))
    spot: Any = raw
    for step in path[:-1]:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        inner = spot[keys[step % len(keys)]] if keys else None
        if not isinstance(inner, dict | list):
            break
        spot = inner
    keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
    if keys:
        spot[keys[path[-1] % len(keys)]] = value
    hardware = read_hardware(raw)
    assert hardware.headline and hardware.cores >= 1
    assert all(isinstance(refusal(gpu, hardware), str | None) for gpu in hardware.gpus)
