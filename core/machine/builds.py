"""The installed build of PyTorch, read without importing it, and what each build needs of a driver."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Compute capabilities that the builds of torch 2.13 hold code for (their `torch.cuda.get_arch_list()`)
OLD_GPUS = ((5, 0), (9, 0))  # cu126
NEW_GPUS = ((7, 5), (12, 9))  # cu129, cu130
# GPUs that AMD's build runs on; RDNA2 (gfx103x) is not among them
AMD_RUNS = ("gfx908", "gfx90a", "gfx942", "gfx950", "gfx110", "gfx115", "gfx120")
# CUDA Compatibility, "Minor Version Compatibility", table 1: a build of CUDA 12.x runs on every driver of
# CUDA 12, one of 13.x on every driver of CUDA 13
_OLDEST_DRIVER = {12: "525", 13: "580"}


@dataclass(frozen=True)
class TorchBuild:
    """`kind` is cpu, cuda, rocm, xpu, or empty where the files don't say; `level` the CUDA version."""

    version: str
    kind: str
    level: tuple[int, int] = (0, 0)

    @property
    def driver(self) -> str:
        """The oldest NVIDIA driver that runs it."""
        return _OLDEST_DRIVER.get(self.level[0], _OLDEST_DRIVER[max(_OLDEST_DRIVER)])

    @property
    def capabilities(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The oldest and the newest compute capability that it holds code for."""
        return NEW_GPUS if self.level >= (12, 7) else OLD_GPUS


def read_torch(folder: Path | None = None) -> dict[str, Any] | None:
    """The raw answer, version and text of torch/version.py; None without torch. `folder` is site-packages."""
    # by the name of its folder: importlib.metadata takes longer to load than all else that is asked here
    folders = [folder] if folder else [Path(place) for place in sys.path if place]
    found = next((info for place in folders for info in place.glob("torch-*.dist-info")), None)
    if found is None:
        return None
    try:
        text = (found.parent / "torch" / "version.py").read_text("utf-8")
    except OSError:
        text = ""  # the version alone says the build too, in its local part
    return {"version": found.name.removeprefix("torch-").removesuffix(".dist-info"), "version_py": text}


def parse_torch(raw: dict[str, Any] | None) -> str:
    """`2.13.0+cu130` of the raw answer: the general builds don't name their CUDA in the version."""
    if not raw:
        return ""
    version, text = str(raw.get("version", "")), str(raw.get("version_py", ""))
    if "+" in version or not version:
        return version
    for name, prefix in (("cuda", "cu"), ("hip", "rocm"), ("xpu", "xpu")):
        found = re.search(rf"^{name}\b.*?=\s*'([^']*)'", text, re.MULTILINE)
        if found:
            level = found[1].replace(".", "") if name == "cuda" else ""
            return f"{version}+{prefix}{level}"
    return version


def torch_build(version: str) -> TorchBuild | None:
    """What a version says: `2.13.0+cu126` is a CUDA 12.6 build. None for an empty one."""
    if not version:
        return None
    local = version.partition("+")[2]
    cuda = re.fullmatch(r"cu(\d+)(\d)", local)
    if cuda:
        return TorchBuild(version, "cuda", (int(cuda[1]), int(cuda[2])))
    kind = next((kind for kind in ("cpu", "rocm", "xpu") if local.startswith(kind)), "")
    return TorchBuild(version, kind)
