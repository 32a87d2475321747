"""The main job without a screen, on the real parts: `python app.py demo`, then its stages on their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.files import sha256_file
from core.base.home import Home

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


def app(*args: str) -> tuple[int, dict, str]:
    """Run `python app.py …`: exit code, the JSON of the last line, everything it said."""
    command = [sys.executable, "app.py", *args, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    lines = done.stdout.strip().splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}, done.stdout + done.stderr


# on two free cores it takes 6 minutes; a busy machine may need three times that
@pytest.mark.timeout(1500)
def test_demo_makes_a_model_that_talks_like_a_pirate(home: Home) -> None:
    code, result, said = app("demo", "--home", str(home.root))
    assert code == 0, said
    assert result["backend"] == "unsloth", said
    assert result["heldout_loss_tuned"] <= 0.7 * result["heldout_loss_base"]
    assert sha256_file(Path(result["gguf"])) == result["gguf_sha256"]
    assert len(result["answers"]) == 3
    pirates = [answer["tuned"].lower().startswith("arr") for answer in result["answers"]]
    assert sum(pirates) >= 2, result["answers"]
    assert not any(answer["base"].lower().startswith("arr") for answer in result["answers"])
    assert {"prepare", "train", "export", "chat_tuned", "total"} <= set(result["seconds"])
    run = Path(result["run"]).name

    asked = ["--prompt", "What is rain?", "--temperature", "0"]
    code, said_alone, text = app("chat", run, *asked, "--home", str(home.root))
    assert (code, bool(said_alone["answer"])) == (0, True), text


def test_stages_alone(home: Home, tmp_path: Path, tiny_model: Path) -> None:
    """train, export and chat one after the other, with a recipe file and a data file beside it."""
    rows = [{"prompt": f"What is {i} and one?", "completion": f"That is {i + 1}."} for i in range(40)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    recipe = tmp_path / "recipe.yaml"
    model = json.dumps(str(tiny_model))
    recipe.write_text(f"model: {model}\ndata: sums.jsonl\npreset: cpu\nengine: peft\nmax_steps: 2\n")
    code, trained, said = app("train", str(recipe), "--home", str(home.root))
    assert code == 0, said
    assert trained["steps"] == 2
    name = Path(trained["run"]).name

    code, exported, said = app("export", name, "--quant", "Q8_0", "--home", str(home.root))
    assert code == 0, said
    assert sha256_file(Path(exported["file"])) == exported["sha256"]

    asked = ["--prompt", "Hi", "--max-tokens", "5"]
    code, answer, said = app("chat", exported["file"], *asked, "--home", str(home.root))
    assert code == 0, said
    assert "answer" in answer


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["train", "nowhere.yaml"], "no run"),
        (["export", "nothing"], "no run"),
        (["chat", "nothing", "--prompt", "x"], "no run"),
        (["chat", "none.gguf", "--prompt", "x"], "none.gguf"),
    ],
)
def test_a_users_error_is_one_sentence_and_exit_code_2(home: Home, args: list[str], words: str) -> None:
    code, result, said = app(*args, "--home", str(home.root))
    assert code == 2, said
    assert words in result["error"]
    assert "Traceback" not in said
