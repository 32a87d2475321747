"""Turns what a failed tool printed into what to do about it."""

from __future__ import annotations

import re
import sys

from core.base.process import ChildFailed

# (what the tool printed, what it means and what to do), the first match counts
_MEANINGS: tuple[tuple[str, str], ...] = (
    (
        r"No space left on device|not enough space on the disk|Disk quota exceeded|Errno 28\b",
        "The disk is full. Make room (also in the temporary folder), then start again.",
    ),
    (
        r"DO NOT MATCH THE HASHES|is not the file that was expected",
        "A downloaded file is not the one that was pinned, so it is not used. Try another network; "
        "if it stays, report it.",
    ),
    (
        r"ensurepip is not available|No module named '?(?:venv|ensurepip)",
        "Python's venv module is missing. {venv}",
    ),
    (
        r"CMAKE_CXX_COMPILER|CMAKE_C_COMPILER|no such file or directory: 'g?cc'|Microsoft Visual C\+\+"
        r"|command 'cc' failed|nmake.*not found",
        "No C++ compiler was found to build llama.cpp. {compiler}",
    ),
    (
        r"NameResolutionError|Temporary failure in name resolution|Name or service not known"
        r"|getaddrinfo failed|nodename nor servname|NewConnectionError|Max retries exceeded"
        r"|Network is unreachable|ReadTimeout|ConnectionReset|Connection aborted"
        r"|ProxyError|IncompleteRead|ConnectTimeout",
        "The network failed. Check the connection and the proxy settings, then start again: it goes on here.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "The server's certificate was refused. Behind a company proxy, set PIP_CERT to its certificate file.",
    ),
    (
        r"No matching distribution found|Could not find a version",
        "The package index has no build for this Python and system. Try Python 3.11 or 3.12.",
    ),
    (
        r"Permission denied|Access is denied|Errno 13\b|WinError 5\b",
        "A file can't be written. Close other programs that use this folder, and check who owns it.",
    ),
    (
        r"Killed|MemoryError|std::bad_alloc|exit code -9",
        "The system ended the step, most likely for lack of memory. Close other programs, then start again.",
    ),
)
_INSTALL_COMPILER = {
    "win32": "Install “Visual Studio Build Tools” with “Desktop development with C++”, "
    "e.g. `winget install Microsoft.VisualStudio.2022.BuildTools`.",
    "darwin": "Install Apple's with `xcode-select --install`.",
    "linux": "Install one, e.g. `sudo apt install build-essential` or `sudo dnf install gcc-c++`.",
}
_INSTALL_VENV = "Install Python from python.org, which has it."
if sys.platform == "linux":
    _INSTALL_VENV = f"On Debian or Ubuntu: `sudo apt install python3.{sys.version_info.minor}-venv`."


def what_to_do(error: Exception) -> str:
    """Advice for what ended a step; the last lines of a failed tool say more than its exit code."""
    text = "\n".join([*(error.output if isinstance(error, ChildFailed) else []), str(error)])
    for pattern, advice in _MEANINGS:
        if re.search(pattern, text):
            compiler = _INSTALL_COMPILER.get(sys.platform, _INSTALL_COMPILER["linux"])
            return advice.format(compiler=compiler, venv=_INSTALL_VENV)
    return "Start again: finished steps are kept. If it fails the same way, the log says more."
