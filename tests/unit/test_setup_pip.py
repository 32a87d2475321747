"""Real pip on a tiny wheel: a wrong hash is refused, a half-installed package is found and healed."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from core.base.files import sha256_file
from core.base.process import ChildFailed
from core.setup.advice import what_to_do
from core.setup.packages import drop_damaged
from core.setup.work import Work
from tests.unit.set_up import work_in

INFO = "tinything-1.0.dist-info"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel of the package `tinything` 1.0 with two modules."""
    path = tmp_path / "wheels" / "tinything-1.0-py3-none-any.whl"
    path.parent.mkdir()
    files = {"tinything/__init__.py": "from tinything.more import X\n", "tinything/more.py": "X = 1\n"}
    files[f"{INFO}/METADATA"] = "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n"
    files[f"{INFO}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{name},,{len(text)}\n" for name, text in files.items()) + f"{INFO}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as zipped:
        for name, text in {**files, f"{INFO}/RECORD": record}.items():
            zipped.writestr(name, text)
    return path


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return work_in(tmp_path)


def install(work: Work, wheel: Path, sha256: str, target: Path) -> list[str]:
    lock = wheel.parent / "lock.txt"
    lock.write_text(f"tinything==1.0 --hash=sha256:{sha256}\n")
    places = ("--no-index", "--find-links", str(wheel.parent), "--target", str(target), "--upgrade")
    return work.module(
        Path(sys.executable), "pip", "install", "--no-deps", "--require-hashes", *places, "-r", str(lock)
    )


def test_a_wrong_hash_is_refused(work: Work, wheel: Path, tmp_path: Path):
    with pytest.raises(ChildFailed) as failed:
        install(work, wheel, "0" * 64, tmp_path / "site")
    assert "not the one that was pinned" in what_to_do(failed.value)
    assert not (tmp_path / "site" / "tinything").exists()


def test_a_half_installed_package_is_forgotten_and_healed(work: Work, wheel: Path, tmp_path: Path):
    whole = tmp_path / "whole"
    install(work, wheel, sha256_file(wheel), whole)
    assert drop_damaged(whole) == []
    for lost in ("tinything/more.py", f"{INFO}/RECORD", f"{INFO}/INSTALLER"):
        site = tmp_path / lost.replace("/", "-")
        shutil.copytree(whole, site)
        (site / lost).unlink()
        (site / "~inything").mkdir()
        assert drop_damaged(site) == ["tinything-1.0"], lost
        assert not list(site.glob("~*")) and not list(site.glob("*.dist-info"))
    (whole / "tinything" / "more.py").write_text("X")  # cut short
    assert drop_damaged(whole) == ["tinything-1.0"]
    install(work, wheel, sha256_file(wheel), whole)
    assert drop_damaged(whole) == []
    assert (whole / "tinything" / "more.py").read_text() == "X = 1\n"


@pytest.mark.parametrize(
    ("printed", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ensurepip is not available", "venv"),
        ("CMake Error: CMAKE_CXX_COMPILER not set, after EnableLanguage", "C++ compiler"),
        ("NewConnectionError: Temporary failure in name resolution", "network failed"),
        ("Retrying after NameResolutionError\nERROR: No matching distribution found", "network failed"),
        ("SSLError(SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED", "PIP_CERT"),
        ("ERROR: No matching distribution found for torch==2.13.0+cu126", "Python 3.11 or 3.12"),
        ("PermissionError: [WinError 5] Access is denied", "can't be written"),
        ("c++: fatal error: Killed signal terminated program cc1plus", "lack of memory"),
        ("something nobody has seen", "Start again"),
    ],
)
def test_advice(printed: str, advice: str):
    assert advice in what_to_do(ChildFailed(1, ["Collecting x", printed]))


def test_the_line_that_matters():
    output = [
        "Collecting x",
        "ERROR: the reason",
        "",
        "[notice] A new release of pip",
        "note: no error of pip",
    ]
    assert ChildFailed(1, output).line == "ERROR: the reason"
