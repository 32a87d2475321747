"""Finds the Chromium-like browser that the tests drive, and gets one where none is."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "chrome")
_PLACES = (
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


def find_browser() -> Path | None:
    """The browser's executable: `LORA_GARAGE_BROWSER`, else one on the PATH or in its usual place."""
    named = os.environ.get("LORA_GARAGE_BROWSER")
    if named:
        return Path(named) if Path(named).is_file() else None
    for name in _NAMES:
        # Ubuntu's chromium is a snap, which can't be driven from other folders
        found = shutil.which(name)
        if found and "/snap/" not in str(Path(found).resolve()):
            return Path(found)
    usual = next((Path(place) for place in _PLACES if Path(place).is_file()), None)
    return usual or _downloaded()


def _downloaded() -> Path | None:
    folder, pattern = _PLAYWRIGHT.get(sys.platform, _PLAYWRIGHT["linux"])
    return next(iter(sorted(Path(folder).expanduser().glob(pattern), reverse=True)), None)


def apt_can_install() -> bool:
    """Whether this is Debian itself (Ubuntu's package is only a pointer to a snap), as root."""
    release = Path("/etc/os-release")
    debian = release.is_file() and "\nID=debian" in "\n" + release.read_text(encoding="utf-8")
    return debian and shutil.which("apt-get") is not None and hasattr(os, "geteuid") and os.geteuid() == 0
