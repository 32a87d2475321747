"""This machine as Hardware: raw answers (or a recording of another machine's) read into words."""

from __future__ import annotations

import re
from pathlib import Path

from core.machine.ask import APPLE_FLAGS, PATIENCE_S, take_probe
from core.machine.hardware import Gpu, Hardware
from core.machine.read_gpus import READERS, Answers, is_wsl, memory, release_of, whole

# What an answer of a form that nobody expected raises while it is read
_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)
_FORMS = {
    **dict.fromkeys(("system", "environment", "memory", "nvml", "pci", "kfd", "sysctl", "cgroup"), dict),
    **dict.fromkeys(("torch", "processor_features"), dict),
    "adapters": list,
}
# Instruction sets that matter for training and chat, in the page's order: Linux' name and people's
_LINUX_FLAGS = {
    **{name: name for name in ("avx", "avx2", "fma", "f16c", "avx_vnni")},
    "avx512f": "avx512",
    **{name: name for name in ("avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")},
    "asimd": "neon",
    "asimddp": "dotprod",
    **{name: name for name in ("i8mm", "bf16", "sve", "sve2")},
}


def find_hardware(folder: Path | None = None, drivers: bool = True) -> Hardware:
    """Look at the machine now. `folder` decides which disk is measured; without `drivers` NVIDIA's cards are
    left out. A probe that fails is a sentence in `problems`."""
    return read_hardware(take_probe(folder, patience=PATIENCE_S if drivers else 0))


def read_hardware(answers: Answers) -> Hardware:
    """The machine that gave these raw answers. Raises nothing, whatever stands in them."""
    raw = {name: value for name, value in answers.items() if value is not None}
    wrong = [name for name, form in _FORMS.items() if name in raw and not isinstance(raw[name], form)]
    for name in wrong:
        del raw[name]
    problems = [f"What the machine says of “{name}” has an unknown form." for name in wrong]
    gpus: list[Gpu] = []
    for who, reader in READERS.items():
        try:
            reading = list(reader(raw))
        except _UNREADABLE as error:
            reason = f"{type(error).__name__}: {error}"
            reading = [f"What {who} says could not be understood ({reason})."]
        gpus += [item for item in reading if isinstance(item, Gpu)]
        problems += [item for item in reading if isinstance(item, str)]
    return _hardware(raw, gpus, problems)


def _hardware(raw: Answers, gpus: list[Gpu], problems: list[str]) -> Hardware:
    system = raw.get("system", {})
    instructions = _instructions(raw)
    ram, ram_free = memory(raw)
    if raw.get("disk_free") is None:
        problems = [*problems, "The free space on the disk could not be measured."]
    if not ram:
        problems = [*problems, "How much memory (RAM) this machine has could not be found out."]
    if str(system.get("machine", "")).lower() in ("x86_64", "amd64") and instructions:
        # PyTorch and llama.cpp are built for it
        slow = "This CPU has no AVX2: training and chat will be very slow, or refuse to start."
        problems = [*problems, *([] if "avx2" in instructions else [slow])]
    return Hardware(
        gpus=tuple(gpus),
        cpu=_cpu_name(raw),
        cores=max(1, whole(raw.get("cores"), 1)),
        ram=ram,
        ram_free=ram_free,
        disk_free=max(0, whole(raw.get("disk_free"))),
        system=f"{system.get('system', '')} {release_of(raw)}".strip(),
        instructions=instructions,
        wsl=is_wsl(raw),
        problems=tuple(dict.fromkeys(problems)),
        torch=_torch(raw.get("torch", {})),
    )


def _cpu_name(raw: Answers) -> str:
    """The name that the machine gives its CPU, else its kind (`aarch64`)."""
    name = re.search(r"^model name\s*:\s*(.+)$", str(raw.get("cpuinfo", "")), re.MULTILINE)
    names = (
        name[1] if name else "",
        raw.get("sysctl", {}).get("machdep.cpu.brand_string", ""),
        raw.get("processor", ""),
        raw.get("model", ""),
        raw.get("system", {}).get("machine", ""),
    )
    return next((" ".join(text.split()) for text in map(str, names) if text.strip()), "")


def _instructions(raw: Answers) -> tuple[str, ...]:
    """The sets that matter, from /proc/cpuinfo, sysctl or Windows."""
    line = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", str(raw.get("cpuinfo", "")), re.MULTILINE)
    if line:
        flags = set(line[1].split())
        return tuple(name for flag, name in _LINUX_FLAGS.items() if flag in flags)
    if sysctl := raw.get("sysctl"):
        return tuple(name for key, name in APPLE_FLAGS.items() if whole(sysctl.get(key)) == 1)
    return tuple(name for name, there in raw.get("processor_features", {}).items() if there is True)


def _torch(raw: Answers) -> str:
    """`2.13.0+cu130` of the raw answer: the general builds don't name their CUDA in the version."""
    version, text = str(raw.get("version", "")), str(raw.get("version_py", ""))
    if "+" in version or not version:
        return version
    for name, prefix in (("cuda", "cu"), ("hip", "rocm"), ("xpu", "xpu")):
        level = re.search(rf"^{name}\b.*?=\s*'([^']*)'", text, re.MULTILINE)
        if level:
            return f"{version}+{prefix}{level[1].replace('.', '') if name == 'cuda' else ''}"
    return version
