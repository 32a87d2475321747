"""The CPU: its name, and the instruction sets that matter for training and chat."""

from __future__ import annotations

import re
from typing import Any

from core.machine.readings import whole

# what Linux calls it: what people call it. Order is that of the page.
_LINUX = {
    "avx": "avx",
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "avx_vnni": "avx_vnni",
    "avx512f": "avx512",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx512_fp16": "avx512_fp16",
    "amx_bf16": "amx_bf16",
    "amx_int8": "amx_int8",
    "asimd": "neon",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
}
_APPLE = {
    "hw.optional.neon": "neon",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
}


def cpu_name(raw: dict[str, Any]) -> str:
    """The name that the machine gives its CPU, else its kind (`aarch64`)."""
    found = re.search(r"^model name\s*:\s*(.+)$", str(raw.get("cpuinfo", "")), re.MULTILINE)
    names = (
        found[1] if found else "",
        str((raw.get("sysctl") or {}).get("machdep.cpu.brand_string", "")),
        str(raw.get("processor", "")),
        str(raw.get("model", "")),
        str((raw.get("system") or {}).get("machine", "")),
    )
    return next((" ".join(name.split()) for name in names if name.strip()), "")


def cpu_instructions(raw: dict[str, Any]) -> tuple[str, ...]:
    """The sets that matter, from /proc/cpuinfo, sysctl or Windows."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", str(raw.get("cpuinfo", "")), re.MULTILINE)
    if found:
        flags = set(found[1].split())
        return tuple(name for flag, name in _LINUX.items() if flag in flags)
    sysctl = raw.get("sysctl") or {}
    if sysctl:
        return tuple(name for key, name in _APPLE.items() if whole(sysctl.get(key)) == 1)
    features = raw.get("processor_features") or {}
    return tuple(name for name, there in features.items() if there is True)


def cpu_problems(raw: dict[str, Any], instructions: tuple[str, ...]) -> list[str]:
    """An x86 CPU without AVX2 can't run what is installed: PyTorch and llama.cpp are built for it."""
    machine = str((raw.get("system") or {}).get("machine", "")).lower()
    if machine in ("x86_64", "amd64") and instructions and "avx2" not in instructions:
        return ["This CPU has no AVX2: training and chat will be very slow, or refuse to start."]
    return []
