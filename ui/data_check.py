"""How the check of the data goes, what was recognised, and the verdict in one sentence."""

from __future__ import annotations

from core.base.jobs import JobState
from core.data.check import CheckState
from core.data.kinds import KINDS
from core.data.report import Report
from ui.html import Mark, button, count, duration, esc, facts, meter, notice, size

_FORMATS = {"jsonl": "JSONL", "json": "JSON", "csv": "CSV", "parquet": "Parquet", "text": "plain text"}
_ENCODINGS = {"utf-8": "UTF-8", "utf-8-bom": "UTF-8 with BOM", "utf-16": "UTF-16"}
_SHAPES = {
    "alpaca": "an instruction and its answer in every row (Alpaca)",
    "prompt/completion": "a prompt and its completion in every row",
    "question/answer": "a question and its answer in every row",
    "messages": "a chat in every row (messages with role and content)",
    "sharegpt": "a chat in every row (ShareGPT)",
    "named speakers": "a chat in every row, the speakers told apart by their names",
    "mapped columns": "a question and its answer in every row, from the columns that you named",
    "plain text": "plain text, which the model learns to continue",
}
_VERDICTS: dict[str, tuple[Mark, str]] = {
    "accept": ("ok", "This data can be used"),
    "warn": ("warn", "This data can be used, with something to look at"),
    "reject": ("bad", "This data can’t be used as it is"),
}


def state_html(state: CheckState, report: Report | None) -> str:
    """Progress while it is read; then verdict and numbers."""
    if report is not None:
        return verdict_html(report)
    again = button("data-check-again", "check", "Check again", "quiet")
    if not state.failure:
        return _reading_html(state.job)
    if state.job.status == "stopped":
        return notice("info", "The check was stopped", "Nothing of it was kept.", again)
    return notice("bad", "The check has failed", state.failure, again)


def _reading_html(job: JobState) -> str:
    words = "Starting to read …"
    fields = job.fields
    if fields.get("rows"):
        words = f"Reading: {count(int(fields['rows']), 'row')} so far, {fields.get('rows_per_s', 0):,} rows/s"
        words += _left(fields.get("bytes", 0), fields.get("total", 0), job.fields)
    if job.stage == "comparing":
        words = "Comparing the rows with each other"
    cancel = button("data-cancel", "cancel", "Cancel", "quiet")
    return (
        '<div class="lg-wait lg-checking"><h3>Checking every row</h3>'
        f'<p role="status">{esc(words)}</p>{meter(job.progress, "Check of the data")}{cancel}</div>'
    )


def _left(done: int, total: int, fields: dict[str, float]) -> str:
    """How long the reading still takes, from the rows so far."""
    speed = fields.get("rows_per_s", 0)
    if not done or not total or not speed:
        return ""
    seconds = fields["rows"] / speed * (total - done) / done
    return f", {duration(seconds)} left" if seconds >= 3 else ""


def verdict_html(report: Report) -> str:
    """The verdict, and what the data is in numbers."""
    mark, title = _VERDICTS[report.verdict]
    return notice(mark, title, _sentence(report)) + facts(_numbers(report))


def _sentence(report: Report) -> str:
    """What decides the verdict, and what to do about it."""
    if report.verdict == "reject":
        return f"{report.first_error} {reject_reason(report)}".strip()
    shape = f"Recognised: {_SHAPES.get(report.shape, report.shape)}." if report.shape else ""
    standing = [item for item in report.problems if item.stands and item.severity == "warning"]
    if not standing:
        return shape
    kinds = ", ".join(item.kind for item in standing[:4])
    more = f" and {len(standing) - 4} more" if len(standing) > 4 else ""
    return f"{shape} Look at: {kinds}{more}."


def reject_reason(report: Report) -> str:
    """What has to be done before the data can be used."""
    errors = [item for item in report.problems if item.stands and item.severity == "error"]
    if any(item.kind == "every answer cut away" for item in errors):
        return "Take the suggested maximum length below."
    if errors and all(KINDS[item.kind].fix for item in errors):
        return "Leave these rows out with the button below, or correct the file."
    return "Correct the file, or choose other data."


def _numbers(report: Report) -> list[tuple[str, str]]:
    return [
        ("Rows read", f"{report.rows_read:,}"),
        ("Can be used", f"{report.rows_usable:,}"),
        ("Left out", f"{report.rows_dropped:,}"),
        ("Format", _format(report)),
        ("Files" if len(report.files) > 1 else "File", _files(report)),
    ]


def _format(report: Report) -> str:
    names = ", ".join(_FORMATS.get(name, name) for name in report.format.split(", "))
    encodings = ", ".join(_ENCODINGS.get(name, name) for name in report.encoding.split(", "))
    return ", ".join(filter(None, (names, encodings))) or "unknown"


def _files(report: Report) -> str:
    total = size(sum(file.size for file in report.files))
    packed = sorted({file.packed for file in report.files if file.packed})
    many = f"{len(report.files)}, " if len(report.files) > 1 else ""
    return f"{many}{total}{' ' + '/'.join(packed) if packed else ''}"
