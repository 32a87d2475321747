"""The short measurement of this machine's arithmetic: where it is kept, and what it says."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.events import now
from core.base.files import read_json, write_json
from core.base.home import Home
from core.base.jobs import read_job, start_job
from core.fit.training import Place

WORKER = "core.train.calibrate"


def calibration_job(home: Home) -> Path:
    """The folder of the job that measures (`core.base.jobs`)."""
    return home.root / "calibration"


def start_calibration(home: Home) -> Path:
    """Start the measurement, which takes some ten seconds; its job folder. One that runs goes on."""
    job = calibration_job(home)
    if not read_job(job).active:
        start_job(job, WORKER, ["--home", str(home.root)])
    return job


def read_calibration(home: Home, place: Place) -> float | None:
    """Operations a second of a training on this place; None where nobody measured it."""
    entry = _read(home).get(place.name)
    rate = entry.get("operations_per_s") if isinstance(entry, dict) else None
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        return None
    return float(rate) if math.isfinite(rate) and rate > 0 else None


def write_calibration(home: Home, card: str, operations_per_s: float) -> None:
    """Keep what was measured on one kind of place; another place's stays."""
    entry = {"operations_per_s": operations_per_s, "measured": now()}
    write_json(_file(home), {**_read(home), card: entry})


def _read(home: Home) -> dict[str, Any]:
    with suppress(UserError, OSError):
        speeds = read_json(_file(home), {})
        return speeds if isinstance(speeds, dict) else {}
    return {}


def _file(home: Home) -> Path:
    return calibration_job(home) / "speeds.json"
