"""Download worker: one model or data set from the hub, with progress; cut off, it goes on where it was.

`python -m core.download JOB_FOLDER --kind model --id owner/name --to FOLDER`. The files gather in
`FOLDER.partial`, which is renamed when all of them are there.
"""

from __future__ import annotations

import argparse
import os
import threading
from pathlib import Path
from typing import Any, Literal

from core.dataset.read import DATA_ENDINGS, expand
from core.errors import UserError
from core.files import replace
from core.home import Home
from core.jobs import JobState, Worker, read_job, start_job
from core.models import HUB_ID, inspect_model, model_folder

Kind = Literal["model", "dataset"]
_ABOUT = ("README.md", "LICENSE")

# weights as safetensors only; no pickles, no code
PATTERNS: dict[Kind, list[str]] = {
    "model": [
        "*.safetensors",
        "*.safetensors.index.json",
        "*.json",
        "*.jinja",
        "*.model",
        "LICENSE*",
        "README.md",
    ],
    "dataset": [
        *(f"*{ending}" for ending in DATA_ENDINGS),
        *(f"*{ending}.gz" for ending in DATA_ENDINGS),
        "*.txt",
        "*.md",
        "LICENSE",
    ],
}


def dataset_folder(home: Home, name: str) -> Path:
    """Where the data set with the hub id `name` lies, or would lie once it is downloaded."""
    return home.datasets / name.replace("/", "--")


def download_job(home: Home, name: str, kind: Kind = "model") -> Path:
    """The job folder of the download of the hub id `name`."""
    folder = home.models if kind == "model" else home.datasets
    return folder / ".downloads" / name.replace("/", "--")


def start_download(home: Home, name: str, kind: Kind = "model") -> Path:
    """Start (or go on with) a download; the job folder. One that runs already is left alone."""
    if not HUB_ID.fullmatch(name):
        raise UserError(f"“{name}” is not a hub id. It looks like owner/name, for example Qwen/Qwen3-0.6B.")
    job = download_job(home, name, kind)
    target = model_folder(home, name) if kind == "model" else dataset_folder(home, name)
    if not read_job(job).active:
        start_job(job, "core.download", ["--kind", kind, "--id", name, "--to", str(target)])
    return job


def read_download(home: Home, name: str, kind: Kind = "model") -> JobState:
    return read_job(download_job(home, name, kind))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path)
    parser.add_argument("--kind", choices=list(PATTERNS), required=True)
    parser.add_argument("--id", required=True)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    with Worker(args.job) as worker:
        download(worker, args.kind, args.id, args.to)


def download(worker: Worker, kind: Kind, name: str, target: Path) -> None:
    """Fetch the files of `name` into `target`, saying how far it is."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    worker.update(stage="asking the hub")
    total = _total_bytes(kind, name)
    partial = target.with_name(target.name + ".partial")
    over = threading.Event()
    threading.Thread(target=_watch, args=(worker, partial, total, over), daemon=True).start()
    try:
        _fetch(kind, name, partial)
    finally:
        over.set()
    if kind == "model":
        inspect_model(partial)
    else:
        expand([partial])
    replace(partial, target)
    worker.update(stage="done", progress=1.0, message=f"{name} is on this machine now.")


def _total_bytes(kind: Kind, name: str) -> int:
    from fnmatch import fnmatch

    from huggingface_hub import HfApi

    def ask() -> Any:
        return HfApi().repo_info(name, repo_type=kind, files_metadata=True, timeout=20)

    files = _hub(kind, name, ask).siblings or []
    wanted = [file for file in files if any(fnmatch(file.rfilename, p) for p in PATTERNS[kind])]
    if kind == "model" and not any(file.rfilename.endswith(".safetensors") for file in wanted):
        raise UserError(
            f"{name} has no safetensors weights. Choose a model that is published as safetensors."
        )
    if kind == "dataset" and not any(Path(file.rfilename).name not in _ABOUT for file in wanted):
        raise UserError(
            f"{name} has no data files that can be read (JSONL, JSON, CSV, Parquet, text). A loading "
            "script, if there is one, is never run. Choose another data set."
        )
    return sum(file.size or 0 for file in wanted)


def _fetch(kind: Kind, name: str, folder: Path) -> None:
    from huggingface_hub import snapshot_download

    def fetch() -> Any:
        return snapshot_download(name, repo_type=kind, local_dir=folder, allow_patterns=PATTERNS[kind])

    _hub(kind, name, fetch)


def _hub(kind: Kind, name: str, call: Any) -> Any:
    """Run a call to the hub; what can go wrong there becomes one clear sentence."""
    import httpx
    from huggingface_hub import errors

    try:
        return call()
    except errors.GatedRepoError as error:
        raise UserError(
            f"{name} is gated: accept its licence on its hub page, then log in with `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"The hub knows no {kind} {name}. Check the spelling; a private one needs `hf auth login`."
        ) from error
    except errors.HfHubHTTPError as error:
        raise UserError(f"The hub refused {name}: {str(error).splitlines()[0]}.") from error
    except (
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        httpx.TransportError,
        OSError,
    ) as error:
        raise UserError(
            f"The hub can't be reached, so {name} was not downloaded. Check the connection and press "
            "Download again: what is here already is kept."
        ) from error


def _watch(worker: Worker, folder: Path, total: int, over: threading.Event) -> None:
    while not over.wait(1.0):
        if worker.stop_requested():
            worker.stopped("Download stopped. Start it again to go on where it was.")
            worker.update(status="stopped")
            # the library has no way to be asked; what is on disk is kept for the next start
            os._exit(0)
        done = sum(_size(path) for path in folder.rglob("*"))
        worker.update(
            stage="downloading", bytes=done, total=total, progress=min(1.0, done / total) if total else None
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


if __name__ == "__main__":
    main()
