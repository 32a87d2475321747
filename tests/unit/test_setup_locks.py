"""requirements.txt, its inputs and the locks say the same."""

from __future__ import annotations

import re

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from core.base.home import LLAMA_CPP_PYTHON, STARTER_SHA256
from core.setup.plan import TORCH, TORCHVISION
from core.setup.state import Places

LOCKS = ("locked", "test", "tools", "triton", "starter", "converter")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def requirements(text: str) -> list[Requirement]:
    lines = (re.sub(r"\s+#.*|\s*\\$|^#.*", "", line).strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("--hash")]


def pins(text: str, python: str, platform: str) -> dict[str, str]:
    """name -> version of what holds on that Python and `sys_platform`."""
    machine = "AMD64" if platform == "win32" else "arm64" if platform == "darwin" else "x86_64"
    environment = {
        **default_environment(),
        "python_version": python,
        "python_full_version": python + ".5",
        "sys_platform": platform,
        "platform_machine": machine,
    }
    held = [one for one in requirements(text) if one.marker is None or one.marker.evaluate(environment)]
    return {one.name.lower().replace("_", "-"): str(one.specifier).removeprefix("==") for one in held}


def lock(name: str) -> str:
    return Places().requirements(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "win32", "darwin"])
def test_the_lock_agrees_with_requirements_txt(python: str, platform: str):
    named = pins((Places().app / "requirements.txt").read_text(encoding="utf-8"), python, platform)
    locked = pins(lock("locked"), python, platform)
    own_step = {"torch": TORCH, "llama-cpp-python": LLAMA_CPP_PYTHON}
    assert named == {name: own_step.get(name) or locked.get(name) for name in named}


@pytest.mark.parametrize("name", LOCKS)
def test_everything_locked_has_a_version_and_hashes_and_no_address(name: str):
    text = lock(name)
    assert "://" not in text
    assert "--index" not in text
    for entry in re.split(r"\n(?=[A-Za-z0-9])", text.strip()):
        assert re.match(r"[A-Za-z0-9._-]+==\S+", entry)
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("name", ["torch", "torchvision", "xformers"])
def test_the_lock_leaves_out_what_depends_on_the_gpu(name: str):
    assert not re.search(rf"^{name}==", lock("locked"), re.MULTILINE)


def test_the_locks_do_not_contradict_each_other():
    for python in PYTHONS:
        app, test = pins(lock("locked"), python, "linux"), pins(lock("test"), python, "linux")
        assert {name: app[name] for name in app.keys() & test.keys()} == {
            name: test[name] for name in app.keys() & test.keys()
        }


def test_pinned_artefacts():
    assert f"llama-cpp-python=={LLAMA_CPP_PYTHON}" in lock("converter")
    assert lock("converter").count("--hash=sha256:") == 1
    assert len(STARTER_SHA256) == 64
    assert f"torchvision=={TORCHVISION}" in (Places().app / "requirements.txt").read_text(encoding="utf-8")
