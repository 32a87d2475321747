"""Linux inside Windows (WSL): why no GPU is seen there, in sentences."""

from __future__ import annotations

from typing import Any

from core.machine.readings import error_of, is_wsl

# WSL 1 has no kernel of its own: its release ends so, that of WSL 2 in -microsoft-standard-WSL2
_FIRST_WSL = "-microsoft"


def wsl_problems(raw: dict[str, Any]) -> list[str]:
    """What keeps a GPU from being seen inside WSL; nothing where a card answers, or outside WSL."""
    if not is_wsl(raw) or (raw.get("nvml") or {}).get("devices"):
        return []
    release = str(raw["system"].get("release", "")).lower()
    if release.endswith(_FIRST_WSL):
        return ["This is WSL 1, which has no GPU. In Windows, run `wsl --set-version DISTRIBUTION 2`."]
    if not raw.get("dxg"):
        return ["Windows offers no GPU to WSL (/dev/dxg is missing). In Windows, run `wsl --update`."]
    if error_of(raw.get("nvml")) in ("", "library not found", "driver not loaded"):
        return [
            "Windows offers a GPU to WSL, but no NVIDIA driver answers. For an NVIDIA card, install NVIDIA's "
            "driver in Windows (none inside WSL), then run `wsl --shutdown`. Other cards can't train here."
        ]
    return []
