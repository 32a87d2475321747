"""A download from the hub on the page: how it stands, with the one button that fits."""

from __future__ import annotations

from core.jobs import JobState
from ui.html import actions, button, esc, meter, notice, size


def hub_id(text: str) -> str:
    """The id in what was typed: `owner/name`, also when the whole address was pasted."""
    parts = text.strip().split("?")[0].rstrip("/").split("/")
    return "/".join(parts[-2:]) if "://" in text and len(parts) >= 5 else text.strip()


def download_html(job: JobState, step: str, what: str) -> str:
    """`step` begins the ids of the buttons; `what` is “model” or “data”."""
    if job.active:
        words = job.stage or "starting"
        if job.fields.get("total"):
            words = f"{size(job.fields.get('bytes', 0))} of {size(job.fields['total'])}"
        stop = button(f"{step}-stop-download", "stop-download", "Stop the download", "quiet")
        bar = meter(job.progress, "Download")
        return f'<div class="lg-wait"><p>Downloading: {esc(words)}</p>{bar}{stop}</div>'
    text = "Download" if job.status in ("none", "done") else "Download again"
    download = button(f"{step}-download", "download", text)
    if job.status in ("failed", "died"):
        return notice("bad", f"The {what} was not downloaded", job.message, download)
    if job.status == "stopped":
        return notice("info", "The download is stopped", job.message, download)
    return actions(download)
