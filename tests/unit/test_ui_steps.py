"""The steps as plain functions: what a choice changes on disk, and what a page then shows."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

import ui.steps
from core.base import registry
from core.base.errors import UserError
from core.base.files import write_json
from core.base.home import Home
from core.base.jobs import JobState
from core.machine import GIB, Gpu
from core.recipe import knobs
from core.runs.progress import Progress
from core.runs.run import Run
from tests.ui_page import act, edit, recipe, shown
from ui import frame
from ui.bench import Bench
from ui.choices import Choices
from ui.files import own_head
from ui.page import build_page, draw
from ui.render import ENVIRONMENT
from ui.scene import Scene, scene_of
from ui.settings import ELSEWHERE, parse_value
from ui.step import View, attempt, steps
from ui.steps.train import read_points
from ui.words import duration, hub_id, size


def add_run(bench: Bench, name: str, events: list[dict[str, Any]], status: str = "done", **state: Any) -> Run:
    """A run folder with a history, as the worker would have left it."""
    run = Run(bench.home.runs / name)
    run.folder.mkdir(parents=True)
    recipe(bench).save(run.folder / "recipe.yaml")
    lines = "".join(json.dumps({"t": "2026-11-21T00:00:00+00:00", **event}) + "\n" for event in events)
    (run.folder / "events.jsonl").write_text(lines)
    write_json(run.folder / "state.json", {"status": status, "pid": 2**22 + 1, "born": 1.0, **state})
    return run


STARTED = {"kind": "started", "step": 0, "total_steps": 4, "engine": "unsloth", "reason": "It runs here."}
STEPS = [
    {"kind": "log", "step": n, "total_steps": 4, "loss": 4.0 - n, "tokens_per_s": 70.0} for n in (1, 2, 3)
]
HELD = [{"kind": "eval", "step": n, "loss": 4.0 - n} for n in (0, 2)]


# ----- choices


def test_the_first_page_has_everything_chosen(bench: Bench) -> None:
    first = recipe(bench)
    assert (first.model, first.data) == ("starter", "sample")
    assert first.preset == scene_of(bench).preset.key


def test_choices_outlive_the_app(home: Home) -> None:
    Bench(home).choose(model_kind="folder", folder="/models/x")
    assert Bench(home).choices().model == "/models/x"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model_kind": 3, "changes": "x", "unknown": 1}'])
def test_a_damaged_choices_file_means_the_defaults(home: Home, text: str) -> None:
    (home.root / "choices.json").write_text(text)
    assert Bench(home).choices() == Choices()


# ----- model


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (" Qwen/Qwen3-0.6B ", "Qwen/Qwen3-0.6B"),
        ("https://hub.example/Qwen/Qwen3-0.6B/", "Qwen/Qwen3-0.6B"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_hub_id_may_be_pasted_as_an_address(typed: str, wanted: str) -> None:
    assert hub_id(typed) == wanted


def test_a_folder_that_is_no_model_says_why_and_closes_the_way_on(bench: Bench, tmp_path: Path) -> None:
    edit(bench, "model", "folder", str(tmp_path))
    page = shown(bench, "model-panel")
    assert "config.json" in page
    assert 'id="lg-next-model" class="lg-primary" disabled' in page


def test_a_local_model_is_described(bench: Bench, tiny_model: Path) -> None:
    edit(bench, "model", "folder", f'"{tiny_model}"')
    page = shown(bench, "model-panel")
    assert "LlamaForCausalLM" in page
    assert 'href="#data"' in page


# ----- preset


def test_a_changed_setting_is_marked_and_goes_back(bench: Bench) -> None:
    edit(bench, "preset", "rank", "32")
    assert recipe(bench).rank == 32
    assert 'id="set-rank-reset"' in shown(bench, "settings-panel")
    act(bench, "preset", "reset", "rank")
    assert bench.choices().changes == {}


def test_typing_the_presets_own_value_is_no_change(bench: Bench) -> None:
    edit(bench, "preset", "epochs", "3")
    assert bench.choices().changes == {}


@pytest.mark.parametrize(
    ("name", "typed", "wanted"),
    [
        ("max_steps", "", None),
        ("max_steps", "20", 20),
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", "0,001", 0.001),
        ("target_modules", "q_proj, v_proj", ["q_proj", "v_proj"]),
        ("double_quantization", False, False),
        ("scheduler", "cosine", "cosine"),
    ],
)
def test_what_is_typed_becomes_the_right_kind_of_value(name: str, typed: Any, wanted: Any) -> None:
    assert parse_value(name, typed) == wanted


@pytest.mark.parametrize(
    ("name", "typed"), [("rank", "many"), ("rank", "0"), ("rank", "1.5"), ("model", "x"), ("no", "1")]
)
def test_a_wrong_setting_is_refused_and_changes_nothing(bench: Bench, name: str, typed: str) -> None:
    with pytest.raises(UserError):
        edit(bench, "preset", name, typed)
    assert bench.choices().changes == {}


def test_every_setting_has_a_field(bench: Bench) -> None:
    page = shown(bench, "settings-panel")
    assert all(f'id="set-{name}"' in page for name in knobs() if name not in ELSEWHERE)


def test_a_methods_own_settings_have_fields_while_it_is_chosen(bench: Bench) -> None:
    assert "set-virtual_tokens" not in shown(bench, "settings-panel")
    bench.choose(changes={"method": "prefix"})
    edit(bench, "preset", "virtual_tokens", "30")
    assert scene_of(bench).recipe.method_settings == {"virtual_tokens": 30}
    assert 'id="set-virtual_tokens-reset"' in shown(bench, "settings-panel")
    with pytest.raises(UserError, match="From 1 to 4,096"):
        edit(bench, "preset", "virtual_tokens", "9999")
    act(bench, "preset", "reset", "virtual_tokens")
    assert bench.choices().changes == {"method": "prefix"}
    edit(bench, "preset", "virtual_tokens", "30")
    edit(bench, "preset", "method", "lora")
    assert bench.choices().changes == {}


def test_a_preset_too_large_for_the_card_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Gpu("RTX 3060", 12 * GIB, 11 * GIB, (8, 6), "580")
    monkeypatch.setattr(Bench, "hardware", replace(bench.hardware, gpus=(card,), torch=""))
    assert scene_of(bench).preset.key == "gpu-12gb"
    edit(bench, "preset", "preset", "gpu-24gb")
    assert "Memory may run out" in shown(bench, "preset-panel")


# ----- train


def test_a_dead_worker_offers_to_resume_from_the_last_checkpoint(bench: Bench) -> None:
    run = add_run(bench, "r", [STARTED, *STEPS], "running")
    (run.checkpoints / "step-000002").mkdir(parents=True)
    page = shown(bench, "train-panel")
    assert "The training has died" in page
    assert "checkpoint at step 2" in page
    assert 'data-act="resume"' in page


def test_a_finished_run_leads_to_its_export(bench: Bench) -> None:
    add_run(bench, "r", [STARTED, *STEPS, *HELD])
    page = shown(bench, "train-panel")
    assert "from 4.000 to 2.000, 50% lower" in page
    assert 'href="#export"' in page


def test_the_measured_peak_stands_beside_the_estimate(bench: Bench) -> None:
    planned = {**STARTED, "estimated_memory": 4 * GIB}
    add_run(bench, "r", [planned, {**STEPS[0], "memory": 3 * GIB, "peak_memory": 5 * GIB}])
    page = shown(bench, "train-panel")
    assert "Estimated before the start: 4.0 GB. The peak was 5.0 GB, 25% more." in page
    assert "<dd>5.0 GB</dd>" in page


def test_a_failed_run_shows_its_sentence_and_its_log(bench: Bench) -> None:
    run = add_run(bench, "r", [STARTED], "failed", message="Memory ran out. Choose less.")
    (run.folder / "worker.log").write_text("Traceback: boom")
    page = shown(bench, "train-panel")
    assert "Memory ran out. Choose less." in page
    assert "Traceback: boom" in page


def test_a_second_start_names_the_run_that_trains(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = add_run(bench, "busy-run", [STARTED], "running")
    monkeypatch.setattr(Run, "state", lambda self: JobState(status="running"))
    with pytest.raises(UserError, match="busy-run"):
        act(bench, "train", "start")
    assert [line.run for line in scene_of(bench).runs] == [run]


def test_the_header_tells_how_far_the_training_is(bench: Bench) -> None:
    busy = (Run(bench.home.runs / "r"), Progress(step=3, total_steps=12, eta_s=75.0))
    page = frame.header(scene_of(bench).where(busy=busy))
    assert "Training · step 3 of 12, 1 min 15 s left" in page and 'aria-valuenow="25"' in page


# ----- chart


def test_the_chart_gets_only_what_is_new(bench: Bench) -> None:
    run = add_run(bench, "r", [STARTED, *STEPS[:1]])
    first = read_points(bench, {"run": "r", "offset": 0})
    assert first["points"] == [[2, 0], [0, 1, 3.0]]
    run.events.append("log", step=2, loss=1.5)
    run.events.append("eval", step=2, loss=1.25)
    run.events.append("log", step=3, loss=float("nan"))
    assert read_points(bench, {"run": "r", "offset": first["offset"]})["points"] == [
        [0, 2, 1.5],
        [1, 2, 1.25],
    ]


@pytest.mark.parametrize(
    "request_", [{}, {"run": "../..", "offset": 0}, {"run": "r", "offset": "x"}, {"run": 1, "offset": -4}]
)
def test_nonsense_gets_no_points(bench: Bench, request_: dict[str, Any]) -> None:
    assert read_points(bench, request_)["points"] == []


# ----- export


def test_what_cannot_be_trained_is_said_before_start(bench: Bench) -> None:
    bench.choose(changes={"method": "dora"})
    page = shown(bench, "train-panel")
    assert "DoRA can be estimated, but not trained yet" in page and 'href="#preset"' in page
    with pytest.raises(UserError, match="not trained yet"):
        act(bench, "train", "start")


def test_an_untrained_run_says_what_is_missing(bench: Bench) -> None:
    add_run(bench, "r", [STARTED], "stopped")
    assert "no adapter yet" in shown(bench, "export-panel")


def test_a_dead_export_says_so(bench: Bench) -> None:
    run = add_run(bench, "r", [STARTED])
    write_json(run.export / "state.json", {"status": "running", "pid": 2**22 + 1, "born": 1.0})
    assert "The export has died" in shown(bench, "export-panel")


# ----- rendering


@pytest.mark.parametrize("nonsense", ["", "{", "[]", '{"0": 1}'])
def test_only_what_changed_is_sent_and_nonsense_means_everything(bench: Bench, nonsense: str) -> None:
    words = ["one"]
    view, scene = View(gr.HTML(), lambda _: words[0]), scene_of(bench)
    marks, value = draw(scene, [view], nonsense)
    assert value == "one"
    assert draw(scene, [view], marks) == [marks, gr.skip()]
    words[0] = "two"
    assert draw(scene, [view], marks)[1] == "two"
    assert draw(scene, [None], marks) == [marks, gr.skip()]


def test_a_view_that_fails_says_so_and_logs_its_trace(bench: Bench) -> None:
    def broken(_: Scene) -> str:
        raise KeyError("gone")

    _, page = draw(scene_of(bench), [View(gr.HTML(), broken)], "{}")
    assert "app.log" in page
    assert "in broken" in (bench.home.root / "app.log").read_text()


def test_a_refusal_becomes_a_message(bench: Bench) -> None:
    def refuse() -> None:
        raise UserError("Not <now>.")

    assert "Not &lt;now&gt;." in attempt(bench, refuse)
    assert attempt(bench, lambda: None) == ""


# ----- small things


@pytest.mark.parametrize(
    ("seconds", "words"), [(8.4, "8 s"), (160, "2 min 40 s"), (120, "2 min"), (11100, "3 h 5 min")]
)
def test_durations_are_said_as_people_do(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(900, "900 bytes"), (101_300_000, "101 MB"), (5_300_000_000, "5.3 GB")]
)
def test_sizes_are_said_as_people_do(count: int, words: str) -> None:
    assert size(count) == words


def test_a_mark_is_also_a_word() -> None:
    macros: Any = ENVIRONMENT.globals["ui"]
    assert "Problem: " in macros.checks([("bad", "No.")])


# ----- one more step


TOY = """
from ui.step import Step

