"""Download worker: one model or data set from the hub, with progress; cut off, it goes on where it was.

`python -m core.models.download JOB_FOLDER --kind model --id owner/name --to FOLDER`. The files gather in
`.downloads` beside FOLDER, several at once, and get their place when all are there with the hub's hashes.
"""

from __future__ import annotations

import argparse
import io
import os
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import Stopped, UserError, disk_free
from core.base.files import remove, replace
from core.base.home import Home
from core.base.jobs import JobState, Worker, read_job, start_job
from core.models.folder import inspect_model, model_folder, read_config
from core.models.hub import PARTIAL, gated_words, hub_words, logged_in, stream
from core.models.hub_files import KINDS, HubFile, HubRepo, Kind, check_id
from core.models.hub_search import hub_repo

# what a disk needs beside the files themselves, so that the system and the app go on
_DISK_MARGIN = 512 << 20
_GIB = 1 << 30
_DOWNLOADS = ".downloads"
PARTS = ".parts"
# one connection rarely fills the line, many are refused
_SIDE_BY_SIDE = 4
_TRIES = 2
# how often in a row a connection may fail without a byte, waiting 1, 2, 4, 8 s in between
_PATIENCE = 4
_LOOK_S = 1.0
# the speed shown is that of the last seconds
_SPEED_OVER_S = 15.0


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


def start_download(home: Home, name: str, kind: Kind = "model", endings: tuple[str, ...] = ()) -> Path:
    """Start (or go on with) a download; the job folder. One that runs already is left alone.

    `endings` are those of a data set's files. While it runs the job's state has `bytes`, `total`, `rate`
    (bytes a second) and `left_s`.
    """
    check_id(name)
    job = download_job(home, name, kind)
    target = model_folder(home, name) if kind == "model" else dataset_folder(home, name)
    start_job(job, "core.models.download", ["--kind", kind, "--id", name, "--to", str(target), *endings])
    return job


def read_download(home: Home, name: str, kind: Kind = "model") -> JobState:
    return read_job(download_job(home, name, kind))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path)
    parser.add_argument("endings", nargs="*")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--id", required=True)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_intermixed_args()
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    with Worker(args.job, "Download stopped. Start it again to go on where it was.") as worker:
        download(worker, args.kind, args.id, args.to, tuple(args.endings))


def download(worker: Worker, kind: Kind, name: str, target: Path, endings: tuple[str, ...] = ()) -> None:
    """Fetch the files of `name` into `target`, saying how far it is; Stopped where that is asked."""
    worker.update(stage="asking the hub")
    repo = hub_repo(name, kind, endings=endings)
    if repo.gated and not logged_in():
        raise UserError(gated_words(name, kind))
    with hub_words(name, kind):
        _bring_all(worker, repo, target)
    news = {"bytes": repo.bytes, "total": repo.bytes, "message": f"{name} is on this machine now."}
    worker.update(stage="done", progress=1.0, **news)


def _bring_all(worker: Worker, repo: HubRepo, target: Path) -> None:
    partial = partial_folder(target)
    partial.mkdir(parents=True, exist_ok=True)
    check_room(repo, partial)
    transfer = Transfer(worker, repo, partial)
    if repo.kind == "model":
        # a config that would be refused is refused before its gigabytes come
        fetch(transfer, [file for file in repo.files if file.path == "config.json"])
        read_config(partial)
    fetch(transfer, list(repo.files))
    wanted = {partial / file.path for file in repo.files}
    for path in partial.rglob("*"):
        # what an earlier start has brought that the repository has no more
        if path.is_file() and path not in wanted:
            path.unlink()
    if repo.kind == "model":
        inspect_model(partial)
    remove(partial / PARTS)
    replace(partial, target)


def check_room(repo: HubRepo, folder: Path) -> None:
    """Refuse a download that the disk has no room for. What is here already counts as done."""
    here = {file: max(_size(folder / file.path), _size(folder / PARTS / file.key)) for file in repo.files}
    needed = sum(max(0, file.size - size) for file, size in here.items())
    free = disk_free(folder)
    if needed and needed + _DISK_MARGIN > free:
        raise UserError(
            f"{repo.name} needs {needed / _GIB:.1f} GiB more on the disk, and {free / _GIB:.1f} GiB are free "
            f"at {folder}. Free some space, or start the app with --home on a larger disk."
        )


