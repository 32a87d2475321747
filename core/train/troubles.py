"""Turns what libraries raise while loading and training into sentences for the person at the screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from core.base.errors import UserError, disk_sentence, first_line, is_disk_trouble, is_out_of_memory


class Reporting(Protocol):
    """What knows how far training is, and where it writes."""

    step: int
    folder: Path


@contextmanager
def loading_troubles(model_folder: Path) -> Iterator[None]:
    """Whatever goes wrong while a model is loaded names the folder and the likely way out."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise UserError(
                f"The model in {model_folder} does not fit into memory. "
                "Choose a smaller one, or a preset that keeps it in 4 bits."
            ) from error
        raise UserError(
            f"The model in {model_folder} could not be loaded: {type(error).__name__}: {first_line(error)} "
            "Get it again, or choose another model."
        ) from error


@contextmanager
def training_troubles(reporter: Reporting) -> Iterator[None]:
    """Out of memory and a full disk, with the step at which they happened. Other errors pass through."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        step = reporter.step + 1
        if is_out_of_memory(error):
            raise UserError(
                f"Memory ran out in step {step}. Choose a shorter maximum length, a smaller micro-batch, "
                "gradient checkpointing or a smaller model, then resume or start again."
            ) from error
        if is_disk_trouble(error):
            what = f"Files of step {step} could not be written"
            then = "resume from the last checkpoint"
            raise UserError(disk_sentence(error, what, reporter.folder, then)) from error
        raise
