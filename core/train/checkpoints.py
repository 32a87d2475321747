"""Checkpoints that are whole or absent: written aside, hashed, renamed; verified before a resume.

Each says what it belongs to, so none is taken for another run's, and a changed recipe is not gone on with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.errors import UserError, disk_problem, disk_sentence, is_disk_trouble
from core.base.files import remove, replace, replacement, sha256_file, sweep
from core.base.plain_yaml import short
from core.base.records import read_record, write_record
from core.data import ChatTokenizer
from core.recipe import Recipe, is_resumable
from core.runs.run import TRAINED, Run, Trained, adapter_sha256, finished_checkpoints

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
class Origin:
    """What a checkpoint belongs to: the run's mark, the recipe as asked, and its data (file → SHA-256)."""

    run: str
    recipe: dict[str, Any]
    data: dict[str, str]

    @classmethod
    def of(cls, recipe: Recipe) -> Origin:
        values = recipe.model_dump(mode="json", exclude={"run", "versions", "hashes"})
        data = {name: sha256 for name, sha256 in recipe.hashes.items() if name.startswith("data/")}
        return cls(recipe.run, values, data)

    def changes(self, now: Origin) -> dict[str, str]:
        """Knob → its values then and now, as words, where they differ."""
        pairs = {name: (value, now.recipe.get(name, value)) for name, value in self.recipe.items()}
        return {
            name: f"{name} was {short(str(then))} and is {short(str(is_now))} now"
            for name, (then, is_now) in pairs.items()
            if then != is_now
        }


@dataclass(frozen=True)
class Manifest:
    """What a finished checkpoint says of itself: its step, and its files by their paths in the folder.

    Those written by earlier versions of the app have no `origin`.
    """

    step: int
    files: dict[str, Content]
    origin: Origin | None = None


@dataclass
class CheckpointStore:
    """The folder `checkpoints/` of a run. Complete ones are `step-000100/`; `.partial/` is being written."""

    folder: Path
    keep: int
    origin: Origin
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
            publish(self.partial / f"checkpoint-{step}", self.path(step), step, self.origin)
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
        """The highest step whose checkpoint is intact and this run's, and a sentence for each other above it.

        Those are moved out of the way, so nothing takes them for good ones: damaged ones (`.damaged-…`) until
        the next checkpoint is written, another run's (`.other-run-…`) for good.
        """
        problems = []
        for step in reversed(self.steps()):
            damage = verify(self.path(step), step)
            foreign = "" if damage else self._foreign(self.path(step))
            if not damage and not foreign:
                return step, problems
            what = f"is damaged and was skipped: {damage}" if damage else f"was skipped: {foreign}"
            problems.append(f"The checkpoint of step {step} {what}.")
            aside = ".damaged" if damage else ".other-run"
            replace(self.path(step), self.folder / f"{aside}-{step:06d}", flush=False)
        return None, problems

    def _foreign(self, folder: Path) -> str:
        """Why a whole checkpoint is not this run's, as a clause; empty where it is."""
        manifest = read_record(folder / MANIFEST, Manifest)
        if manifest is None or manifest.origin is None:
            return ""
        if manifest.origin.run != self.origin.run:
            return "it belongs to another run"
        return "" if manifest.origin.data == self.origin.data else "it was trained on other data"

    def changes(self, step: int) -> list[str]:
        """What may differ from a checkpoint's recipe and does, in words. A UserError names what must not."""
        manifest = read_record(self.path(step) / MANIFEST, Manifest)
        if manifest is None or manifest.origin is None:
            return []
        changes = manifest.origin.changes(self.origin)
        refused = [words for name, words in changes.items() if not is_resumable(name)]
        if refused:
            raise UserError(
                f"The recipe is another than at the checkpoint of step {step}: {'; '.join(refused)}. Put it "
                "back in the run's recipe.yaml to resume, or start a new run."
            )
        return list(changes.values())


def publish(source: Path, target: Path, step: int, origin: Origin) -> None:
    """Write the manifest of `source`, flush everything to the disk, then rename it to `target`."""
    for name in _UNWANTED:
        (source / name).unlink(missing_ok=True)
    files = {
        path.relative_to(source).as_posix(): Content(path.stat().st_size, sha256_file(path))
        for path in sorted(source.rglob("*"))
        if path.is_file()
    }
    write_record(source / MANIFEST, Manifest(step, files, origin))
    replace(source, target)


def publish_adapter(model: Any, run: Run, step: int, base_model: str, tokenizer: ChatTokenizer) -> None:
    """Save a PEFT model's adapter of that step with its tokenizer and chat template, aside first.

    `base_model` goes into its config.
    """
    target = run.adapter
    try:
        with replacement(target) as folder:
            for config in model.peft_config.values():
                config.base_model_name_or_path = base_model
            model.save_pretrained(folder)
            (folder / "README.md").unlink(missing_ok=True)
            tokenizer.save(folder)
            write_record(folder / TRAINED, Trained(step, adapter_sha256(folder)))
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
