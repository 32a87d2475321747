"""Exports as the app sees them: start one, follow it, find what was made. Loads nothing heavy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from core.base.errors import UserError
from core.base.files import read_json, write_json
from core.base.home import STARTER, STARTER_NAME, Home
from core.base.jobs import read_job, start_job
from core.base.records import decode_all
from core.export.forms import default_form, form_named
from core.models import model_folder, weight_files
from core.runs.run import Run

WORKER = "core.export.worker"
RECORD = "export.json"
What = Literal["tuned", "base"]


@dataclass(frozen=True)
class Export:
    """One finished file. `quant` is its form's name, `seconds` is by stage, `made` is UTC.

    `adapter` and `step` say which adapter it was made of (`core.runs.run.Trained`); files of earlier versions
    of the app don't.
    """

    file: Path
    quant: str
    bytes: int
    sha256: str
    what: What
    base_model: str
    made: str
    seconds: dict[str, float]
    adapter: str = ""
    step: int | None = None

    @property
    def modelfile(self) -> Path:
        """Each file has one of its own: Ollama would take another's for it."""
        return self.file.with_suffix(".Modelfile")

    @property
    def model_name(self) -> str:
        """The model's name, without its quantization."""
        return self.file.stem.removesuffix(f"-{self.quant}")

    @property
    def tag(self) -> str:
        """What Ollama calls it: two quantizations are two models there, too."""
        return f"{self.model_name}:{self.quant.lower()}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "file": str(self.file)}


def start_export(home: Home, run: Run, quant: str | None = None, what: What = "tuned") -> Path:
    """Start the export worker and return its job folder. What is under way already is a UserError.

    `quant` names a form. `what="base"` makes the file of the untouched base model, for an honest comparison.
    """
    name = _form_name(quant)
    if what == "tuned" and not run.trained:
        raise UserError(f"“{run.name}” has no adapter yet, so there is nothing to export. Train it first.")
    folder = export_job(run) if what == "tuned" else base_job(home, run, name)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".start.lock", timeout=10):
            if read_job(folder).active:
                raise UserError(
                    f"An export of “{run.name}” is under way already. Wait for it, or stop it first."
                )
            args = ["--run", str(run.folder), "--quant", name, "--what", what, "--home", str(home.root)]
            start_job(folder, WORKER, args)
    except Timeout:
        raise UserError("Another window is starting this export. Look again in a second.") from None
    return folder


def _form_name(quant: str | None) -> str:
    return (form_named(quant) if quant else default_form()).name


def export_job(run: Run) -> Path:
    """The job folder of the run's own exports."""
    return run.export


def base_job(home: Home, run: Run, quant: str) -> Path:
    """The job folder of the base model's export at this quantization; shared by every run of that model."""
    return home.models / ".gguf" / f".job-{base_folder(home, run).name}-{form_named(quant).name}"


def base_folder(home: Home, run: Run) -> Path:
    """The folder of the run's base model."""
    model = run.recipe.model
    return home.models / STARTER_NAME if model == STARTER else model_folder(home, model)


def base_target(home: Home, run: Run, quant: str) -> Path:
    """Where the base model's GGUF lies, or will lie."""
    form = form_named(quant)
    return home.models / ".gguf" / f"{base_folder(home, run).name}-{form.name}{form.ending}"


def base_gguf(home: Home, run: Run, quant: str | None = None) -> Path | None:
    """The base model's GGUF, if it has been made from the weights that lie there now."""
    file = base_target(home, run, _form_name(quant))
    record = _read_record(base_record(file))
    if not _is_whole(file, record.get("bytes")):
        return None
    return file if record.get("weights") == fingerprint(base_folder(home, run)) else None


def base_record(file: Path) -> Path:
    """The note beside a base model's GGUF: its hash, and which weights it was made from."""
    return file.with_name(file.name + ".json")


def fingerprint(folder: Path) -> list[list[str | int]]:
    """Tells whether a model's weights were exchanged, without reading them: path, size, time of each file."""
    stats = [(file, file.stat()) for file in weight_files(folder)]
    return [[str(file), stat.st_size, stat.st_mtime_ns] for file, stat in stats]


def read_exports(run: Run) -> list[Export]:
    """The run's finished GGUF files that are still there, newest first."""
    whole = [export for export in _exports(run.export) if _is_whole(export.file, export.bytes)]
    return sorted(whole, key=lambda export: export.made, reverse=True)


def out_of_date(run: Run, export: Export) -> str:
    """A sentence where the run was trained on since the file was made; empty where it is the run's model."""
    trained = run.adapter_note
    if trained is None or not export.adapter:
        # one of them was written before adapters were noted, so only the log tells
        if export.made >= _saved(run, run.events.size()):
            return ""
    elif trained.sha256 == export.adapter:
        return ""
    made = f"from step {export.step}" if export.step is not None else "before the run's last training"
    now = f", and the run is at step {trained.step}" if trained else ""
    return f"{export.file.name} was made {made}{now}. Make it again to have the model as it is now."


def _is_whole(file: Path, size: Any) -> bool:
    return file.is_file() and file.stat().st_size == size


def newest_export(run: Run, quant: str | None = None) -> Export | None:
    """The run's newest GGUF, of one quantization if it is named."""
    name = form_named(quant).name if quant else None
    return next((export for export in read_exports(run) if name in (None, export.quant)), None)


@lru_cache(maxsize=64)
def _saved(run: Run, size: int) -> str:
    """When the run's adapter was written last, by its log of so many bytes; empty where that does not say."""
    try:
        events = run.events.all()
    except UserError:
        return ""  # the Train step says what is wrong with the log
    saving = [event["t"] for event in events if event.get("stage") == "saving" and "t" in event]
    return str(saving[-1]) if saving else ""


def add_export(run: Run, export: Export) -> None:
    """Note a finished file; an older one of the same name gives way."""
    others = [other for other in read_exports(run) if other.file.name != export.file.name]
    entries = [{**other.to_json(), "file": other.file.name} for other in [*others, export]]
    write_json(run.export / RECORD, {"files": entries})


def noted_sha256(gguf: Path) -> str | None:
    """The SHA-256 that was noted when we made this file; None for a file of unknown origin."""
    base = _read_record(base_record(gguf)).get("sha256")
    return base or next((export.sha256 for export in _exports(gguf.parent) if export.file == gguf), None)


def _exports(folder: Path) -> list[Export]:
    """The files that the folder's record names, if they lie in it."""
    exports = decode_all(_read_record(folder / RECORD).get("files"), Export)
    return [replace(one, file=folder / one.file) for one in exports if str(one.file) == one.file.name]


def _read_record(file: Path) -> dict[str, Any]:
    """What a record says; nothing where there is none, and a UserError where it is no JSON."""
    record = read_json(file, {})
    return record if isinstance(record, dict) else {}
