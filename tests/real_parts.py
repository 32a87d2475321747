"""Real things that several test modules need, made once a session: the starter model, a random adapter."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from filelock import FileLock

from core.base.home import Home, open_home
from core.models.starter import ensure_starter
from core.recipe import Recipe
from core.runs.run import Run


def session_folder(session: str) -> Path:
    """A folder that all test processes of one session share; conftest.py removes it at the end."""
    return Path(tempfile.gettempdir()) / f"lora-garage-tests-{session}"


@cache
def shared_home() -> Home:
    """A home folder of this test session with the starter model in it. Read only: make runs elsewhere."""
    folder = session_folder(os.environ["LORA_GARAGE_TEST_SESSION"])
    home = open_home(folder / "home")
    with FileLock(folder / "starter.lock"):
        ensure_starter(home)
    return home


def starter_folder() -> Path:
    """The starter model's folder. Read only."""
    return ensure_starter(shared_home())


def random_run(home: Home, model: Path | None = None, scale: float = 0.02, name: str = "test_model") -> Run:
    """A run folder whose adapter PEFT saved: random A and B on some layers of `model` (or of the starter)."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(7)
    base = AutoModelForCausalLM.from_pretrained(model or starter_folder(), dtype=torch.float32)
    settings = LoraConfig(r=4, lora_alpha=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(base, settings)
    for parameter_name, parameter in adapted.named_parameters():
        if "lora_" in parameter_name:
            torch.nn.init.normal_(parameter, std=scale)
    run = Run(home.runs / f"2026-11-21_{name}_0a1b")
    adapted.save_pretrained(run.adapter)
    Recipe(model=str(model or "starter"), max_length=512).save(run.folder / "recipe.yaml")
    return run
