"""A download from the hub on the page: how it goes or how it ended, with the one button that fits."""

from __future__ import annotations

from core.base.jobs import JobState
from ui.html import actions, button, duration, esc, meter, notice, size


def hub_id(text: str) -> str:
    """The id in what was typed: `owner/name`, also when an address of its page was pasted."""
    _, found, address = text.strip().partition("://")
    parts = address.split("?")[0].split("#")[0].split("/")[1:]
    if parts[:1] in (["datasets"], ["models"]):
        parts = parts[1:]
    return "/".join(parts[:2]) if found and len(parts) >= 2 else text.strip()


def download_html(job: JobState, step: str, what: str) -> str:
    """`step` begins the ids of the buttons; `what` is “model” or “data”."""
    if job.active:
        return _running_html(job, step)
    text = "Go on with the download" if job.status == "stopped" else "Download"
    if job.status in ("failed", "died"):
        text = "Download again"
    download = button(f"{step}-download", "download", text, "primary")
    if job.status in ("failed", "died"):
        return notice("bad", f"The {what} was not downloaded", job.message, download)
    if job.status == "stopped":
        return notice("info", "The download is stopped", job.message, download)
    return actions(download)


def _running_html(job: JobState, step: str) -> str:
    stop = button(f"{step}-stop-download", "stop-download", "Stop the download", "quiet")
    words = esc(_how_far(job))
    return f'<div class="lg-wait lg-loading"><p>{words}</p>{meter(job.progress, "Download")}{stop}</div>'


def _how_far(job: JobState) -> str:
    """What the download does now, in words."""
    done, total, rate, left = (job.fields.get(name) or 0 for name in ("bytes", "total", "rate", "left_s"))
    if job.stage.startswith("checking"):
        return f"{job.stage.capitalize()} against the hub’s sizes and hashes"
    if not total:
        return f"Download: {job.stage or 'starting'}"
    words = f"Downloading: {size(done)} of {size(total)}"
    return f"{words}, {size(rate)}/s, {duration(left)} left" if rate and left else words
