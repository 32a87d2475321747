"""A family of models: how its decoder is put together, and the sum of its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from core.models.experts import Experts
from core.models.fields import Fields
from core.models.shapes import Attention, Flag, LatentAttention, Mlp, Parts, Sizes


@dataclass(frozen=True)
class Family:
    """A decoder: embedding, blocks of attention and MLP between norms, a head that may be the embedding.

    `norms` in a block, each of the hidden width, twice that with `norm_bias`. `inner`: the MLP's width in
    multiples of the hidden one where a config may leave it out.
    """

    attention: Attention | LatentAttention = field(default_factory=Attention)
    mlp: Mlp = field(default_factory=Mlp)
    experts: Experts | None = None
    blocks: str = "model.layers"
    embedding: str = "model.embed_tokens"
    norms: int = 2
    norm_bias: bool = False
    final_norm: bool = True
    head_bias: Flag = False
    inner: int = 0
    # what only this family has: other sizes, other blocks, more parameters
    resize: Callable[[Fields, Sizes], Sizes] | None = None
    build: Callable[[Parts, Fields, Sizes, Family], None] | None = None
    more: Callable[[Parts, Fields, Sizes], None] | None = None

    def inside(self, prefix: str) -> Family:
        """The same family as a part of a larger model, its names with a prefix."""
        names = (name.replace("model.", f"{prefix}.", 1) for name in (self.blocks, self.embedding))
        return replace(self, **dict(zip(("blocks", "embedding"), names)))

    def sizes(self, fields: Fields) -> Sizes:
        sizes = Sizes.of(fields, self.inner)
        return self.resize(fields, sizes) if self.resize else sizes

    def add(self, parts: Parts, fields: Fields, sizes: Sizes, tied: bool) -> None:
        """All parameters of a decoder of this family."""
        parts.extra(sizes.vocab * sizes.hidden, 1 if tied else 2)
        parts.extra(sizes.vocab if fields.flag(self.head_bias) else 0)
        norm = sizes.hidden * (2 if self.norm_bias else 1)
        parts.extra(norm, self.norms * sizes.layers + (1 if self.final_norm else 0))
        if self.build:
            self.build(parts, fields, sizes, self)
        else:
            self.attention.add(parts, fields, sizes, self.blocks, range(sizes.layers))
            self.add_mlp(parts, fields, sizes)
        if self.more:
            self.more(parts, fields, sizes)

    def add_mlp(self, parts: Parts, fields: Fields, sizes: Sizes) -> None:
        """Experts in the layers that have them, the dense MLP in the others."""
        sparse: tuple[int, ...] = ()
        if self.experts:
            sparse = self.experts.sparse_layers(fields, sizes.layers)
            self.experts.add(parts, fields, sizes, self.blocks, sparse)
        dense = sorted(set(range(sizes.layers)) - set(sparse))
        self.mlp.add(parts, fields, sizes, self.blocks, dense)
