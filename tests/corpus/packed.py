"""Data in gzip and zip, and archives that must not be trusted."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from bz2 import compress as bzip2

from tests.corpus.case import ROWS, accept, jsonl, judged, reject, table, warn

LINES = jsonl(ROWS)
CHUNK = 1 << 20
BOMB_CHUNKS = 2048  # 2 GiB once unpacked


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            # a ZipInfo of its own has the fixed date of 1980
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, content)
    return out.getvalue()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _encrypted() -> bytes:
    """A zip whose entry says that it is encrypted, as every reader sees it."""
    raw = bytearray(zipped({"train.jsonl": bytes(12) + LINES}, zipfile.ZIP_STORED))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + offset] |= 1
    return bytes(raw)


def _deflated(block: bytes, times: int) -> bytes:
    """A deflate stream of `times` × `block`, made without deflating more than one block."""
    first = zlib.compressobj(9, wbits=-15)
    part = first.compress(block) + first.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, wbits=-15)
    return part * times + last.flush()


def _gzip_bomb(block: bytes) -> bytes:
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return header + _deflated(block, BOMB_CHUNKS) + bytes(8)


def _zip_bomb(block: bytes, says: int | None = None) -> bytes:
    """A zip of one file that unpacks to 2 GiB. `says`: the size that its directory claims."""
    stream = _deflated(block, BOMB_CHUNKS)
    size = len(block) * BOMB_CHUNKS if says is None else says
    name = b"train.jsonl"
    fields = (
        b"\x14\x00\x00\x00\x08\x00\x00\x00\x21\x00"
        + zlib.crc32(b"").to_bytes(4, "little")
        + len(stream).to_bytes(4, "little")
        + size.to_bytes(4, "little")
        + len(name).to_bytes(2, "little")
        + b"\x00\x00"
    )
    local = b"PK\x03\x04" + fields + name + stream
    entry = b"PK\x01\x02\x14\x00" + fields + bytes(14) + name
    ends = len(entry).to_bytes(4, "little") + len(local).to_bytes(4, "little") + b"\x00\x00"
    return local + entry + b"PK\x05\x06" + bytes(4) + b"\x01\x00\x01\x00" + ends


def _rows_block() -> bytes:
    line = jsonl(ROWS[:1])
    return line * (CHUNK // len(line))


def _tar(*members: tuple[str, bytes | None], mode: str = "w") -> bytes:
    """A tar of files; a member without content is a link to /etc/passwd."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content or b"")
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def _multi_member() -> bytes:
    return b"".join(packed(jsonl([row])) for row in ROWS)


