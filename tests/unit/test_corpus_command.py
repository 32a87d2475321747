"""`check-data` on the corpus, as the command line has it: exit codes, JSON, several files, odd arguments."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from core.commands import dispatch
from tests.corpus.case import ROWS, jsonl
from tests.corpus.make import CASES, write
from tests.unit.chat_models import FAMILIES, write_model

JUDGED = {
    "encodings/utf16-le.jsonl": 0,
    "tables/kept-as-text.csv": 0,
    "packed/two-members.jsonl.gz": 0,
    "turns/ends-on-user.jsonl": 0,
    "texts/forged-system.jsonl": 0,
    "json_broken/bad-middle-row.jsonl": 2,
    "foreign/workbook-named.csv": 2,
    "packed/climbing.zip": 2,
    "shapes/tool-calls.jsonl": 2,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy tokenizer: a real one takes a second to load, and here only its presence matters."""
    return write_model(tmp_path_factory.mktemp("toy"), FAMILIES["smollm2"])


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], model: Path) -> Any:
    """(exit code, the JSON of the last line) of `check-data` with these arguments."""

    def run(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        words = [*map(str, arguments), "--model", str(model), "--json"]
        code = dispatch.run("check-data", words)
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.mark.parametrize("name", JUDGED)
def test_exit_code_and_verdict(name: str, check: Any, tmp_path: Path) -> None:
    code, told = check(write(name, tmp_path))
    assert code == JUDGED[name]
    assert told["verdict"] == CASES[name].verdict
    keys = {"verdict", "format", "encoding", "rows_read", "rows_usable", "rows_dropped", "problems", "tokens"}
    assert keys | {"suggested_max_length", "sha256"} <= told.keys()
    assert all({"kind", "severity", "count", "rows", "message", "fix"} <= p.keys() for p in told["problems"])
    if code == 0:
        assert {"total", "trained", "p50", "p95", "p99", "max"} <= told["tokens"].keys()


def test_rows_of_several_files_are_named_with_their_file(check: Any, tmp_path: Path) -> None:
    good, bad = write("encodings/plain.jsonl", tmp_path), write("tables/ragged-short.csv", tmp_path)
    code, told = check(good, bad)
    assert code == 2 and told["rows_read"] == 6
    rows = next(entry["rows"] for entry in told["problems"] if entry["kind"] == "unreadable row")
    assert rows == ["ragged-short.csv, line 3"]


def test_a_folder_is_all_of_its_data(check: Any, tmp_path: Path) -> None:
    write("encodings/plain.jsonl", tmp_path)
    write("turns/ends-on-user.jsonl", tmp_path)
    code, told = check(tmp_path)
    assert code == 0 and told["rows_read"] == 6


@pytest.mark.parametrize(
    "arguments",
    [
        ("--max-length", "-5"),
        ("--max-length", "99999999999"),
        ("--map", "nonsense"),
        ("--map", "instruction=king"),
        ("--map", "no such column=user"),
        ("--heldout", "no-such-file.jsonl"),
        ("--fix", "no/such/folder/out.jsonl"),
    ],
    ids=" ".join,
)
def test_odd_arguments_are_a_sentence(arguments: tuple[str, str], check: Any, tmp_path: Path) -> None:
    code, told = check(write("encodings/plain.jsonl", tmp_path), *arguments)
    assert code == 2
    assert told.get("error") or told["verdict"] == "reject"


def test_the_cleaned_copy_never_replaces_the_data(check: Any, tmp_path: Path) -> None:
    path = write("encodings/plain.jsonl", tmp_path)
    before = path.read_bytes()
    code, _ = check(path, "--fix", path)
    assert code == 2 and path.read_bytes() == before


def test_what_is_no_file_is_a_sentence(check: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    paths = [tmp_path / "none.jsonl", tmp_path / "empty"]
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe.jsonl")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        paths += [tmp_path / "pipe.jsonl", tmp_path / "loop"]
    for path in paths:
        code, told = check(path)
        assert code == 2 and told["verdict"] == "reject", path
        assert told["problems"][0]["kind"] == "unreadable file"


@pytest.mark.skipif(os.name != "posix", reason="such names don't exist there")
@pytest.mark.parametrize("name", [b"two\nlines.jsonl", b"\xff\xfe.jsonl", "\u202eevil.jsonl".encode()])
def test_odd_file_names(name: bytes, check: Any, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    try:
        Path(os.fsdecode(path)).write_bytes(jsonl(ROWS))
    except OSError:
        pytest.skip("this file system has no such names")
    code, told = check(Path(os.fsdecode(path)))
    assert code == 0 and told["rows_usable"] == 3
