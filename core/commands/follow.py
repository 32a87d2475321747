"""Follow a worker from the terminal: print what it says until it is over, and say how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.base.errors import UserError, WorkerFailed
from core.base.events import EventLog
from core.base.jobs import JobState, read_job, request_stop, wait_job


def follow(folder: Path, start: Callable[[], Any]) -> None:
    """Start a job and print what it says until it is over.

    Ctrl-C asks it to stop; how it ended is raised if it went wrong.
    """
    log = EventLog(folder / "events.jsonl")
    offset = log.size()
    start()
    try:
        while True:
            # the state is read first: what was logged before it said "done" is then printed, too
            state = read_job(folder)
            offset = _print_news(log, offset, state)
            if not state.active:
                break
            time.sleep(0.3)
    except KeyboardInterrupt:
        print("Stopping at the next safe point …", flush=True)
        request_stop(folder)
        state = wait_job(folder, timeout_s=60)
    raise_unless_done(state, folder)


def raise_unless_done(state: JobState, folder: Path) -> None:
    if state.status == "failed" and state.fields.get("error") == "UserError":
        raise UserError(state.message)
    if state.status in ("failed", "died", "none"):
        raise WorkerFailed(state.message, folder / "worker.log")
    if state.status == "stopped":
        raise UserError(state.message or "Stopped.")
    if state.active:
        raise UserError(f"It has not stopped yet and goes on in the background; {folder} shows how it ends.")


def _print_news(log: EventLog, offset: int, state: JobState) -> int:
    events, offset = log.read(offset)
    for event in events:
        line = _line(event)
        if line:
            print(line, flush=True)
    return offset


def _line(event: dict[str, Any]) -> str:
    kind = event["kind"]
    if kind == "stage":
        return f"· {event['stage']}"
    if kind == "started":
        rows = f", {event['rows']:,} rows to train on and {event['heldout_rows']:,} held out"
        engine = f"engine {event.get('engine')} ({event.get('reason')}), precision {event.get('precision')}"
        return f"· {engine}{rows if 'rows' in event else ''}"
    if kind == "warning":
        return f"! {event.get('message')}"
    if kind == "eval":
        return f"  step {event['step']}: held-out loss {event['loss']:.3f}"
    if kind == "log" and event["step"] % 5 == 0:
        return f"  step {event['step']}/{event.get('total_steps')}: loss {event['loss']:.3f}, {_speed(event)}"
    return ""


def _speed(event: dict[str, Any]) -> str:
    speed, left = event.get("tokens_per_s"), event.get("eta_s")
    tokens = f"{speed:.0f} tokens/s" if speed else "no speed yet"
    return tokens + (f", {left:.0f} s left" if left is not None else "")
