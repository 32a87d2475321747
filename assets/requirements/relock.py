"""Writes the hash-checked locks from requirements.txt and *.in. For maintainers; needs uv.

The locks hold for Python 3.10 to 3.13 on Linux, Windows and macOS and are installed with `--no-deps`, so
what must not come in (torchvision, another torch) is left out here by overrides.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
REQUIREMENTS = FOLDER.parent.parent / "requirements.txt"

# Set-up installs these in steps of their own.
OWN_STEP = ("torch", "llama-cpp-python")
NEVER = ("torch", "torchvision", "xformers", "triton", "triton-windows", "mlx", "mlx-lm", "mlx-vlm", "wheel")
# unsloth asks for a certifi that not every index serves; any recent one works.
OVERRIDES = ["certifi>=2025"] + [f'{name} ; sys_platform == "never"' for name in NEVER]


def main() -> int:
    """Rewrite every lock; versions already locked stay unless an input moved them."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = Path(folder) / "overrides.txt"
        overrides.write_text("\n".join(OVERRIDES) + "\n", encoding="utf-8")
        wanted = Path(folder) / "wanted.in"
        wanted.write_text(wanted_requirements(), encoding="utf-8")
        compile_lock([wanted, FOLDER / "torch-needs.in"], FOLDER / "locked.txt", overrides)
        compile_lock([FOLDER / "test.in"], FOLDER / "test.txt", overrides, FOLDER / "locked.txt")
        for name in ("tools", "triton", "starter", "converter"):
            compile_lock([FOLDER / f"{name}.in"], FOLDER / f"{name}.txt", no_deps=True)
    return 0


def wanted_requirements() -> str:
    """requirements.txt without what set-up installs in steps of its own."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.split("==")[0] not in OWN_STEP) + "\n"


def compile_lock(
    inputs: list[Path],
    output: Path,
    overrides: Path | None = None,
    constraints: Path | None = None,
    no_deps: bool = False,
) -> None:
    """Resolve `inputs` into `output` for all supported platforms at once."""
    command = ["uv", "pip", "compile", "--no-config", "--universal", "--python-version", "3.10"]
    command += ["--generate-hashes", "--no-annotate", "--no-header", "--quiet", "-o", str(output)]
    command += ["--override", str(overrides)] if overrides else []
    command += ["-c", str(constraints)] if constraints else []
    command += ["--no-deps"] if no_deps else []
    subprocess.run([*command, *map(str, inputs)], check=True)
    output.write_text(clean(output.read_text(encoding="utf-8")), encoding="utf-8")


def clean(lock: str) -> str:
    """`lock` without entries that hold on no platform and without index addresses."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock.strip())
    kept = [entry for entry in entries if "'never'" not in entry and not entry.startswith("--")]
    return "\n".join(kept) + "\n"


if __name__ == "__main__":
    sys.exit(main())
