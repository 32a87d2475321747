"""Checks as jobs, what is kept of them, and the command `check-data`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.base.errors import Stopped, UserError
from core.base.home import Home
from core.base.jobs import read_job, wait_job
from core.commands import dispatch
from core.data import check
from core.data.check import (
    KEPT,
    Question,
    check_folder,
    ensure_store,
    ensure_tokens,
    open_store,
    read_check,
    start_check,
    stop_check,
)
from tests.unit.datasets import big_rows, pairs, write_rows


def test_a_check_runs_as_a_job_and_is_kept(
    home: Home, tmp_path: Path, starter_tokenizer_folder: Path
) -> None:
    data = write_rows(tmp_path / "data.jsonl", pairs(30))
    held = write_rows(tmp_path / "held.jsonl", pairs(5, first=40))
    question = Question([data], heldout=[held], model=starter_tokenizer_folder)
    before = read_check(home, question)
    assert before.missing and before.store is None and not before.failure
    job = start_check(home, question)
    assert wait_job(job, 60).status == "done"
    after = read_check(home, question)
    assert not after.missing and after.store is not None and len(after.store) == 30
    assert after.heldout is not None and len(after.heldout) == 5
    assert after.tokens is not None and after.tokens.rows_measured == 30
    state = (job / "state.json").read_bytes()
    start_check(home, question)
    assert (job / "state.json").read_bytes() == state
    other = shutil.copytree(starter_tokenizer_folder, tmp_path / "other")
    assert read_check(home, Question([data], model=other)).missing


def test_changed_data_is_another_check(home: Home, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.jsonl", pairs(3))
    first = ensure_store(home, [data])
    assert ensure_store(home, [data]) is first
    assert open_store(home, [data], {"question": "user", "answer": "assistant"}) is None
    write_rows(data, pairs(4))
    assert open_store(home, [data], {}) is None
    assert len(ensure_store(home, [data])) == 4


def test_a_check_that_fails_says_so_once(home: Home, tmp_path: Path) -> None:
    question = Question([write_rows(tmp_path / "data.jsonl", pairs(3))], model=tmp_path)
    assert wait_job(start_check(home, question), 60).status == "failed"
    state = read_check(home, question)
    assert "tokenizer.json" in state.failure and state.store is not None
    assert read_check(home, Question(question.paths, model=tmp_path, exact=True)).failure == ""


@pytest.mark.slow
def test_a_killed_check_leaves_no_store_and_can_be_started_again(home: Home, tmp_path: Path) -> None:
    question = Question([write_rows(tmp_path / "data.jsonl", big_rows(6000))])
    job = start_check(home, question)
    while not list(job.glob(".store*")):
        assert read_check(home, question).missing
    psutil.Process(read_job(job).pid).kill()
    assert wait_job(job, 10).status == "died"
    state = read_check(home, question)
    assert state.store is None and state.failure
    stopped = start_check(home, question)
    stop_check(home, question)
    assert wait_job(stopped, 60).status == "stopped"
    assert not list(job.glob("*store*")) and not list(job.glob(".store*"))


def test_old_checks_are_deleted(home: Home, tmp_path: Path) -> None:
    for number in range(KEPT + 2):
        ensure_store(home, [write_rows(tmp_path / f"{number}.jsonl", pairs(2))])
    kept = [path for path in (home.datasets / ".checked").iterdir() if (path / "store").is_dir()]
    assert len(kept) == KEPT
    assert open_store(home, [tmp_path / f"{KEPT + 1}.jsonl"], {}) is not None
    assert open_store(home, [tmp_path / "0.jsonl"], {}) is None


def test_large_checks_are_deleted_sooner(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write_rows(tmp_path / f"{number}.jsonl", pairs(50)) for number in range(3)]
    ensure_store(home, files[:1])
    monkeypatch.setattr(check, "MOST_BYTES", 100)
    ensure_store(home, files[1:2])
    assert open_store(home, files[:1], {}) is None and open_store(home, files[1:2], {}) is not None


def test_data_that_changes_while_it_is_read_is_told(home: Home, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.jsonl", pairs(3))
    with pytest.raises(UserError, match="changed while"):
        ensure_store(home, [data], say=lambda progress: os.utime(data, (1, 1)))


def test_measuring_can_be_stopped(home: Home, tmp_path: Path, starter_tokenizer_folder: Path) -> None:
    question = Question([write_rows(tmp_path / "data.jsonl", pairs(600))], model=starter_tokenizer_folder)
    store = ensure_store(home, question.paths)
    with pytest.raises(Stopped):
        ensure_tokens(home, question, store, stop=lambda: True)
    assert not list(check_folder(home, question).glob("tokens*"))


def check_data(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, dict[str, Any]]:
    """(exit code, what was printed, the JSON of the last line)."""
    code = dispatch.run("check-data", [*words, "--json"])
    printed = capsys.readouterr().out
    return code, printed, json.loads(printed.strip().splitlines()[-1])


@pytest.fixture
def model(starter_tokenizer_folder: Path) -> list[str]:
    return ["--model", str(starter_tokenizer_folder)]


def test_the_command_accepts_and_rejects(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_rows(tmp_path / "data.jsonl", pairs(30))
    code, printed, found = check_data(capsys, str(data), *model)
    assert (code, found["verdict"], found["rows_usable"]) == (0, "accept", 30)
    assert "30 rows read, 30 can be trained on." in printed and "Verdict: accept" in printed
    assert found["tokens"].keys() == {"total", "trained", "p50", "p95", "p99", "max"}
    bad = write_rows(tmp_path / "bad.jsonl", [*pairs(30), "{broken"])
    code, printed, found = check_data(capsys, str(bad), *model)
    assert (code, found["verdict"]) == (2, "reject") and "Line 31 " in printed
    code, _, found = check_data(capsys, str(tmp_path / "gone.jsonl"), *model)
    assert (code, found["verdict"], found["sha256"]) == (2, "reject", "")


def test_the_command_maps_columns_fixes_and_measures(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"Frage": row["question"], "Antwort": row["answer"]} for row in pairs(30)]
    data = write_rows(tmp_path / "data.jsonl", [*rows, rows[0], "{broken"])
    out = tmp_path / "clean.jsonl"
    mapped = ["--map", "Frage=user", "--map", "Antwort=assistant", "--fix", str(out), "--max-length", "100"]
    code, printed, found = check_data(capsys, str(data), *model, *mapped)
    assert code == 2 and found["cleaned"]["verdict"] != "reject" and found["max_length"] == 100
    assert found["cleaned"]["left_out"] == {"unreadable row": 1, "duplicates": 1}
    assert len(out.read_text("utf-8").splitlines()) == 30
    code, printed, found = check_data(capsys, str(out), *model)
    assert (code, found["rows_usable"]) == (0, 30)


@pytest.mark.parametrize(
    "words", [["--map", "Frage=wizard"], ["--map", "Frage=user"], ["--model", "/nowhere"]]
)
def test_wrong_arguments_are_sentences(
    words: list[str],
    tmp_path: Path,
    model: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_rows(tmp_path / "data.jsonl", pairs(3))
    code, _, found = check_data(capsys, str(data), *model, *words)
    assert code == 2 and words[1].split("=")[0].split("/")[0] in found["error"]
    assert len(data.read_text("utf-8").splitlines()) == 3


def test_text_of_the_data_cannot_steer_the_terminal(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"question": "Why?", "answer": "\x1b[2J"}
    code, printed, found = check_data(capsys, str(write_rows(tmp_path / "a.jsonl", [*pairs(2), row])), *model)
    assert code == 0 and "\x1b" not in printed
