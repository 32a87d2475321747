"""Takes chosen files out of downloaded archives, and nothing that would land elsewhere."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from core.base.errors import UserError
from core.base.files import replace, sha256_file


def check_sha256(path: Path, expected: str) -> None:
    """A UserError unless `path` has the SHA-256 `expected` (hex)."""
    found = sha256_file(path)
    if found != expected:
        raise UserError(
            f"{path.name} is not the file that was expected: its SHA-256 begins {found[:12]}, "
            f"not {expected[:12]}. It is not used."
        )


def unpack_chosen(archive: Path, prefix: str, wanted: tuple[str, ...], target: Path) -> None:
    """Put the members of the tar `archive` below `<top folder>/<prefix>` that `wanted` names into `target`.

    `wanted` holds files ("LICENSE") and folders ("gguf-py/"). Written beside `target`, then renamed.
    Links, devices and paths that climb out are refused with a UserError.
    """
    aside = target.with_name(target.name + ".unpacking")
    shutil.rmtree(aside, ignore_errors=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = _chosen_name(member.name, prefix, wanted)
            if name is None or member.isdir():
                continue
            _write_member(tar, member, aside, name)
    missing = [name for name in wanted if not (aside / name).exists()]
    if missing:
        raise UserError(f"{archive.name} lacks {', '.join(missing)}.")
    shutil.rmtree(target, ignore_errors=True)
    replace(aside, target)


def _chosen_name(name: str, prefix: str, wanted: tuple[str, ...]) -> str | None:
    """The path of a member below the prefix if it is wanted, else None."""
    _, _, below = name.partition("/")
    if not below.startswith(prefix):
        return None
    inner = below[len(prefix) :]
    chosen = any(inner.startswith(want) if want.endswith("/") else inner == want for want in wanted)
    return inner if chosen else None


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or PurePosixPath(name).is_absolute() or any(":" in part for part in parts):
        raise UserError(f"The archive holds a path that leaves its folder ({member.name}). It is not used.")
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise UserError(f"The archive holds more than plain files ({member.name}). It is not used.")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, open(path, "wb") as file:
        shutil.copyfileobj(source, file)


def unzip_one(archive: Path, member: str, sha256: str, target: Path) -> None:
    """Put one `member` of the zip `archive` at `target` if its content has the hash `sha256`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(target.name + ".unpacking")
    with zipfile.ZipFile(archive) as zipped, zipped.open(member) as source, open(aside, "wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    try:
        check_sha256(aside, sha256)
    except UserError:
        aside.unlink()
        raise
    replace(aside, target)
