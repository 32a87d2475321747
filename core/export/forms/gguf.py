"""What every GGUF form has in common: llama.cpp's converter first, then one of its quantizations."""

from __future__ import annotations

import math
from pathlib import Path

from core.base.errors import UserError
from core.base.files import remove
from core.export.convert import convert, quantize
from core.export.forms import Form, Shapes, Task
from core.models.gguf_header import read_header

_BLOCK = 256
# Q8_0 in place of Q6_K
_TOKENS_FALLBACK = 8.5


class Gguf(Form):
    """A quantization by its name in llama.cpp; `bits` per weight is llama.cpp's average over whole models.

    K-quants count in blocks of 256 weights. A tensor whose rows are no whole blocks gets `fallback` bits, and
    the table of tokens eight and a half (llama.cpp, src/llama-quant.cpp, llama_tensor_get_type): small models
    are mostly of such tensors.
    """

    abstract = True
    ending = ".gguf"
    # measured on a small model
    stages = {"merge": 0.15, "convert": 0.5, "quantize": 0.3, "check": 0.05}
    bits = 16.0
    fallback = 0.0

    def size(self, shapes: Shapes) -> int:
        matrices = [(math.prod(shape), shape[-1]) for shape in shapes if len(shape) > 1]
        tokens = max(matrices, default=(0, 0))
        bits = 32 * sum(math.prod(shape) for shape in shapes if len(shape) < 2)
        for parameters, columns in matrices:
            whole = not self.fallback or columns % _BLOCK == 0
            other = _TOKENS_FALLBACK if (parameters, columns) == tokens else self.fallback
            bits += parameters * (self.bits if whole else other)
        return int(bits / 8)

    def room(self, shapes: Shapes, merged: int) -> int:
        sixteen = 2 * sum(map(math.prod, shapes))
        return max(merged + sixteen, sixteen + int(1.1 * self.size(shapes)))

    def make(self, task: Task, model: Path) -> Path:
        sixteen = self.convert(task, model, "auto")
        file = task.aside(task.target)
        with task.stage("quantize") as tell:
            quantize(sixteen, file, self.name, tell, task.worker.stop_requested)
        remove(sixteen)
        return file

    def convert(self, task: Task, model: Path, outtype: str) -> Path:
        """The model as a GGUF file of its own 16 bits ("auto"), or of `outtype`."""
        file = task.aside(task.target.with_name("sixteen.gguf"))
        with task.stage("convert") as tell:
            convert(model, file, outtype, task.name, tell, task.worker.stop_requested)
        if model in task.temporary:
            remove(model)
        return file

    def check(self, file: Path) -> None:
        if not read_header(file).chat_template:
            raise UserError("The GGUF file has no chat template, so no program could chat with it.")
