"""Step 3, the recipe in plain words."""

from __future__ import annotations

from core.recipe import Recipe


def recipe_lines(recipe: Recipe) -> list[str]:
    """The recipe in sentences, with units."""
    base = (
        "the base model is kept in 4 bits to save memory (QLoRA)"
        if recipe.quantization == "nf4"
        else "the base model stays as it is (LoRA)"
    )
    where = "all linear layers" if recipe.target_modules == "all-linear" else "the layers you named"
    steps = f", at most {recipe.max_steps:,} steps" if recipe.max_steps else ""
    times = "once" if recipe.epochs == 1 else f"{recipe.epochs:g} times"
    return [
        f"A small adapter of rank {recipe.rank} is trained on {where}; {base}.",
        f"Every row is seen {times} (epochs){steps}; {recipe.effective_batch} rows make one step.",
        f"Rows longer than {recipe.max_length:,} tokens are cut off; only the answers are learned.",
        f"Learning rate {recipe.learning_rate:g}, rising over the first {recipe.warmup:.0%} of the steps, "
        f"then {_SCHEDULES[recipe.scheduler]}.",
        f"Held-out loss every {recipe.eval_every} steps, a checkpoint every {recipe.save_every}.",
    ]


_SCHEDULES = {
    "linear": "falling in a straight line",
    "cosine": "falling in a curve",
    "constant": "staying there",
}
