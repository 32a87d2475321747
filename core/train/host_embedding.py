"""A token embedding that stays in the computer's memory: only the rows looked up go to the GPU."""

from __future__ import annotations

from typing import Any

import torch


class HostEmbedding(torch.nn.Module):
    """Looks tokens up on the CPU and hands the rows to where the tokens came from."""

    def __init__(self, embedding: torch.nn.Module) -> None:
        super().__init__()
        # in a tuple it is no submodule, so the Trainer's `model.to(device)` leaves it where it is
        self._held = (embedding.to("cpu").requires_grad_(False),)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(rows, tokens) → (rows, tokens, hidden), on the tokens' device."""
        return self._held[0](tokens.to("cpu")).to(tokens.device)


def keep_embedding_in_ram(model: Any) -> int:
    """Replace the model's frozen token embedding by one in RAM; the bytes that this saves on the GPU.

    Where lm_head shares the weights they are needed on the GPU anyway: nothing changes, 0 bytes.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is not None and head.weight is embedding.weight:
        return 0
    model.set_input_embeddings(HostEmbedding(embedding))
    return sum(weight.numel() * weight.element_size() for weight in embedding.parameters())
