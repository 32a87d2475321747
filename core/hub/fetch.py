"""Fetch the files of a hub repository side by side, say how far they are, check that each arrived whole."""

from __future__ import annotations

import io
import os
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError
from core.base.files import replace
from core.base.jobs import Worker
from core.hub.files import HubFile, HubRepo
from core.models.hub import endpoint, hub_words

# one connection rarely fills the line, many are refused
_SIDE_BY_SIDE = 4
_TRIES = 2
# how often in a row a connection may fail without a byte, waiting 1, 2, 4, 8 s in between
_PATIENCE = 4
_TIMEOUT_S = 20
_PARTIAL = 206
_LOOK_S = 1.0
# the speed shown is that of the last seconds
_SPEED_OVER_S = 15.0
PARTS = ".parts"


@dataclass(frozen=True)
class Fetch:
    """A download under way: what is fetched, where to, and who is told."""

    worker: Worker
    repo: HubRepo
    folder: Path


def fetch(transfer: Fetch, files: list[HubFile]) -> None:
    """Bring `files` into the folder, whole; what a download that was cut off has left is taken up."""
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
                bring(transfer, waiting.get_nowait())
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


def bring(transfer: Fetch, file: HubFile) -> None:
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
            replace(part, target)
            return
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
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

    if out.tell() > file.size:
        out.truncate(0)
    start = out.seek(0, os.SEEK_END)
    if start == file.size:
        return
    url = hf_hub_url(repo.name, file.path, repo_type=repo.kind, revision=repo.revision, endpoint=endpoint())
    # packed for the journey, a file could not be taken up in its middle
    headers = {**build_hf_headers(), "Accept-Encoding": "identity", "Range": f"bytes={start}-"}
    request = {"headers": headers, "timeout": _TIMEOUT_S, "follow_redirects": True}
    # a busy hub is asked again here; a broken connection by the caller, who knows what has come
    with http_stream_backoff("GET", url, retry_on_exceptions=(), **request) as response:
        hf_raise_for_status(response)
        if response.status_code != _PARTIAL:
            out.truncate(0)
            out.seek(0)
        for piece in response.iter_bytes():
            out.write(piece)
            if out.tell() > file.size:
                return


def _watch(transfer: Fetch, over: threading.Event) -> None:
    marks: deque[tuple[float, int]] = deque()
    while not over.wait(_LOOK_S):
        if transfer.worker.stop_requested():
            _stop(transfer.worker)
        news = progress(transfer, marks, time.monotonic())
        arrived = news["bytes"] == news["total"]
        transfer.worker.update(stage="checking what arrived" if arrived else "downloading", **news)


def progress(transfer: Fetch, marks: deque[tuple[float, int]], now: float) -> dict[str, float | int | None]:
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


def _stop(worker: Worker) -> None:
    worker.stopped("Download stopped. Start it again to go on where it was.")
    worker.update(status="stopped")
    # threads that wait for the network can't be asked; what is on disk is kept for the next start
    os._exit(0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
