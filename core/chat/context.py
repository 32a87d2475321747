"""One model in memory and the one conversation that it holds, by llama.cpp's own calls."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from llama_cpp import llama_cpp as c
from pydantic import BaseModel, ConfigDict, Field

from core.base.errors import UserError
from core.chat.vocabulary import Vocabulary
from core.models.gguf_header import read_header

# tokens that are read at once
_BATCH = 512
_ALL_LAYERS = 0x7FFFFFFF
_ABORTED = 2
# how many tokens back a repetition counts
_LAST = 64


class Sampling(BaseModel):
    """How the next token is chosen; temperature 0: always the likeliest."""

    model_config = ConfigDict(allow_inf_nan=False)

    temperature: float = Field(0.8, ge=0, le=100)
    top_k: int = Field(40, ge=0)
    top_p: float = Field(0.95, ge=0, le=1)
    min_p: float = Field(0.05, ge=0, le=1)
    repeat_penalty: float = Field(1.0, gt=0)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    seed: int = c.LLAMA_DEFAULT_SEED


class Context:
    """A loaded GGUF file with room for `n_ctx` tokens, and LoRA adapters that may be laid over it.

    For one thread at a time, but for `vocabulary` and the names of the `adapters`. What it holds of the last
    conversation is not read again. Raises a UserError when llama.cpp can't load a file.
    """

    def __init__(self, gguf: Path, n_ctx: int, threads: int, adapters: Mapping[str, Path]) -> None:
        c.llama_log_set(c.llama_log_callback(), ctypes.c_void_p())
        self._model = _loaded(c.llama_model_load_from_file(_path(gguf), _model_settings()), gguf)
        settings = _context_settings(n_ctx, threads)
        self._context = _loaded(c.llama_init_from_model(self._model, settings), gguf)
        self._memory = _loaded(c.llama_get_memory(self._context), gguf)
        self.n_ctx: int = c.llama_n_ctx(self._context)
        vocab = c.llama_model_get_vocab(self._model)
        self.vocabulary = Vocabulary(vocab, read_header(gguf).chat_template)
        self.adapters = {
            name: _loaded(c.llama_adapter_lora_init(self._model, _path(file)), file)
            for name, file in adapters.items()
        }
        self._scales: dict[str, float] = {}
        self._held: list[int] = []
        self._gone = threading.Event()
        # kept here, or they would be freed while llama.cpp may still call them
        self._asks = c.ggml_abort_callback(lambda _: self._gone.is_set())
        self._never = c.ggml_abort_callback()

    def answer(
        self, ids: list[int], sampling: Sampling, scales: Mapping[str, float], gone: threading.Event
    ) -> Generator[int, None, None]:
        """Token after token behind `ids`, until the context is full. Ends early, at once, when `gone` is set.

        `scales`: how strongly which adapters count.
        """
        # what it holds may still be of use to the next one
        if gone.is_set():
            return
        self._gone = gone
        self._use({name: scale for name, scale in scales.items() if scale})
        self._hold(_common(self._held, ids[:-1]))
        sampler = self._sampler(sampling)
        try:
            if not self._read(ids[len(self._held) :]):
                return
            while not gone.is_set():
                token: int = c.llama_sampler_sample(sampler, self._context, -1)
                yield token
                if len(self._held) >= self.n_ctx or gone.is_set() or not self._decode([token]):
                    return
        finally:
            c.llama_sampler_free(sampler)

    def _read(self, ids: list[int]) -> bool:
        """Read a prompt; False if nobody waits for it any more.

        llama.cpp asks before each operation (on the CPU only; GPUs read a prompt quickly). For the single
        tokens of an answer that would cost more than it saves.
        """
        nothing = ctypes.c_void_p()
        c.llama_set_abort_callback(self._context, self._asks, nothing)
        try:
            return all(self._decode(ids[at : at + _BATCH]) for at in range(0, len(ids), _BATCH))
        finally:
            c.llama_set_abort_callback(self._context, self._never, nothing)

    def _decode(self, ids: list[int]) -> bool:
        """Take in at most `_BATCH` tokens; False, and none of them, if it was aborted."""
        if self._gone.is_set():
            return False
        tokens = (c.llama_token * len(ids))(*ids)
        code = c.llama_decode(self._context, c.llama_batch_get_one(tokens, len(ids)))
        if code == 0:
            self._held += ids
            return True
        # a part of them may have got into the memory
        self._hold(len(self._held))
        if code == _ABORTED:
            return False
        raise RuntimeError(f"llama.cpp could not compute (code {code})")

    def _hold(self, count: int) -> None:
        """Forget all but the first `count` tokens; all of them where a model's memory can't be cut."""
        if count and c.llama_memory_seq_rm(self._memory, 0, count, -1):
            del self._held[count:]
        else:
            c.llama_memory_clear(self._memory, True)
            self._held.clear()

    def _use(self, scales: dict[str, float]) -> None:
        if scales == self._scales:
            return
        self._hold(0)
        chosen = [self.adapters[name] for name in scales]
        adapters = (c.llama_adapter_lora_p_ctypes * len(scales))(*chosen)
        strengths = (ctypes.c_float * len(scales))(*scales.values())
        if c.llama_set_adapters_lora(self._context, adapters, len(scales), strengths):
            raise RuntimeError(f"llama.cpp could not apply {' and '.join(scales)}")
        self._scales = scales

    def _sampler(self, how: Sampling) -> Any:
        chain = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
        penalties = how.repeat_penalty, how.frequency_penalty, how.presence_penalty
        parts = [c.llama_sampler_init_penalties(self.vocabulary.size, _LAST, *penalties)]
        if how.temperature == 0:
            parts.append(c.llama_sampler_init_greedy())
        else:
            parts += [
                c.llama_sampler_init_top_k(how.top_k),
                c.llama_sampler_init_top_p(how.top_p, 1),
                c.llama_sampler_init_min_p(how.min_p, 1),
                c.llama_sampler_init_temp(how.temperature),
                c.llama_sampler_init_dist(how.seed % 2**32),
            ]
        for part in parts:
            c.llama_sampler_chain_add(chain, part)
        return chain


def _model_settings() -> c.llama_model_params:
    settings = c.llama_model_default_params()
    settings.n_gpu_layers = _ALL_LAYERS if c.llama_supports_gpu_offload() else 0
    # llama.cpp's code for the matrix units of server CPUs crashes at the first token: their tile set-up is
    # built on the stack, where GCC drops the writes (llama.cpp issue 20824). This weight layout leads there
    settings.use_extra_bufts = b"AMX_INT8 = 1" not in c.llama_print_system_info()
    return settings


def _context_settings(n_ctx: int, threads: int) -> c.llama_context_params:
    settings = c.llama_context_default_params()
    settings.n_ctx = n_ctx
    settings.n_batch = settings.n_ubatch = _BATCH
    settings.n_threads = settings.n_threads_batch = threads
    settings.flash_attn_type = c.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return settings


def _loaded(thing: Any, file: Path) -> Any:
    if not thing:
        raise UserError(f"llama.cpp could not load {file}.")
    return thing


def _path(file: Path) -> bytes:
    return str(file).encode("utf-8")


def _common(held: list[int], ids: list[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(held, ids))
    return next((place for place, (one, other) in pairs if one != other), min(len(held), len(ids)))
