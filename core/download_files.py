"""Fetch the files of a hub repository side by side, say how far they are, check that each arrived whole."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UserError
from core.hub_account import endpoint, hub_words
from core.hub_files import HubFile, HubRepo
from core.jobs import Worker

# one connection rarely fills the line, many are refused
_SIDE_BY_SIDE = 4
_TRIES = 2
_LOOK_S = 1.0
# the speed shown is that of the last seconds
_SPEED_OVER_S = 15.0


@dataclass
class Fetch:
    """A download under way: what is fetched, where to, and who is told."""

    worker: Worker
    repo: HubRepo
    folder: Path
    checked: set[str] = field(default_factory=set)


def fetch(transfer: Fetch, files: list[HubFile]) -> None:
    """Bring `files` into the folder, whole. One that arrives damaged is fetched once more."""
    waiting = [file for file in files if file.path not in transfer.checked]
    for _ in range(_TRIES):
        _bring(transfer, waiting)
        waiting = _damaged(transfer, waiting)
        if not waiting:
            return
    names = ", ".join(file.path for file in waiting)
    raise UserError(
        f"{names} of {transfer.repo.name} arrived damaged twice and was removed. Check the disk and the "
        "connection, then press Download again."
    )


def _bring(transfer: Fetch, files: list[HubFile]) -> None:
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(transfer, over), daemon=True)
    watcher.start()
    try:
        _side_by_side(transfer, files)
    finally:
        over.set()
        watcher.join()


def _side_by_side(transfer: Fetch, files: list[HubFile]) -> None:
    """Several files at once; the first fault ends it. Daemon threads: a slow one must not hold the exit."""
    waiting: queue.SimpleQueue[HubFile] = queue.SimpleQueue()
    for file in files:
        waiting.put(file)
    ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            while True:
                _one(transfer, waiting.get_nowait())
        except queue.Empty:
            ended.put(None)
        except Exception as error:
            ended.put(error)

    count = min(_SIDE_BY_SIDE, len(files))
    for _ in range(count):
        threading.Thread(target=work, daemon=True).start()
    for _ in range(count):
        if error := ended.get():
            raise error


def _one(transfer: Fetch, file: HubFile) -> None:
    from huggingface_hub import hf_hub_download

    repo = transfer.repo
    with hub_words(repo.name, repo.kind):
        hf_hub_download(
            repo.name,
            file.path,
            repo_type=repo.kind,
            revision=repo.revision,
            local_dir=transfer.folder,
            endpoint=endpoint(),
        )


def _damaged(transfer: Fetch, files: list[HubFile]) -> list[HubFile]:
    """Those that are not what the hub has; they are removed, so that they are fetched anew."""
    damaged = []
    for number, file in enumerate(files, 1):
        transfer.worker.update(stage=f"checking file {number} of {len(files)}")
        if transfer.worker.stop_requested():
            _stop(transfer.worker)
        if file.is_whole(transfer.folder):
            transfer.checked.add(file.path)
        else:
            (transfer.folder / file.path).unlink(missing_ok=True)
            damaged.append(file)
    return damaged


def _watch(transfer: Fetch, over: threading.Event) -> None:
    seen: deque[tuple[float, int]] = deque()
    while not over.wait(_LOOK_S):
        if transfer.worker.stop_requested():
            _stop(transfer.worker)
        transfer.worker.update(stage="downloading", **progress(transfer, seen, time.monotonic()))


def progress(transfer: Fetch, seen: deque[tuple[float, int]], now: float) -> dict[str, float | int | None]:
    """How far it is: bytes here and in all, bytes a second over the last seconds, seconds left."""
    total = transfer.repo.bytes
    done = min(total, sum(_size(path) for path in transfer.folder.rglob("*")))
    seen.append((now, done))
    while len(seen) > 1 and now - seen[0][0] > _SPEED_OVER_S:
        seen.popleft()
    since = now - seen[0][0]
    rate = (done - seen[0][1]) / since if since > 0 else 0.0
    return {
        "bytes": done,
        "total": total,
        "progress": done / total if total else None,
        "rate": round(rate),
        "left_s": round((total - done) / rate) if rate > 0 else None,
    }


def _stop(worker: Worker) -> None:
    worker.stopped("Download stopped. Start it again to go on where it was.")
    worker.update(status="stopped")
    # the library has no way to be asked; what is on disk is kept for the next start
    os._exit(0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
