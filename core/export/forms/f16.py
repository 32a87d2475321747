"""Sixteen bits a weight: converted, and not quantized."""

from __future__ import annotations

from pathlib import Path

from core.export.forms import Shapes, Task
from core.export.forms.gguf import Gguf


class F16(Gguf):
    name = "F16"
    order = 50
    help = "Not quantized: every weight in 16 bits. Largest and slowest."

    def room(self, shapes: Shapes, merged: int) -> int:
        return merged + self.size(shapes)

    def make(self, task: Task, model: Path) -> Path:
        return self.convert(task, model, "f16")
