"""What a recipe asks for that an engine or this machine does otherwise, each with its reason."""

from __future__ import annotations

from core.recipe import Recipe

# Unsloth moves these from the targets to modules_to_save (models/_utils.py, _redirect_embedding_targets)
_TRAINED_WHOLE = ("embed_tokens", "lm_head")


def cannot_express(recipe: Recipe) -> str | None:
    """What the recipe asks for and Unsloth does otherwise, as a clause."""
    if recipe.quantization == "nf4" and not recipe.double_quantization:
        return "Unsloth always quantizes the 4-bit constants too, which the recipe switches off"
    if recipe.attention != "auto":
        return f"Unsloth chooses its attention itself, and the recipe asks for {recipe.attention}"
    targets = recipe.target_modules
    names = [targets] if isinstance(targets, str) else targets
    whole = [name for name in names if name.rpartition(".")[2] in _TRAINED_WHOLE]
    if whole:
        return f"Unsloth trains {' and '.join(whole)} whole, and the recipe asks for an adapter on it"
    return None