class ToyStep(Step):
    name, title, order, question, help = "toy", "Toy", 35, "A toy?", "Only a toy."
    parts = {"toy-panel": lambda scene: {"words": "<b>toy</b>"}}
"""


def test_a_step_is_one_file_and_its_templates(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It appears in the walk, on the page and in the browser's script, and no other file is touched."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy-panel.html").write_text("<p>{{ words }}</p>")
    (tmp_path / "toy.py").write_text(TOY)
    loader: Any = ENVIRONMENT.loader
    monkeypatch.setattr(ui.steps, "__path__", [*ui.steps.__path__, str(tmp_path)])
    monkeypatch.setattr(loader, "searchpath", [*loader.searchpath, str(tmp_path)])
    registry._listed.cache_clear()
    try:
        names = [step.name for step in steps()]
        assert names == ["model", "data", "preset", "toy", "train", "export", "chat"]
        assert 'id="nav-toy" href="#toy"' in frame.nav() and "toy train" in own_head()
        assert shown(bench, "toy-panel") == "<p>&lt;b&gt;toy&lt;/b&gt;</p>"
        ids = [block.elem_id for block in build_page(bench).blocks.values()]
        assert {"step-toy", "toy-heading", "toy-panel"} <= set(ids)
    finally:
        registry._listed.cache_clear()
        sys.modules.pop("ui.steps.toy", None)
