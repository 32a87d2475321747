"""Prefix tuning (Li and Liang 2021): keys and values of virtual tokens in every layer."""

from __future__ import annotations

from core.methods.method import SoftPrompt
from core.models import ModelSpec
from core.recipe import Recipe


class Prefix(SoftPrompt):
    name = "prefix"
    title = "Prefix tuning"
    help = "Learned keys and values that every layer sees before the row."
    order = 21

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        return self.virtual_tokens(recipe) * spec.layers * 2 * spec.kv_heads * spec.head_dim

    def tokens_before(self, recipe: Recipe) -> int:
        """They are no rows of the batch: only attention sees them."""
        return 0
