"""The train worker with both engines: on the real starter where numbers matter, else on a tiny model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.home import APP_FOLDER, Home, open_home
from core.data import ChatTokenizer, read_snapshot
from core.runs.progress import read_progress
from core.runs.run import Run
from tests.real_parts import starter_folder
from tests.training_runs import chats, losses, make_run, summary, work, work_side_by_side

pytestmark = pytest.mark.slow
ENGINES = ("unsloth", "peft")


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return open_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def starter_runs(module_home: Home) -> dict[str, Run]:
    """The same recipe on the starter, trained by each engine."""
    knobs = {"max_steps": 3, "accumulate": 4, "eval_every": 2}
    rows = chats(11)
    runs = {name: make_run(module_home, starter_folder(), rows, engine=name, **knobs) for name in ENGINES}
    work_side_by_side(list(runs.values()))
    return runs


def test_each_run_says_what_it_did(starter_runs: dict[str, Run]) -> None:
    for engine, run in starter_runs.items():
        progress = read_progress(run)
        assert progress.job.status == "done"
        assert (progress.engine, progress.precision) == (engine, "fp32")
        assert progress.reason
        assert (progress.step, progress.total_steps) == (3, 3)
        assert [step for step, _ in progress.heldout] == [0, 2, 3]
        result = summary(run)
        assert result["steps"] == 3
        assert result["tokens_per_s"] > 0
        assert result["peak_memory"] > 500e6
        assert set(result["seconds"]) == {"preparing", "loading", "training", "saving", "evaluating"}
        assert result["heldout_loss_tuned"] < result["heldout_loss_base"]


def test_the_recipe_notes_versions_and_hashes(starter_runs: dict[str, Run]) -> None:
    recipe = starter_runs["unsloth"].recipe
    assert {"torch", "transformers", "peft", "unsloth"} <= set(recipe.versions)
    assert {"data/train.jsonl", "model/model.safetensors"} <= set(recipe.hashes)


def test_the_engines_agree(starter_runs: dict[str, Run]) -> None:
    one, two = (losses(starter_runs[engine]) for engine in ENGINES)
    assert list(one) == list(two) == [1, 2, 3]
    assert list(one.values()) == pytest.approx(list(two.values()), abs=1e-3)
    first, second = (summary(starter_runs[engine]) for engine in ENGINES)
    for key in ("heldout_loss_base", "heldout_loss_tuned"):
        assert first[key] == pytest.approx(second[key], abs=1e-3)


def test_the_adapter_loads_in_peft_and_gives_the_reported_loss(starter_runs: dict[str, Run]) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = starter_runs["unsloth"]
    config = json.loads((run.adapter / "adapter_config.json").read_text("utf-8"))
    base = AutoModelForCausalLM.from_pretrained(config["base_model_name_or_path"], dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(run.adapter)).eval()
    tokenizer = ChatTokenizer.load(starter_folder())
    assert ChatTokenizer.load(run.adapter).template_text == tokenizer.template_text
    total, count = 0.0, 0
    for conversation in read_snapshot(run.data)[1]:
        encoded = tokenizer.encode(conversation.messages, run.recipe.max_length)
        with torch.no_grad():
            logits = model(torch.tensor([encoded.ids])).logits[0, :-1]
        targets = torch.tensor(encoded.labels[1:])
        total += torch.nn.functional.cross_entropy(logits, targets, ignore_index=-100, reduction="sum").item()
        count += int((targets != -100).sum())
    assert total / count == pytest.approx(summary(run)["heldout_loss_tuned"], abs=1e-4)


def test_what_is_trained_is_what_the_preview_shows(home: Home, tiny_model: Path) -> None:
    runs = [make_run(home, tiny_model, chats(9), engine=engine, max_length=40) for engine in ENGINES]
    feeding = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.training_batches", str(run.folder)],
            cwd=APP_FOLDER,
            stdout=subprocess.PIPE,
            text=True,
        )
        for run in runs
    ]
    tokenizer = ChatTokenizer.load(tiny_model)
    for run, process in zip(runs, feeding, strict=True):
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        fed = [json.loads(line[4:]) for line in printed.splitlines() if line.startswith("ROW ")]
        shown = [tokenizer.encode(row.messages, run.recipe.max_length) for row in read_snapshot(run.data)[0]]
        assert sorted(fed) == sorted([row.ids, row.labels] for row in shown)


def test_four_bits_on_both_engines(home: Home) -> None:
    knobs = {"quantization": "nf4", "max_steps": 2, "heldout_share": 0.5}
    runs = [make_run(home, starter_folder(), chats(4), engine=engine, **knobs) for engine in ENGINES]
    work_side_by_side(runs)
    for run in runs:
        assert summary(run)["heldout_loss_tuned"] < summary(run)["heldout_loss_base"]
    one, two = ([*losses(run).values(), summary(run)["heldout_loss_tuned"]] for run in runs)
    assert one == pytest.approx(two, abs=5e-3)


def test_where_unsloth_cannot_be_imported_peft_trains_and_says_why(
    home: Home, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken" / "unsloth").mkdir(parents=True)
    broken = tmp_path / "broken" / "unsloth" / "__init__.py"
    broken.write_text("raise NotImplementedError('Unsloth cannot find any torch accelerator')\n", "utf-8")
    run = make_run(home, tiny_model, engine="auto")
    path = os.pathsep.join([str(tmp_path / "broken"), str(APP_FOLDER)])
    assert work(run, env={"PYTHONPATH": path}) == 0, run.log_tail()
    progress = read_progress(run)
    assert progress.engine == "peft"
    assert "cannot find any torch accelerator" in progress.reason


def test_a_resumed_run_repeats_the_uninterrupted_one(home: Home, tiny_model: Path) -> None:
    knobs = {"max_steps": 9, "save_every": 3, "keep_checkpoints": 5, "dropout": 0.1, "learning_rate": 1e-2}
    whole = [make_run(home, tiny_model, chats(16), engine=engine, **knobs) for engine in ENGINES]
    work_side_by_side(whole)
    resumed = [after_a_kill_at_step_3(run) for run in whole]
    work_side_by_side(resumed, "--resume")
    for one, two in zip(whole, resumed, strict=True):
        # six steps an epoch: it goes on in the middle of one and over its end
        assert list(losses(two)) == [4, 5, 6, 7, 8, 9]
        assert list(losses(two).values()) == pytest.approx(list(losses(one).values())[3:], abs=1e-6)
        tuned = summary(one)["heldout_loss_tuned"]
        assert summary(two)["heldout_loss_tuned"] == pytest.approx(tuned, abs=1e-6)
        assert two.trained


def after_a_kill_at_step_3(run: Run) -> Run:
    """A copy of a finished run as it stood when its first checkpoint had been written."""
    copy = Run(run.folder.with_name(run.name + "-killed"))
    shutil.copytree(run.folder, copy.folder)
    for path in (copy.checkpoints / "step-000006", copy.checkpoints / "step-000009", copy.adapter):
        shutil.rmtree(path)
    (copy.folder / "events.jsonl").unlink()
    return copy
