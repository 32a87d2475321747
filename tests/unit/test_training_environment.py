"""What the train worker says to torch before it is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.base.home import APP_FOLDER

# products of a 16-bit layer with rows of 200 different lengths; prints megabytes won since the first 50
ROWS_OF_EVERY_LENGTH = """
from core.train.device import set_environment
set_environment()
import psutil, torch
held = lambda: psutil.Process().memory_info().rss / 1e6
layers = [torch.nn.Linear(576, out, dtype=torch.bfloat16).requires_grad_(False) for out in (192, 576, 1536)]
for length in range(1, 201):
    row = torch.zeros(length, 576, dtype=torch.bfloat16, requires_grad=True)
    for layer in layers:
        layer(row).sum().backward()
    if length == 50:
        before = held()
print(held() - before)
"""


@pytest.mark.slow
def test_rows_of_many_lengths_do_not_fill_the_memory_in_16_bits() -> None:
    command = [sys.executable, "-c", ROWS_OF_EVERY_LENGTH]
    done = subprocess.run(command, capture_output=True, text=True, cwd=APP_FOLDER, check=True)
    assert float(done.stdout) < 60
