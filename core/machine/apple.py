"""Apple silicon: what sysctl says, and the GPU that is read from it."""

from __future__ import annotations

from typing import Any

from core.machine.families import apple_family
from core.machine.kinds import Gpu
from core.machine.readings import whole

_NAMES = (
    *("machdep.cpu.brand_string", "hw.model", "hw.memsize", "hw.optional.neon"),
    *("hw.optional.arm.FEAT_DotProd", "hw.optional.arm.FEAT_I8MM"),
    *("hw.optional.arm.FEAT_BF16", "hw.optional.arm.FEAT_SME"),
)
_PATIENCE_S = 5


def ask_sysctl() -> dict[str, str]:
    """`name: value` of each name that this macOS knows."""
    import subprocess

    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", *_NAMES],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": f"sysctl did not answer ({type(error).__name__})"}
    return parse_sysctl(done.stdout.decode("utf-8", "replace"))


def parse_sysctl(text: str) -> dict[str, str]:
    """The lines of sysctl's output that have the form `name: value`."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def apple_gpus(raw: dict[str, Any], ram_free: int) -> tuple[list[Gpu], list[str]]:
    """The GPU of Apple's chip, which shares the whole RAM, and problems."""
    answers = raw.get("sysctl") or {}
    if answers.get("error"):
        return [], [f"The Mac could not be asked for its chip: {answers['error']}."]
    chip = str(answers.get("machdep.cpu.brand_string", ""))
    if not chip.startswith("Apple"):
        return [], []
    total = whole(answers.get("hw.memsize"))
    driver = f"Darwin {(raw.get('system') or {}).get('release', '')}".strip()
    gpu = Gpu(
        name=chip,
        total=total,
        free=min(ram_free, total),
        capability=None,
        driver=driver,
        vendor="apple",
        arch=apple_family(chip),
        laptop="Book" in str(answers.get("hw.model", "")),
        display=True,
        unified=True,
    )
    return [gpu], []
