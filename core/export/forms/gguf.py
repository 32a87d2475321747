"""What every GGUF form has in common: llama.cpp's converter first, then one of its quantizations."""

from __future__ import annotations

from pathlib import Path

from core.base.errors import UserError
from core.base.files import remove
from core.export.convert import convert, quantize
from core.export.forms import Form, Task
from core.models.gguf_header import read_header


class Gguf(Form):
    """A quantization by its name in llama.cpp; `bits` per weight is llama.cpp's average over whole models."""

    abstract = True
    ending = ".gguf"
    # measured on a small model
    stages = {"merge": 0.15, "convert": 0.5, "quantize": 0.3, "check": 0.05}
    bits = 16.0

    def size(self, parameters: int) -> int:
        return int(parameters * self.bits / 8)

    def room(self, parameters: int, merged: int) -> int:
        sixteen = 2 * parameters
        # small models take more than the average: some of their layers don't fit the block sizes
        return max(merged + sixteen, sixteen + int(1.3 * self.size(parameters)))

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
