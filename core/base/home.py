"""Where things lie: the app's own folder, the home folder with models, datasets and runs, torch's libraries.

Standard library only: set-up imports this before anything is installed.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError
from core.base.looks import look

APP_FOLDER = Path(__file__).resolve().parents[2]
GARAGE = APP_FOLDER / ".garage"
LLAMA_CPP_PYTHON = "0.3.36"
CONVERTER = GARAGE / "tools" / f"llama.cpp-{LLAMA_CPP_PYTHON}"
# what stands for the starter model where a model is named, and what its folder is called
STARTER = "starter"
STARTER_NAME = "SmolLM2-135M-Instruct"
STARTER_GGUF = GARAGE / "starter" / "SmolLM2-135M-Instruct.Q4_1.gguf"
STARTER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# a disk that sleeps has to spin up first
_HOME_S = 30.0
SAMPLE_DATA = APP_FOLDER / "assets" / "sample"


@dataclass(frozen=True)
class Home:
    """The user's folder. Everything the app writes for the user lies below `root`."""

    root: Path

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def presets(self) -> Path:
        """The person's own; made when the first is saved."""
        return self.root / "presets"


def home_folder(folder: str | Path | None = None) -> Path:
    """The home folder named by `folder`, else `LORA_GARAGE_HOME`, else `~/lora-garage`."""
    chosen = folder or os.environ.get("LORA_GARAGE_HOME") or Path.home() / "lora-garage"
    return Path(chosen).expanduser().resolve()


def open_home(folder: str | Path | None = None) -> Home:
    """The home folder, made if missing."""
    home = Home(home_folder(folder))

    def make() -> None:
        for part in (home.models, home.datasets, home.runs):
            part.mkdir(parents=True, exist_ok=True)

    try:
        look(home.root, make, _HOME_S)
    except OSError as error:
        raise UserError(
            f"The home folder {home.root} can't be written ({error.strerror}). Choose another with --home."
        ) from error
    return home


def typed_path(text: str) -> Path:
    """A path as a person types it, which may begin with `~`."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"“{text}” begins with a user who has no home here. Type the whole path.") from error


def data_path(name: str) -> Path:
    """A path as it was typed; `sample` is the app's own data."""
    return SAMPLE_DATA / "train.jsonl" if name == "sample" else typed_path(name)


def library_env(packages: Path | None = None) -> dict[str, str]:
    """What the environment of a process that imports llama_cpp needs: the CUDA libraries that torch brought.

    A prebuilt CUDA wheel leaves them out. `packages` is the site-packages folder (default: this process's
    own). Empty where there are none.
    """
    packages = packages or Path(sysconfig.get_path("purelib"))
    folders = sorted({file.parent for file in packages.glob("nvidia/**/lib*/lib*.so*")})
    if sys.platform != "linux" or not folders:
        return {}
    before = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": os.pathsep.join([*map(str, folders), *([before] if before else [])])}
