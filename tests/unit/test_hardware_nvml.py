"""NVML is asked by a process of its own: a real one, of a library that answers, fails, crashes or hangs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.machine.asked import NvmlAsker

# The functions that are asked, in the form of nvml.h; an environment variable decides how it starts
SOURCE = r"""
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef struct { unsigned long long total, free, used; } memory_t;
int nvmlInit_v2(void) {
    const char *mode = getenv("FAKE_NVML");
    if (!strcmp(mode, "crashes")) abort();
    if (!strcmp(mode, "hangs")) sleep(600);
    return strcmp(mode, "differs") ? 0 : 18;
}
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned n) { strncpy(text, "570.86.16", n); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { *v = 12080; return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = (void *)(size_t)(i + 1); return i ? 15 : 0; }
int nvmlDeviceGetName(void *h, char *t, unsigned n) { strncpy(t, "NVIDIA GeForce RTX 3060", n); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, memory_t *m) {
    m->total = 12288ULL << 20; m->free = 11000ULL << 20; m->used = 1288ULL << 20; return 0;
}
int nvmlDeviceGetCudaComputeCapability(void *h, int *a, int *b) { *a = 8; *b = 6; return 0; }
int nvmlDeviceGetDisplayActive(void *h, int *v) { *v = 1; return 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *h, unsigned *v) { *v = 170000; return 0; }
static int split(void) { return !strcmp(getenv("FAKE_NVML"), "splits"); }
int nvmlDeviceGetMigMode(void *h, unsigned *a, unsigned *b) { *a = *b = 1; return split() ? 0 : 3; }
int nvmlDeviceGetMaxMigDeviceCount(void *h, unsigned *n) { *n = 7; return split() ? 0 : 3; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *h, unsigned i, void **p) { *p = h; return i == 2 ? 0 : 6; }
"""
Build = Callable[[str], NvmlAsker]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform == "win32":
        pytest.skip("needs a C compiler")
    source = tmp_path_factory.mktemp("nvml") / "nvml.c"
    source.write_text(SOURCE, "utf-8")
    built = source.with_suffix(".so")
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", str(built), str(source)], check=True)
    return built


@pytest.fixture
def asker(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """Makes an asker of a library that behaves like this."""
    made: list[NvmlAsker] = []

    def build(mode: str) -> NvmlAsker:
        monkeypatch.setenv("FAKE_NVML", mode)
        made.append(NvmlAsker((str(library),), patience=0.3 if mode == "hangs" else 20))
        return made[-1]

    yield build
    for each in made:
        each.close()


def test_what_the_library_says_comes_back_each_time(asker: Build) -> None:
    asked = asker("answers")
    first, second = asked.ask(), asked.ask()
    assert first == second
    assert (first["driver"], first["cuda"]) == ("570.86.16", 12080)
    assert first["devices"][1] == {"error": "GPU is lost"}
    card = first["devices"][0]
    assert card["name"] == "NVIDIA GeForce RTX 3060"
    assert card["memory"] == {"total": 12288 << 20, "free": 11000 << 20}
    assert (card["capability"], card["display_active"], card["power_limit_mw"]) == ([8, 6], 1, 170000)
    assert (card["mig"], card["slices"]) == ({"error": "not supported"}, [])


def test_the_parts_of_a_split_card_are_asked_for(asker: Build) -> None:
    card = asker("splits").ask()["devices"][0]
    assert (card["mig"], card["slices"]) == ([1, 1], [card["memory"]])


def test_a_crash_is_an_answer_and_is_not_repeated_at_once(asker: Build) -> None:
    asked = asker("crashes")
    said = asked.ask()
    assert said["error"].startswith("asking it crashed (exit code ")
    assert asked.ask() is said


def test_a_driver_that_hangs_holds_nobody_up_and_gets_no_second_process(asker: Build) -> None:
    asked = asker("hangs")
    begun = time.monotonic()
    assert "no answer for" in asked.ask()["error"]
    child = asked._child
    assert "no answer for" in asked.ask()["error"]
    assert asked._child is child
    assert time.monotonic() - begun < 30, "the library would have slept for ten minutes"


def test_a_mismatch_after_an_update_is_named(asker: Build) -> None:
    assert asker("differs").ask() == {"error": "driver and library have different versions"}


def test_no_library_at_all(tmp_path: Path) -> None:
    asked = NvmlAsker((str(tmp_path / "none.so"),), patience=20)
    assert asked.ask() == {"error": "library not found"}
    asked.close()


def test_a_child_that_was_killed_is_started_again(tmp_path: Path) -> None:
    asked = NvmlAsker((str(tmp_path / "none.so"),), patience=20)
    asked.ask()
    assert asked._child is not None
    asked._child.kill()
    asked._child.wait()
    assert asked.ask() == {"error": "library not found"}
    asked.close()


def test_a_child_that_can_not_start_is_said(tmp_path: Path) -> None:
    asked = NvmlAsker()
    asked.command = [str(tmp_path / "no-python")]
    assert asked.ask()["error"].startswith("asking it failed")
