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
from core.fit.measured import place_name
from core.fit.workload import Place

WORKER = "core.train.calibrate"


def calibration_job(home: Home) -> Path:
    """The folder of the job that measures (`core.base.jobs`)."""
    return home.root / "calibration"


def start_calibration(home: Home) -> Path:
    """Start the measurement, which takes some ten seconds; its job folder. One that runs goes on."""
    from core.base.jobs import read_job, start_job

    job = calibration_job(home)
    if not read_job(job).active:
        start_job(job, WORKER, ["--home", str(home.root)])
    return job


def read_calibration(home: Home, place: Place) -> float | None:
    """Operations a second of a training on this place; None where nobody measured it."""
    found = _read(home).get(place_name(place))
    rate = found.get("operations_per_s") if isinstance(found, dict) else None
    usable = (
        isinstance(rate, (int, float)) and not isinstance(rate, bool) and math.isfinite(rate) and rate > 0
    )
    return float(rate) if usable and rate is not None else None


def write_calibration(home: Home, card: str, operations_per_s: float) -> None:
    """Keep what was measured on one kind of place; another place's stays."""
    entry = {"operations_per_s": operations_per_s, "measured": now()}
    write_json(_file(home), {**_read(home), card: entry})


def _read(home: Home) -> dict[str, Any]:
    with suppress(UserError, OSError):
        found = read_json(_file(home), {})
        return found if isinstance(found, dict) else {}
    return {}


def _file(home: Home) -> Path:
    return calibration_job(home) / "speeds.json"