@dataclass(frozen=True)
class Transfer:
    """A download under way: what is fetched, where to, and who is told."""

    worker: Worker
    repo: HubRepo
    folder: Path


def fetch(transfer: Transfer, files: list[HubFile]) -> None:
    """Bring `files` into the folder, whole, several at once, and say how far they are.

    What a download that was cut off has left is taken up. The first fault ends it, and so does Stopped.
    """
    waiting: queue.SimpleQueue[HubFile] = queue.SimpleQueue()
    for file in files:
        waiting.put(file)
    ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            while True:
                bring(transfer, waiting.get_nowait())
        except queue.Empty:
            ended.put(None)
        except Exception as error:
            ended.put(error)

    busy = min(_SIDE_BY_SIDE, len(files))
    for _ in range(busy):
        # daemons: one that waits for the network must not hold the exit
        threading.Thread(target=work, daemon=True).start()
    marks: deque[tuple[float, int]] = deque()
    while busy:
        try:
            error = ended.get(timeout=_LOOK_S)
        except queue.Empty:
            _tell(transfer, marks)
            continue
        if error:
            raise error
        busy -= 1


def _tell(transfer: Transfer, marks: deque[tuple[float, int]]) -> None:
    if transfer.worker.stop_requested():
        raise Stopped
    news = progress(transfer, marks, time.monotonic())
    arrived = news["bytes"] == news["total"]
    transfer.worker.update(stage="checking what arrived" if arrived else "downloading", **news)


def progress(transfer: Transfer, marks: deque[tuple[float, int]], now: float) -> dict[str, float | None]:
    """How far it is: bytes here and in all, bytes a second over the last seconds, seconds left."""
    total = transfer.repo.bytes
    done = min(total, sum(_size(path) for path in transfer.folder.rglob("*")))
    marks.append((now, done))
    while len(marks) > 1 and now - marks[0][0] > _SPEED_OVER_S:
        marks.popleft()
    since = now - marks[0][0]
    rate = (done - marks[0][1]) / since if since > 0 else 0.0
    return {
        "bytes": done,
        "total": total,
        "progress": done / total if total else None,
        "rate": round(rate),
        "left_s": round((total - done) / rate) if rate > 0 else None,
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def bring(transfer: Transfer, file: HubFile) -> None:
    """One file. It gets its name when it is whole; one that arrives damaged is fetched once more."""
    target = transfer.folder / file.path
    if file.is_whole(target):
        return
    part = transfer.folder / PARTS / file.key
    part.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        _receive(transfer.repo, file, part)
        if file.is_whole(part):
            target.parent.mkdir(parents=True, exist_ok=True)
            return replace(part, target)
        part.unlink()
    raise UserError(
        f"{file.path} of {transfer.repo.name} arrived damaged twice and was removed. Check the disk and the "
        "connection, then press Download again."
    )


def _receive(repo: HubRepo, file: HubFile, part: Path) -> None:
    """The rest of a file, after what `part` has of it; a connection that breaks is taken up again.

    huggingface_hub's own download begins a file anew in every process (`_download_to_tmp_and_move` in its
    file_download.py takes a new temporary name each time), so only its way of asking is used.
    """
    import httpx

    failed = 0
    with hub_words(repo.name, repo.kind), open(part, "ab", buffering=0) as out:
        while True:
            before = out.tell()
            try:
                _receive_some(repo, file, out)
                # the name that it gets means that it is whole, after a power cut too
                return os.fsync(out.fileno())
            except httpx.TransportError:
                failed = 1 if out.tell() > before else failed + 1
                if failed > _PATIENCE:
                    raise
                time.sleep(2.0 ** (failed - 1))


def _receive_some(repo: HubRepo, file: HubFile, out: io.FileIO) -> None:
    """One connection's worth of a file."""
    if out.tell() > file.size:
        out.truncate(0)
    start = out.seek(0, os.SEEK_END)
    if start == file.size:
        return
    with stream(repo.name, file.path, start, kind=repo.kind, revision=repo.revision) as response:
        if response.status_code != PARTIAL:
            out.truncate(0)
            out.seek(0)
        for piece in response.iter_bytes():
            out.write(piece)
            if out.tell() > file.size:
                return


if __name__ == "__main__":
    main()
