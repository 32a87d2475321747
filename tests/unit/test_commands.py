"""How a followed job ends decides the exit code: only one that is done counts as done."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UserError, WorkerFailed
from core.follow import raise_unless_done
from core.jobs import JobState


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (JobState("stopped", "Stopped at step 3."), UserError),
        (JobState("running"), UserError),
        (JobState("failed", "No answer.", fields={"error": "UserError"}), UserError),
        (JobState("failed", "A crash.", fields={"error": "KeyError"}), WorkerFailed),
        (JobState("died", "Gone."), WorkerFailed),
    ],
)
def test_what_is_not_done_is_an_error(state: JobState, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        raise_unless_done(state, tmp_path)


def test_done_is_no_error(tmp_path: Path) -> None:
    raise_unless_done(JobState("done"), tmp_path)
