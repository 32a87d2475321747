"""Download worker: one model or data set from the hub, with progress; cut off, it goes on where it was.

`python -m core.hub.download JOB_FOLDER --kind model --id owner/name --to FOLDER`. The files gather in
`.downloads` beside FOLDER and get their place when all of them are there with the hub's sizes and hashes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from core.base.errors import UserError, disk_free
from core.base.files import remove, replace
from core.base.home import Home
from core.base.jobs import JobState, Worker, read_job, start_job
from core.data.read import expand
from core.hub.fetch import PARTS, Fetch, fetch
from core.hub.files import KINDS, HubFile, HubRepo, Kind
from core.hub.search import hub_repo
from core.models import HUB_ID, inspect_model, model_folder, read_config
from core.models.hub import gated_words, hub_words, logged_in

# what a disk needs beside the files themselves, so that the system and the app go on
_DISK_MARGIN = 512 << 20
_GIB = 1 << 30
_DOWNLOADS = ".downloads"


def dataset_folder(home: Home, name: str) -> Path:
    """Where the data set with the hub id `name` lies, or would lie once it is downloaded."""
    return home.datasets / name.replace("/", "--")


def download_job(home: Home, name: str, kind: Kind = "model") -> Path:
    """The job folder of the download of the hub id `name`."""
    folder = home.models if kind == "model" else home.datasets
    return folder / _DOWNLOADS / name.replace("/", "--")


def partial_folder(target: Path) -> Path:
    """Where the files gather that will be `target`; nobody takes it for a model of its own."""
    return target.parent / _DOWNLOADS / f"{target.name}.partial"


def start_download(home: Home, name: str, kind: Kind = "model") -> Path:
    """Start (or go on with) a download; the job folder. One that runs already is left alone.

    While it runs the job's state has `bytes`, `total`, `rate` (bytes a second) and `left_s`.
    """
    if not HUB_ID.fullmatch(name):
        raise UserError(f"“{name}” is not a hub id. It looks like owner/name, for example Qwen/Qwen3-0.6B.")
    job = download_job(home, name, kind)
    target = model_folder(home, name) if kind == "model" else dataset_folder(home, name)
    if not read_job(job).active:
        start_job(job, "core.hub.download", ["--kind", kind, "--id", name, "--to", str(target)])
    return job


def read_download(home: Home, name: str, kind: Kind = "model") -> JobState:
    return read_job(download_job(home, name, kind))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--id", required=True)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    with Worker(args.job) as worker:
        download(worker, args.kind, args.id, args.to)


def download(worker: Worker, kind: Kind, name: str, target: Path) -> None:
    """Fetch the files of `name` into `target`, saying how far it is."""
    worker.update(stage="asking the hub")
    repo = hub_repo(name, kind)
    if repo.gated and not logged_in():
        raise UserError(gated_words(name, kind))
    with hub_words(name, kind):
        _bring_all(worker, repo, target)
    worker.update(
        stage="done",
        progress=1.0,
        bytes=repo.bytes,
        total=repo.bytes,
        message=f"{name} is on this machine now.",
    )


def _bring_all(worker: Worker, repo: HubRepo, target: Path) -> None:
    partial = partial_folder(target)
    partial.mkdir(parents=True, exist_ok=True)
    check_room(repo, partial)
    transfer = Fetch(worker, repo, partial)
    if repo.kind == "model":
        # a config that would be refused is refused before its gigabytes come
        fetch(transfer, [file for file in repo.files if file.path == "config.json"])
        read_config(partial)
    fetch(transfer, list(repo.files))
    remove_strays(repo, partial)
    if repo.kind == "model":
        inspect_model(partial)
    else:
        expand([partial])
    finish(partial, target)


def check_room(repo: HubRepo, folder: Path) -> None:
    """Refuse a download that the disk has no room for. What is here already counts as done."""
    needed = sum(_missing(file, folder) for file in repo.files)
    free = disk_free(folder)
    if needed and needed + _DISK_MARGIN > free:
        raise UserError(
            f"{repo.name} needs {needed / _GIB:.1f} GiB more on the disk, and {free / _GIB:.1f} GiB are free "
            f"at {folder}. Free some space, or start the app with --home on a larger disk."
        )


def _missing(file: HubFile, folder: Path) -> int:
    here = (folder / file.path, folder / PARTS / file.key)
    return max(0, file.size - max(path.stat().st_size if path.is_file() else 0 for path in here))


def remove_strays(repo: HubRepo, folder: Path) -> None:
    """Remove what an earlier start has brought that the repository has no more."""
    wanted = {folder / file.path for file in repo.files}
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()


def finish(partial: Path, target: Path) -> None:
    """Give the complete folder its name; an older one of that name goes once the new one is in its place."""
    remove(partial / PARTS)
    replace(partial, target)


if __name__ == "__main__":
    main()
