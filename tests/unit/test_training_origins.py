"""What a run notes of its data, model and libraries, and what a resume does when they changed. No torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.home import Home
from core.base.jobs import Worker
from core.data import ChatTokenizer
from core.runs.progress import read_progress
from core.train.record import note_origins
from core.train.rows import tokenize_snapshot
from tests.tiny_model import make_tiny_model
from tests.training_runs import chats, ready_run
from tests.unit.chat_models import FAMILIES, write_model


def test_versions_and_hashes_are_noted_in_the_recipe(home: Home, tiny_model: Path) -> None:
    run = ready_run(home, tiny_model)
    note_origins(Worker(run.folder), run, run.recipe, tiny_model, resume=False)
    noted = run.recipe
    assert {"python", "torch", "transformers", "peft"} <= set(noted.versions)
    assert {"data/train.jsonl", "data/heldout.jsonl", "model/model.safetensors"} <= set(noted.hashes)


def test_another_model_is_not_resumed(home: Home, tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    run = ready_run(home, model)
    note_origins(Worker(run.folder), run, run.recipe, model, resume=False)
    make_tiny_model(model, seed=1)
    with pytest.raises(UserError, match=r"model/model.safetensors changed since this run began"):
        note_origins(Worker(run.folder), run, run.recipe, model, resume=True)


def test_another_library_is_a_warning(home: Home, tiny_model: Path) -> None:
    run = ready_run(home, tiny_model)
    worker = Worker(run.folder)
    note_origins(worker, run, run.recipe, tiny_model, resume=False)
    noted = run.recipe
    old = noted.with_changes(versions={**noted.versions, "peft": "0.1.0"})
    note_origins(worker, run, old, tiny_model, resume=True)
    assert any(warning.startswith("peft was 0.1.0") for warning in read_progress(run).warnings)


def test_rows_that_teach_nothing_are_left_out_and_counted(home: Home, tiny_model: Path) -> None:
    rows = chats(8)
    rows[3]["messages"][0]["content"] = "Tell me about " + "many " * 200 + "islands."
    rows[4]["messages"][1]["content"] = "Islands. " * 150
    run = ready_run(home, tiny_model, rows, heldout_share=0)
    tokenizer = ChatTokenizer.load(tiny_model)
    train, heldout = tokenize_snapshot(Worker(run.folder), run, run.recipe, tokenizer)
    assert (len(train), len(heldout)) == (7, 0)
    assert max(len(row["input_ids"]) for row in train) == run.recipe.max_length
    warnings = read_progress(run).warnings
    assert [warning.split(" row(s)")[0] for warning in warnings] == ["1 training", "1 training"]
    assert "left out" in warnings[0]
    assert "cut off" in warnings[1]


def test_no_usable_row_is_an_error(home: Home, tiny_model: Path) -> None:
    run = ready_run(home, tiny_model, chats(8), max_length=16)
    with pytest.raises(UserError, match="within 16 tokens"):
        tokenize_snapshot(Worker(run.folder), run, run.recipe, ChatTokenizer.load(tiny_model))


def test_answers_that_the_template_rewrites_are_said(home: Home, tiny_model: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "qwen3", FAMILIES["qwen3"])
    turns = ["Sure?", "Yes.", "Really?", "Really."]
    messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant") * 2, turns)]
    run = ready_run(home, tiny_model, [{"messages": messages}] * 3, heldout_share=0)
    tokenize_snapshot(Worker(run.folder), run, run.recipe, ChatTokenizer.load(folder))
    assert read_progress(run).warnings[-1].startswith("3 earlier answer(s) in training rows are read")
