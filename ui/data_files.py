"""The first part of the Data step: which data. The sample, files brought here, or a place on this machine."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

from core.hub.download import dataset_folder, read_download
from core.models import HUB_ID
from ui.bench import Bench
from ui.choices import Choices
from ui.download import download_html
from ui.files import DATA_SUFFIXES
from ui.html import checks, choice_cards, count, esc, size, text_field

_OPTIONS = [
    (
        "sample",
        "Sample data",
        "Short chats in which everything is answered in pirate speech: easy to see whether it works.",
    ),
    (
        "file",
        "Your own files",
        "Questions and answers, whole chats or plain text. JSONL, JSON, CSV, TSV, Parquet, txt or md.",
    ),
    ("path", "A folder or file on this machine", "It is read where it lies; nothing is copied or changed."),
    (
        "hub",
        "From the Hugging Face hub",
        "Type the id of a data set. Only data files are fetched, never a script. Needs the internet once.",
    ),
]
_LISTED = 6


def choice_html(bench: Bench) -> str:
    """The kinds of data as cards."""
    return choice_cards("data", "Kind of data", _OPTIONS, bench.choices().data_kind)


def drop_html(bench: Bench) -> str:
    """Where files are dropped. Its text stays the same, so what is said about an upload stays too."""
    if bench.choices().data_kind != "file":
        return ""
    accept = ",".join(DATA_SUFFIXES)
    return (
        '<label class="lg-drop" for="data-upload"><b>Drop files here</b>'
        "<small>They are copied into your home folder and go nowhere else.</small>"
        '<span class="lg-second" aria-hidden="true">Choose files</span>'
        f'<input id="data-upload" type="file" accept="{accept}" aria-label="Choose files" multiple '
        "data-upload></label>"
        '<div class="lg-upload" id="data-upload-state" aria-live="polite"></div>'
    )


def picked_html(bench: Bench) -> str:
    """The chosen kind's own field: files brought before, or the path."""
    choices = bench.choices()
    if choices.data_kind == "file":
        return _known_html(known_files(bench), choices)
    if choices.data_kind == "path":
        return _path_html(choices)
    return _hub_html(bench, choices) if choices.data_kind == "hub" else ""


def known_files(bench: Bench) -> list[Path]:
    """The data files in the home folder, newest first."""
    found = [
        path
        for path in bench.home.datasets.iterdir()
        if path.name.lower().endswith(DATA_SUFFIXES) and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _known_html(known: list[Path], choices: Choices) -> str:
    if not known:
        return ""
    # chosen ones first; a tick must not move the others about, so among themselves they stay by age
    shown = known[:_LISTED] + [path for path in known[_LISTED:] if path.name in choices.files]
    rest = [path for path in known if path not in shown]
    items = "".join(_file_html(path, path.name in choices.files) for path in shown)
    more = "".join(_file_html(path, False) for path in rest)
    older = (
        f'<details class="lg-more" id="data-older"><summary>{count(len(rest), "older file")}</summary>'
        f'<div class="lg-files">{more}</div></details>'
        if rest
        else ""
    )
    legend = "Files you brought <small>Tick several to train on them together.</small>"
    files = f'<div class="lg-files">{items}</div>{older}'
    return f'<fieldset class="lg-brought"><legend>{legend}</legend>{files}</fieldset>'


def _file_html(path: Path, chosen: bool) -> str:
    name = esc(path.name)
    identifier = f"data-file-{crc32(path.name.encode()):08x}"  # a name may hold what an id can't
    return (
        f'<label class="lg-file"><input type="checkbox" id="{identifier}" data-name="file:{name}"'
        f"{' checked' if chosen else ''}><span>{name}</span>"
        f"<small>{size(path.stat().st_size)}</small></label>"
    )


def _path_html(choices: Choices) -> str:
    example = esc(Path.home() / "data" / "questions.jsonl")
    field = text_field("data-path", "path", "Folder or file", choices.path, f'placeholder="{example}"')
    if choices.path and not Path(choices.path).expanduser().exists():
        return field + checks([("bad", f"There is nothing at {choices.path}. Check the spelling.")])
    return field


def _hub_html(bench: Bench, choices: Choices) -> str:
    name = choices.data_hub
    field = text_field("data-hub", "data-hub", "Hub id of the data set", name, 'placeholder="owner/name"')
    if not name or dataset_folder(bench.home, name).is_dir():
        return field
    if not HUB_ID.fullmatch(name):
        return field + checks([("bad", f"“{name}” is not a hub id. It looks like owner/name.")])
    return field + download_html(read_download(bench.home, name, "dataset"), "data", "data")
