"""Prompt tuning (Lester et al. 2021): the embeddings of virtual tokens."""

from __future__ import annotations

from core.methods.method import SoftPrompt
from core.models import ModelSpec
from core.recipe import Recipe


class Prompt(SoftPrompt):
    name = "prompt"
    title = "Prompt tuning"
    help = "Learned tokens before every row: tiny, and weak on small models."
    order = 22

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        return self.virtual_tokens(recipe) * spec.hidden
