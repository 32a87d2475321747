"""NVML is asked by a process of its own: a real one, of a library that answers, fails, crashes or hangs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.machine.ask import NvmlQuestion

# The functions that are asked, in the form of nvml.h; an environment variable decides how it starts
SOURCE = r"""
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef struct { unsigned long long total, free, used; } memory_t;
int nvmlInit_v2(void) {
    const char *mode = getenv("FAKE_NVML");
    if (!strcmp(mode, "crashes")) abort();
    if (!strcmp(mode, "hangs")) sleep(6);
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
Ask = Callable[..., dict[str, Any]]


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
def ask(library: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Ask:
    """Asks a library that behaves as the parameter says."""
    monkeypatch.setenv("FAKE_NVML", request.param)
    return NvmlQuestion(str(library)).ask


def behaves(mode: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("ask", [mode], indirect=True)


@behaves("answers")
def test_what_the_library_says_comes_back_each_time(ask: Ask) -> None:
    first, second = ask(20), ask(20)
    assert first == second
    assert (first["driver"], first["cuda"]) == ("570.86.16", 12080)
    assert first["devices"][1] == {"error": "GPU is lost"}
    assert first["devices"][0] == {
        "name": "NVIDIA GeForce RTX 3060",
        "memory": {"total": 12288 << 20, "free": 11000 << 20},
        "capability": [8, 6],
        "display_active": 1,
        "power_limit_mw": 170000,
        "mig": {"error": "not supported"},
        "slices": [],
    }


@behaves("splits")
def test_the_parts_of_a_split_card_are_asked_for(ask: Ask) -> None:
    card = ask(20)["devices"][0]
    assert (card["mig"], card["slices"]) == ([1, 1], [card["memory"]])


@behaves("crashes")
def test_a_crash_is_an_answer_and_is_not_repeated_at_once(ask: Ask) -> None:
    answer = ask(20)
    assert answer["error"].startswith("asking it crashed (exit code ")
    assert ask(20) is answer


@behaves("hangs")
def test_a_driver_that_hangs_holds_nobody_up_and_its_question_stays_open(ask: Ask) -> None:
    begun = time.monotonic()
    assert "no answer for" in ask(0.3)["error"]
    assert "no answer for" in ask(20)["error"], "an open question is only glanced at"
    assert time.monotonic() - begun < 5, "the library sleeps for six seconds"
    while "no answer for" in (late := ask(20)).get("error", ""):
        assert time.monotonic() - begun < 30
    assert late["driver"] == "570.86.16"


@behaves("differs")
def test_a_mismatch_after_an_update_is_named(ask: Ask) -> None:
    assert ask(20) == {"error": "driver and library have different versions"}


def test_no_library_at_all_and_a_child_that_can_not_start(tmp_path: Path) -> None:
    question = NvmlQuestion(str(tmp_path / "none.so"))
    assert question.ask(20) == {"error": "library not found"}
    question.command = [str(tmp_path / "no-python")]
    assert question.ask(20)["error"].startswith("asking it failed")
