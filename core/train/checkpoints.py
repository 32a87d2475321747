"""Checkpoints that are whole or absent: written aside, hashed, renamed; verified before a resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.errors import UserError, disk_problem, disk_sentence, is_disk_trouble
from core.base.files import remove, replace, replacement, sha256_file, sweep
from core.base.records import read_record, write_record
from core.data import ChatTokenizer
from core.runs.run import Run, finished_checkpoints

MANIFEST = "manifest.json"
# what a resume cannot do without; the Trainer writes them
NEEDED = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
)
# a pickle that nothing reads, and a model card full of blanks
_UNWANTED = ("training_args.bin", "README.md")


@dataclass(frozen=True)
class Content:
    """What a file of a checkpoint must hold."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a finished checkpoint says of itself: its step, and its files by their paths in the folder."""

    step: int
    files: dict[str, Content]


@dataclass
class CheckpointStore:
    """The folder `checkpoints/` of a run. Complete ones are `step-000100/`; `.partial/` is being written."""

    folder: Path
    keep: int
    # (step, problem) of checkpoints that could not be written
    on_saved: Callable[[int], None] = lambda step: None
    on_failed: Callable[[int, str], None] = lambda step, problem: None
    # why the last one could not be written, as a clause; empty where it was
    problem: str = field(default="", init=False)

    @property
    def partial(self) -> Path:
        """Where the Trainer writes: its `output_dir`."""
        return self.folder / ".partial"

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def steps(self) -> list[int]:
        """Steps that have a folder, lowest first. Their number decides, not the clock."""
        return finished_checkpoints(Run(self.folder.parent))

    def write(self, step: int, save: Callable[[], None]) -> None:
        """Let `save` write `.partial/checkpoint-<step>`, then publish it.

        A full disk or another trouble with files doesn't end the run: the half-written folder is removed,
        `on_failed` hears of it, and the checkpoints before stay.
        """
        self.clean()
        try:
            save()
            publish(self.partial / f"checkpoint-{step}", self.path(step), step)
        except Exception as error:
            self.problem = disk_problem(error, self.folder) if is_disk_trouble(error) else ""
            self.clean()
            if not self.problem:
                raise
            self.on_failed(step, self.problem)
            return
        self.problem = ""
        self.clean()
        self.rotate()
        self.on_saved(step)

    def clean(self) -> None:
        """Remove what a killed or failed write left behind."""
        for path in (self.partial, *self.folder.glob(".old-*"), *self.folder.glob(".damaged-*")):
            remove(path)
        sweep(self.folder)

    def rotate(self) -> None:
        """Keep the `keep` highest steps."""
        for step in self.steps()[: -self.keep]:
            remove(self.path(step))

    def newest_complete(self) -> tuple[int | None, list[str]]:
        """The highest step whose checkpoint is intact, and a sentence for each damaged one above it.

        Damaged ones are moved out of the way (`.damaged-…`), so nothing takes them for good ones.
        """
        problems = []
        for step in reversed(self.steps()):
            problem = verify(self.path(step), step)
            if problem is None:
                return step, problems
            problems.append(f"The checkpoint of step {step} is damaged and was skipped: {problem}.")
            replace(self.path(step), self.folder / f".damaged-{step:06d}", flush=False)
        return None, problems


def publish(source: Path, target: Path, step: int) -> None:
    """Write the manifest of `source`, flush everything to the disk, then rename it to `target`."""
    for name in _UNWANTED:
        (source / name).unlink(missing_ok=True)
    files = {
        path.relative_to(source).as_posix(): Content(path.stat().st_size, sha256_file(path))
        for path in sorted(source.rglob("*"))
        if path.is_file()
    }
    write_record(source / MANIFEST, Manifest(step, files))
    replace(source, target)


def publish_adapter(model: Any, target: Path, base_model: str, tokenizer: ChatTokenizer) -> None:
    """Save a PEFT model's adapter with its tokenizer and chat template to `target`, aside first.

    `base_model` goes into its config.
    """
    try:
        with replacement(target) as folder:
            for config in model.peft_config.values():
                config.base_model_name_or_path = base_model
            model.save_pretrained(folder)
            (folder / "README.md").unlink(missing_ok=True)
            tokenizer.save(folder)
    except Exception as error:
        if not is_disk_trouble(error):
            raise
        then = "resume: the last checkpoint is kept"
        sentence = disk_sentence(error, "The adapter could not be written", target.parent, then)
        raise UserError(sentence) from error


def verify(folder: Path, step: int) -> str | None:
    """None if the checkpoint is whole, otherwise what is wrong, as a clause."""
    try:
        manifest = read_record(folder / MANIFEST, Manifest)
    except (UserError, OSError):
        return "its manifest can't be read"
    if manifest is None:
        return "it has no manifest, so it was never finished"
    if manifest.step != step:
        return f"its manifest is that of step {manifest.step}"
    missing = [name for name in NEEDED if name not in manifest.files]
    if missing:
        return f"{missing[0]} was never written"
    for name, content in manifest.files.items():
        problem = _verify_file(folder / name, content)
        if problem:
            return f"{name} {problem}"
    return None


def _verify_file(path: Path, content: Content) -> str | None:
    try:
        size = path.stat().st_size
        if size != content.bytes:
            return f"has {size} bytes instead of {content.bytes}"
        if sha256_file(path) != content.sha256:
            return "has other content than was written"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"can't be read ({error.strerror})"
    return None
