"""What of a hub repository is fetched: safetensors or data files, never a program; did it arrive whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, get_args

from core.base.errors import UserError
from core.base.files import sha256_file
from core.models.folder import HUB_ID

Kind = Literal["model", "dataset"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# what stands beside data and is none
_ABOUT = ("readme", "license", "licence", "notice", "changelog", "dataset_info", "dataset_infos")

# what a path of one system means elsewhere: folders, drives, streams, ends of strings; halves of characters
_IMPOSSIBLE = re.compile("[\x00-\x1f\x7f\\\\:\ud800-\udfff]|[. ](/|$)")
# what Windows opens as a device, in any folder
_DEVICE = re.compile(r"(^|/)(con|prn|aux|nul|(com|lpt)[0-9])(\.[^/]*)?(/|$)", re.IGNORECASE)
_LONGEST_NAME = 240
# weights as safetensors only, no pickles, no code; makers put the same weights a second time under other
# names (consolidated.safetensors, original/…)
_MODEL_PATTERNS = (
    "model*.safetensors",
    "model*.safetensors.index.json",
    "*.json",
    "*.jinja",
    "*.model",
    "LICENSE*",
    "README.md",
)


def check_id(name: str) -> None:
    """A UserError unless `name` has the form of a hub id."""
    if not HUB_ID.fullmatch(name):
        raise UserError(f"“{name}” is not a hub id. It looks like owner/name, for example Qwen/Qwen3-0.6B.")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository with what the hub says of it; the hashes are empty where it says none.

    `sha256` is known of large files; `git_sha1`, git's name of the content, of small ones.
    """

    path: str
    size: int
    sha256: str = ""
    git_sha1: str = ""

    @property
    def key(self) -> str:
        """A name for its content: a newer version of the file has another one."""
        text = f"{self.path} {self.size} {self.sha256} {self.git_sha1}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def is_whole(self, file: Path) -> bool:
        """Whether `file` has the size and the content that the hub has."""
        if not file.is_file() or file.stat().st_size != self.size:
            return False
        if self.sha256:
            return sha256_file(file) == self.sha256
        return not self.git_sha1 or _git_sha1(file) == self.git_sha1


@dataclass(frozen=True)
class HubRepo:
    """What is fetched of a repository at one revision, small files first."""

    name: str
    kind: Kind
    revision: str
    gated: bool
    files: tuple[HubFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


def wanted(kind: Kind, path: str, endings: tuple[str, ...] = ()) -> bool:
    """Whether the file at `path` of a repository is fetched. `endings` are those of data files."""
    parts = path.split("/")
    if ".." in parts or parts[0] in ("", ".cache") or _IMPOSSIBLE.search(path) or _DEVICE.search(path):
        return False
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        return False
    # an adapter's config beside a model makes Transformers load the model that it names instead
    if kind == "model" and (len(parts) > 1 or path.startswith("adapter_")):
        return False
    if kind == "dataset":
        return path.removesuffix(".gz").endswith(endings) or path == "LICENSE"
    return any(fnmatch(path, pattern) for pattern in _MODEL_PATTERNS)


def check_complete(name: str, kind: Kind, paths: Iterable[str], endings: tuple[str, ...] = ()) -> None:
    """Refuse a repository that can't be used for want of a file, before anything is downloaded."""
    there = set(paths)
    here = {path for path in there if wanted(kind, path, endings)}
    folded = [path.casefold() for path in here]
    if len(set(folded)) < len(folded):
        raise UserError(f"{name} has files whose names differ only in capitals. Choose another one.")
    if kind == "dataset":
        if all(Path(path).name.split(".")[0].lower() in _ABOUT for path in here):
            raise UserError(
                f"{name} has no data files that can be read ({', '.join(endings)}). A loading script, if "
                "there is one, is never run. Choose another data set."
            )
    elif "adapter_config.json" in there and "config.json" not in here:
        raise UserError(f"{name} is an adapter, not a model. Choose the model that it was trained on.")
    elif not any(path.endswith(".safetensors") for path in here):
        raise UserError(
            f"{name} has no safetensors weights. Choose a model that is published as safetensors."
        )
    elif missing := {"config.json", "tokenizer.json"} - here:
        raise UserError(
            f"{name} has no {' and no '.join(sorted(missing))}, so it can't be trained here. Choose a model "
            "in Hugging Face format with a fast tokenizer."
        )


def _git_sha1(file: Path) -> str:
    """How git names a file's content: SHA-1 of a header and the bytes. No protection, but it finds damage."""
    raw = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()
