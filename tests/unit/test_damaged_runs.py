"""Run folders that somebody damaged: every step still shows which runs there are, and says what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.base.errors import UserError, file_sentence
from core.base.events import EventLog
from core.base.files import write_json
from core.base.home import open_home
from core.base.jobs import request_stop, start_job
from core.chat.talk import Talk
from core.export.record import read_exports
from core.recipe import Recipe
from core.runs.progress import fold, read_progress
from core.runs.run import Run, list_runs
from core.train.checkpoints import CheckpointStore, Origin
from tests.finished_run import make_finished_run
from tests.ui_page import shown
from ui import frame
from ui.bench import Bench
from ui.scene import scene_of

EVENTS = "\n".join(
    [
        '{"kind": "log", "step": 1, "loss": 2.0, "eta_s": "soon", "memory": [], "tokens_per_s": 70.5}',
        '{"kind": "log"}',
        '{"kind": "started", "step": null}',
        '{"kind": "eval", "loss": 1}',
        '{"kind": "stage"}',
        '\x00{"kind": "log", "step": 2',
        '{"kind": "log", "step": 3, "loss": 1.5}',
    ]
)
GOOD = {"file": "a.gguf", "quant": "F16", "bytes": 4, "sha256": "0", "what": "tuned", "base_model": "m"}
GOOD = {**GOOD, "made": "2026", "seconds": {}}
# what is wrong with which file, and what must be read about it in the Export and Chat steps
DAMAGES = [
    ("recipe.yaml", "", "holds no recipe"),
    ("recipe.yaml", "\x00", "control characters are not allowed"),
    ("recipe.yaml", "model: [1]", "“model” input should be a valid string"),
    ("events.jsonl", EVENTS, ""),
    ("events.jsonl", '{"kind": "log", "step": 1, "lo', ""),
    ("state.json", '{"status": ["x"], "pid": {}}', ""),
    ("state.json", '{"status": "running", "pid": 4194305, "stage": 7, "progress": "x"}', ""),
    ("export/export.json", "{", "export.json is damaged"),
    ("export/export.json", "[]", ""),
    ("export/export.json", '{"files": [{"file": 3}, 7, {"file": "../x"}]}', ""),
    ("export/state.json", '{"status": "running", "pid": "x", "progress": []}', ""),
    ("adapter/adapter_config.json", "x", ""),
    ("chats/conversation.json", '{"turns": [[], {"user": 1}, {"user": "a", "tuned": 3}]}', ""),
]


@pytest.mark.parametrize(("name", "text", "said"), DAMAGES)
def test_every_step_goes_on(tmp_path: Path, name: str, text: str, said: str) -> None:
    run = make_finished_run(tmp_path / "höme mit platz", tmp_path / "model")
    other = make_finished_run(tmp_path / "höme mit platz", tmp_path / "model", "2026-11-20_other_tiny_0a1b")
    (run.folder / name).parent.mkdir(exist_ok=True)
    (run.folder / name).write_text(text, "utf-8")
    bench = Bench(open_home(tmp_path / "höme mit platz"))
    bench.choose(run=run.name)
    pages = [shown(bench, panel) for panel in ("train-panel", "export-panel", "chat-panel")]
    assert all(f'value="{other.name}"' in html and f'value="{run.name}"' in html for html in pages)
    assert said in pages[1] or said in pages[2]
    assert shown(bench, "train-more") and scene_of(bench).run == run
    assert frame.header(scene_of(bench)) and frame.card(scene_of(bench))


def test_a_damaged_event_costs_only_itself(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.path.write_text(EVENTS + "\n", "utf-8")
    progress = fold(log.all())
    assert progress.points == [(1, 2.0), (3, 1.5)]
    assert (progress.eta_s, progress.memory, progress.tokens_per_s) == (None, None, 70.5)


def test_a_recipe_that_is_no_file_is_no_run(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    (home.runs / "strange" / "recipe.yaml").mkdir(parents=True)
    assert list_runs(home) == []


def test_of_a_damaged_record_the_whole_lines_count(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.export.mkdir()
    (run.export / "a.gguf").write_bytes(b"GGUF")
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    lines = [{**GOOD, "new": 1}, {**GOOD, "file": "../b.gguf"}, {**GOOD, "bytes": "4"}, {}, 3]
    (run.export / "export.json").write_text(json.dumps({"files": lines}), "utf-8")
    assert [made.file for made in read_exports(run)] == [run.export / "a.gguf"]


def _folder(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "x").write_text("x", "utf-8")


def _binary(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x80\xff\x00PK")


def _link_to_itself(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path)


ODD_PLACES = [
    *("recipe.yaml", "events.jsonl", "state.json", "worker.log", "stop.request", ".state.lock", "data"),
    *(
        "data/train.jsonl",
        "checkpoints",
        "checkpoints/step-000010",
        "checkpoints/step-9",
        "checkpoints/.partial",
    ),
    *("checkpoints/step-99999999999999999999999", "checkpoints/step-000020/manifest.json", "adapter"),
    *("adapter/adapter_config.json", "adapter/trained.json", "export", "export/export.json", "chats"),
    *("export/state.json", "export/pirate-tiny-Q4_K_M.gguf", "chats/conversation.json"),
]


@pytest.mark.parametrize("put", [_folder, _binary, _link_to_itself])
def test_what_should_not_be_there_costs_a_sentence(tmp_path: Path, put: Callable[[Path], None]) -> None:
    """The page stays up, and whatever asks for the thing itself gets a sentence, never Python's words."""
    whole = make_finished_run(tmp_path / "home", tmp_path / "model")
    write_json(whole.checkpoints / "step-000020" / "manifest.json", {"step": 20, "files": {}})
    bench = Bench(open_home(tmp_path / "home"))
    for number, name in enumerate(ODD_PLACES):
        run = Run(whole.folder.with_name(f"2026-11-20_odd_{number:04x}"))
        shutil.copytree(whole.folder, run.folder)
        odd = run.folder / name
        if odd.is_dir():
            shutil.rmtree(odd)
        odd.unlink(missing_ok=True)
        put(odd)
        bench.choose(run=run.name)
        assert all(shown(bench, panel) for panel in ("train-panel", "export-panel", "chat-panel"))
        assert list_runs(bench.home) and frame.card(scene_of(bench))
        store = CheckpointStore(run.checkpoints, 2, Origin.of(Recipe()))
        asks: list[Callable[[], object]] = [
            lambda run=run: read_progress(run),
            lambda run=run: read_exports(run),
            lambda run=run: Talk(run.chats).load().save(),
            store.newest_complete,
            store.clean,
            lambda run=run: request_stop(run.folder),
            lambda run=run: start_job(run.folder, "this"),
        ]
        for ask in asks:
            try:
                ask()
            except (UserError, OSError) as problem:
                assert isinstance(problem, UserError) or file_sentence(problem), problem
