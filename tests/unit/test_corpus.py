"""Every file of the corpus gets its golden verdict, runs nothing, and writes nothing but its store."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from core.base.home import APP_FOLDER
from tests.corpus.foreign import CANARY
from tests.corpus.judge import differences, first_texts, judge_case
from tests.corpus.make import CASES, write

MB = 1 << 20
BOMBS = [name for name in CASES if name.startswith("packed/bomb")]
# files of several megabytes; everything about them is as for the others, it only takes longer
LARGE = [
    name for name in CASES if any(word in name for word in ("-MB", "30000", "header-of", "often.jsonl.gz"))
]
SMALL = [name for name in CASES if name not in BOMBS and name not in LARGE]


def check(name: str, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge a case in a folder of its own and look at everything that came of it."""
    case, inside = CASES[name], folder / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    began = time.monotonic()
    told = judge_case(name, folder / "data", folder / "stores", model)
    seconds = time.monotonic() - began
    assert not differences(case, told), json.dumps(told["problems"], indent=1, ensure_ascii=False)
    assert not list(inside.iterdir()), "something in the file was executed"
    written = {path.relative_to(folder).parts[0] for path in folder.rglob("*")} - {"home"}
    assert written == {"data", "stores", "inside"}
    assert len([path for path in (folder / "data").rglob("*") if path.is_file()]) == 1 + bool(case.heldout)
    assert seconds < 30
    if case.texts is not None:
        assert first_texts(folder / "stores") == case.texts


@pytest.mark.parametrize("name", SMALL)
def test_golden_verdict(
    name: str, tmp_path: Path, starter_tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(name, tmp_path, starter_tokenizer_folder, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_golden_verdict_of_large_files(
    name: str, tmp_path: Path, starter_tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(name, tmp_path, starter_tokenizer_folder, monkeypatch)


@pytest.mark.slow
def test_bombs_are_refused_in_little_time_and_memory() -> None:
    """2 GiB each once unpacked; judged in a process of their own, whose peak is theirs."""
    command = [sys.executable, "-m", "tests.corpus.judge", *BOMBS]
    done = subprocess.run(command, cwd=APP_FOLDER, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [entry["name"] for entry in told] == BOMBS
    for entry in told:
        assert not entry["wrong"], entry
        assert entry["seconds"] < 60, entry
        assert entry["peak"] < 700 * MB, entry


def test_the_canary_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proof that the pickles of the corpus leave a trace where somebody does load them."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(CASES["foreign/pickle-named.jsonl"].bytes()).close()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [CANARY]


def test_the_corpus_is_made_the_same_every_time(tmp_path: Path) -> None:
    for name in SMALL:
        first = CASES[name].bytes()
        assert CASES[name].bytes() == first, name
    assert write("tables/plain.csv", tmp_path) == tmp_path / "tables" / "plain.csv"


def test_every_verdict_stands_for_many_files() -> None:
    counts = Counter(case.verdict for case in CASES.values())
    assert counts["accept"] >= 150 and counts["warn"] >= 70 and counts["reject"] >= 200
