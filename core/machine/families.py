"""Families of GPUs: what a compute capability, a gfx name or an Apple chip belongs to, and what it can do."""

from __future__ import annotations

import re

# CUDA C++ Programming Guide, "Compute Capabilities"; 8.9 is Ada though its major number is Ampere's
_NVIDIA = {
    (12, 0): "Blackwell",
    (10, 0): "Blackwell",
    (9, 0): "Hopper",
    (8, 9): "Ada",
    (8, 0): "Ampere",
    (7, 5): "Turing",
    (7, 0): "Volta",
    (6, 0): "Pascal",
    (5, 0): "Maxwell",
    (3, 0): "Kepler",
}

# LLVM, "User Guide for AMDGPU Backend", table of processors. The longest prefix that matches counts.
_AMD = {
    "gfx7": "GCN2",
    "gfx8": "GCN4",
    "gfx900": "Vega",
    "gfx902": "Vega",
    "gfx904": "Vega",
    "gfx906": "Vega",
    "gfx909": "Vega",
    "gfx90c": "Vega",
    "gfx908": "CDNA1",
    "gfx90a": "CDNA2",
    "gfx94": "CDNA3",
    "gfx95": "CDNA4",
    "gfx101": "RDNA1",
    "gfx103": "RDNA2",
    "gfx110": "RDNA3",
    "gfx115": "RDNA3.5",
    "gfx120": "RDNA4",
}
_INTEL_BF16 = ("Alchemist", "Battlemage")


def nvidia_family(capability: tuple[int, int]) -> str:
    """`Ada` of (8, 9); empty for what is older than Kepler."""
    return next((name for oldest, name in _NVIDIA.items() if capability >= oldest), "")


def amd_family(gfx: str) -> str:
    """`RDNA3` of gfx1100; empty for a name that is not in the table."""
    fitting = [prefix for prefix in _AMD if gfx.startswith(prefix)]
    return _AMD[max(fitting, key=len)] if fitting else ""


def gfx_name(version: int) -> str:
    """`gfx90a` of KFD's gfx_target_version 90010: major, minor and stepping, the last two in hex."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}" if version > 0 else ""


def apple_family(chip: str) -> str:
    """`M3` of `Apple M3 Max`."""
    found = re.search(r"\bM\d+\b", chip)
    return found[0] if found else ""


def computes_bf16(vendor: str, arch: str, capability: tuple[int, int] | None) -> bool:
    """Whether the hardware multiplies bfloat16: compute capability 8.0 and newer, AMD's matrix units
    (CDNA, RDNA3 and newer; RDNA2 only converts), Intel's XMX, Apple's GPUs from the M2 on (Metal feature set
    tables, "bfloat": Apple8)."""
    if vendor == "nvidia":
        return capability is not None and capability >= (8, 0)
    if vendor == "amd":
        return arch.startswith("CDNA") or (arch.startswith("RDNA") and arch >= "RDNA3")
    if vendor == "intel":
        return arch in _INTEL_BF16
    return arch[1:].isdigit() and int(arch[1:]) >= 2
