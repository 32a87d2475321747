"""What a Recipe becomes in the Trainer's settings, batches and counts. Needs torch, not transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.fit.speed import count_steps
from core.recipe import Recipe
from core.train.batches import Collator, plan_parts, split_batch
from core.train.engine import trainer_arguments
from core.train.meters import SpeedMeter, measuring_is_due, memory_used, peak_memory


def test_intel_cards_have_memory_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "memory_reserved", lambda: 1 << 40)
    monkeypatch.setattr(torch.xpu, "max_memory_reserved", lambda: 2 << 40)
    assert memory_used() >= 1 << 40 and peak_memory() >= 2 << 40


def arguments(recipe: Recipe, device: str = "cpu") -> dict[str, object]:
    return trainer_arguments(recipe, device, Path("out"))


def test_a_single_row_passes_unchanged() -> None:
    row = {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}
    batch = Collator(pad_id=0)([row])
    assert batch["input_ids"].tolist() == [[5, 6, 7]]
    assert batch["labels"].tolist() == [[-100, 6, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1]]


def test_shorter_rows_are_padded_on_the_right_and_never_trained_there() -> None:
    rows = [{"input_ids": [5, 6, 7], "labels": [5, 6, 7]}, {"input_ids": [8], "labels": [8]}]
    batch = Collator(pad_id=2)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 2, 2]]
    assert batch["labels"].tolist() == [[5, 6, 7], [8, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("rows", "changes", "steps"),
    [
        (134, {"epochs": 3, "micro_batch": 1, "accumulate": 8}, 51),
        (8, {"epochs": 1, "micro_batch": 1, "accumulate": 8}, 1),
        (9, {"epochs": 1, "micro_batch": 2, "accumulate": 2}, 3),
        (16, {"epochs": 1.5, "micro_batch": 1, "accumulate": 8}, 3),
        (1000, {"max_steps": 7}, 7),
    ],
)
def test_steps_are_counted_as_the_trainer_does(rows: int, changes: dict[str, float], steps: int) -> None:
    assert count_steps(Recipe.model_validate(changes), rows) == steps


def test_checkpointing_is_said_explicitly() -> None:
    assert arguments(Recipe(checkpointing="none"))["gradient_checkpointing"] is False
    on = arguments(Recipe(checkpointing="unsloth"))
    assert on["gradient_checkpointing"] is True
    assert on["gradient_checkpointing_kwargs"] == {"use_reentrant": False}


def test_nan_is_not_hidden_and_nobody_is_reported_to() -> None:
    values = arguments(Recipe())
    assert values["logging_nan_inf_filter"] is False
    assert values["logging_steps"] == 1
    assert values["report_to"] == "none"
    assert values["save_strategy"] == values["eval_strategy"] == "no"


@given(
    lengths=st.lists(st.integers(1, 600), min_size=1, max_size=40),
    budget=st.integers(1, 2000),
    by_length=st.booleans(),
)
def test_parts_hold_every_row_once_within_the_budget(
    lengths: list[int], budget: int, by_length: bool
) -> None:
    parts = plan_parts(lengths, budget, by_length)
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or len(part) * max(lengths[row] for row in part) <= budget


def test_a_batch_falls_into_parts_without_needless_padding() -> None:
    rows = [
        {"input_ids": [row] * length, "labels": [row] * length} for row, length in enumerate([2, 9, 3, 9])
    ]
    parts = split_batch(Collator(pad_id=99)(rows), budget=18, by_length=True)
    assert [part["input_ids"].tolist() for part in parts] == [
        [[1] * 9, [3] * 9],
        [[2, 2, 2], [0, 0, 99]],
    ]
    assert parts[1]["labels"].tolist() == [[2, 2, 2], [0, 0, -100]]
    assert parts[1]["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


def test_precision_and_device_reach_the_trainer() -> None:
    assert arguments(Recipe(), "cpu")["use_cpu"] is True
    values = arguments(Recipe(precision="bf16"), "cuda")
    assert (values["bf16"], values["fp16"], values["use_cpu"]) == (True, False, False)


def test_constant_rate_still_warms_up() -> None:
    assert arguments(Recipe(scheduler="constant", warmup=0.1))["lr_scheduler_type"] == "constant_with_warmup"
    assert arguments(Recipe(scheduler="constant", warmup=0))["lr_scheduler_type"] == "constant"
    assert arguments(Recipe(scheduler="cosine"))["lr_scheduler_type"] == "cosine"


def test_adam_is_fused_where_torch_can() -> None:
    assert arguments(Recipe(), "cpu")["optim"] == "adamw_torch_fused"
    assert arguments(Recipe(), "mps")["optim"] == "adamw_torch"
    assert arguments(Recipe(optimizer="adamw_8bit"), "cuda")["optim"] == "adamw_8bit"


def test_speed_counts_only_time_in_steps() -> None:
    speed = SpeedMeter()
    for _ in range(20):
        speed.add(2.0, 100)
    speed.add(1.0, 500)
    assert speed.overall == pytest.approx(2500 / 41)
    assert speed.tokens_per_s == pytest.approx((9 * 100 + 500) / 19)
    assert speed.step_seconds() == pytest.approx(1.9)


@given(total=st.integers(1, 500), every=st.integers(1, 600))
def test_the_heldout_loss_is_measured_at_the_end_and_not_shortly_before(total: int, every: int) -> None:
    measured = [step for step in range(1, total + 1) if measuring_is_due(step, total, every)]
    assert measured[-1] == total
    assert all(step % every == 0 for step in measured[:-1])
    assert all(later - step >= every / 2 for step, later in zip(measured, measured[1:]))
    assert len(measured) >= total // every


def test_the_demo_measures_every_ten_steps_and_at_its_last() -> None:
    assert [step for step in range(1, 52) if measuring_is_due(step, 51, 10)] == [10, 20, 30, 40, 51]