CASES = [
    accept("packed.jsonl.gz", packed(LINES), read=3, usable=3),
    accept("packed.csv.gz", packed(table()), read=3),
    accept("packed.json.gz", packed(b"[" + LINES.rstrip().replace(b"\n", b",") + b"]"), read=3),
    accept("packed-named.jsonl", packed(LINES), read=3),
    accept("packed-named.csv", packed(table()), read=3),
    accept("packed-utf16.csv.gz", packed(b"\xff\xfe" + table().decode().encode("utf-16-le")), read=3),
    accept("two-members.jsonl.gz", _multi_member, read=3),
    accept("split-in-a-row.jsonl.gz", packed(LINES[:77]) + packed(LINES[77:]), read=3),
    accept("zero-padded.jsonl.gz", packed(LINES) + bytes(512), read=3),
    accept("packed.zip", zipped({"train.jsonl": LINES}), read=3, usable=3),
    accept("packed-csv.zip", zipped({"train.csv": table()}), read=3),
    accept("stored.zip", zipped({"train.jsonl": LINES}, zipfile.ZIP_STORED), read=3),
    accept("zip-named.jsonl", zipped({"train.jsonl": LINES}), read=3),
    accept("in-a-folder.zip", zipped({"data/": b"", "data/train.jsonl": LINES}), read=3),
    accept(
        "made-on-a-mac.zip",
        zipped({"train.jsonl": LINES, "__MACOSX/._train.jsonl": b"\0\x05\x16\x07" + bytes(60)}),
        read=3,
    ),
    warn(
        "same-rows-often.jsonl.gz",
        lambda: packed(LINES * 2000),
        {"duplicates": 5997, "alike answers": 1},
        read=6000,
    ),
    reject(
        "two-files.zip",
        zipped({"train.bin": LINES, "test.bin": LINES}),
        "of 2 files (train.bin, test.bin",
    ),
    reject("empty.zip", zipped({}), "of 0 files"),
    reject("only-a-folder.zip", zipped({"data/": b""}), ""),
    reject("empty-file.zip", zipped({"train.jsonl": b""}), "empty"),
    reject("empty.gz", packed(b""), "empty"),
    reject("climbing.zip", zipped({"../train.jsonl": LINES}), "leads out of its folder"),
    reject("climbing-backslash.zip", zipped({"..\\train.jsonl": LINES}), ".."),
    reject("absolute.zip", zipped({"/tmp/train.jsonl": LINES}), "leads out of its folder"),
    reject("encrypted.zip", _encrypted, "encrypted"),
    reject("cut.zip", zipped({"train.jsonl": LINES})[:-40], ""),
    reject(
        "bad-checksum.zip",
        zipped({"train.jsonl": LINES}, zipfile.ZIP_STORED).replace(b"penguins", b"pinguins"),
        "",
    ),
    reject(
        "cut.jsonl.gz",
        packed(jsonl({**row, "output": row["output"] + str(n)} for n in range(300) for row in ROWS))[:-200],
        "cut off or damaged",
    ),
    reject("cut-header.gz", b"\x1f\x8b\x08", "cut off or damaged"),
    reject("bad-checksum.gz", packed(LINES)[:-8] + bytes(8), "can't be read"),
    reject("garbage-after.jsonl.gz", packed(LINES) + b"not a member of it", ""),
    reject("gz-of-gz.jsonl.gz", packed(packed(LINES)), "packed twice"),
    reject("zip-of-zip.zip", zipped({"inner.zip": zipped({"train.jsonl": LINES})}), ""),
    reject("bomb-of-blanks.zip", lambda: _zip_bomb(b" " * CHUNK), ""),
    reject("bomb-of-letters.zip", lambda: _zip_bomb(b"a" * CHUNK), ""),
    reject("bomb-of-rows.zip", lambda: _zip_bomb(_rows_block()), ""),
    reject("bomb-that-lies.zip", lambda: _zip_bomb(_rows_block(), says=1000), ""),
    reject("bomb-of-blanks.jsonl.gz", lambda: _gzip_bomb(b" " * CHUNK), ""),
    reject("bomb-of-brackets.json.gz", lambda: _gzip_bomb(b"[" * CHUNK), ""),
    reject("bomb-of-rows.jsonl.gz", lambda: _gzip_bomb(_rows_block()), ""),
    reject("bomb-of-commas.csv.gz", lambda: _gzip_bomb(b"," * CHUNK), ""),
    reject("link.tar", _tar(("train.jsonl", None)), "a tar archive"),
    reject("files.tar", _tar(("train.jsonl", LINES)), "a tar archive"),
    reject("link-named.jsonl", _tar(("train.jsonl", None)), ""),
    reject("files.tar.gz", packed(_tar(("train.jsonl", LINES))), "a tar archive"),
    reject("tar-in.zip", zipped({"train.tar": _tar(("train.jsonl", LINES))}), ""),
    reject("packed.jsonl.bz2", bzip2(LINES), ""),
    reject("packed.jsonl.xz", lzma.compress(LINES), ""),
    reject("packed.jsonl.zst", b"\x28\xb5\x2f\xfd\x04\x58" + LINES[:90], ""),
    reject("packed.7z", b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(range(256)), ""),
    reject("packed.rar", b"Rar!\x1a\x07\x01\x00" + bytes(range(256)), ""),
    judged("gz-in.zip", zipped({"train.jsonl.gz": packed(LINES)})),
    judged("comment.zip", zipped({"train.jsonl": LINES})[:-2] + b"\x05\x00hello"),
    judged("junk-before.zip", b"#!/bin/sh\n" + zipped({"train.jsonl": LINES})),
]
