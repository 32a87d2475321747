"""Step 3, what was found in this machine: the reason for the preset, cards that can't train, numbers."""

from __future__ import annotations

from core.machine import Gpu, Hardware, refusal
from ui.bench import Bench
from ui.fit_words import memory, short_name
from ui.html import Mark, button, checks, count, esc, fold, notice, size


def machine_html(bench: Bench) -> str:
    """Cards that can't train and problems stand out; then the reason for the preset; the numbers unfold."""
    hardware = bench.hardware
    reason: list[tuple[Mark, str]] = [] if _nothing_trains(hardware) else [("ok", bench.preset()[1])]
    found = checks([*(("warn", text) for text in hardware.problems), *reason, *_idle_cards(hardware)])
    return refusals_html(hardware) + found + _numbers_html(hardware)


def _nothing_trains(hardware: Hardware) -> bool:
    """Whether there are cards, and none of them can train: that is said already."""
    return bool(hardware.gpus) and hardware.training_gpu is None


def _idle_cards(hardware: Hardware) -> list[tuple[Mark, str]]:
    """Which card trains where several could: a run uses one."""
    able = [gpu for gpu in hardware.gpus if refusal(gpu, hardware) is None]
    if hardware.training_gpu is None or len(able) < 2:
        return []
    name = short_name(hardware.training_gpu.name)
    return [("info", f"A run uses one card: of the {len(able)} here, the {name}, which has the most memory.")]


def refusals_html(hardware: Hardware) -> str:
    """For each card that can't train, why, what to do, and what trains instead."""
    refused = [(gpu, reason) for gpu in hardware.gpus if (reason := refusal(gpu, hardware))]
    told = refused[:-1] + [(gpu, f"{reason} {instead_words(hardware)}") for gpu, reason in refused[-1:]]
    return "".join(notice("bad", f"The {short_name(gpu.name)} can’t train", text) for gpu, text in told)


def instead_words(hardware: Hardware) -> str:
    """What trains when a card can't."""
    gpu = hardware.training_gpu
    if gpu is not None:
        return f"The {short_name(gpu.name)} trains instead."
    return "The processor trains instead, with the CPU preset: slowly, and small models only."


def _numbers_html(hardware: Hardware) -> str:
    rows = [row for gpu in hardware.gpus for row in _gpu_rows(gpu)]
    instructions = ", ".join(hardware.instructions)
    cores = count(hardware.cores, "core")
    rows.append(("Processor", " · ".join(filter(None, (hardware.cpu, cores, instructions)))))
    rows.append(("Memory", f"{memory(hardware.ram)} · {memory(hardware.ram_free)} free"))
    rows.append(("Disk", f"{size(hardware.disk_free)} free in the home folder"))
    rows.append(("System", hardware.system + (" (WSL)" if hardware.wsl else "")))
    if hardware.torch:
        rows.append(("PyTorch", hardware.torch))
    body = "".join(f"<div><dt>{esc(name)}</dt><dd>{esc(value)}</dd></div>" for name, value in rows)
    again = button("look-again", "look-again", "Look again", "quiet")
    return fold("this-machine", "This machine", f'<dl class="lg-roles">{body}</dl>{again}')


def _gpu_rows(gpu: Gpu) -> list[tuple[str, str]]:
    level = f"compute capability {gpu.capability[0]}.{gpu.capability[1]}" if gpu.capability else ""
    driver = f"driver {gpu.driver}" if gpu.driver else ""
    cuda = f"CUDA up to {gpu.cuda}" if gpu.cuda else ""
    words = [
        gpu.name,
        f"{memory(gpu.total)}{' shared with the processor' if gpu.unified else ''}, {memory(gpu.free)} free",
        gpu.arch,
        "in a laptop" if gpu.laptop else "",
        level,
        "computes in bfloat16" if gpu.bf16 else "no bfloat16",
        driver,
        cuda,
        "drives a screen" if gpu.display else "",
    ]
    return [("Graphics card", " · ".join(filter(None, words)))]
