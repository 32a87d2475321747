"""Files that are no instruction data at all, under names that promise it. None of them may be executed."""

from __future__ import annotations

import json
import pickle
import struct
import zlib
from typing import Any

from tests.corpus.case import ROWS, judged, reject
from tests.corpus.packed import zipped

# whoever unpickles, imports or loads one of these files leaves a file of this name in the working folder
CANARY = "canary-was-here"

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><title>404 Not Found</title></head>
<body><h1>Not Found</h1><p>The file that you asked for is not here.</p></body>
</html>
"""
POINTER = """version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 12345
"""
SCRIPT = f"""import pathlib

pathlib.Path({CANARY!r}).touch()
print("instruction,output")
"""
XML = """<?xml version="1.0" encoding="UTF-8"?>
<rows><row><instruction>Where?</instruction><output>There, of course.</output></row></rows>
"""
YAML = f"""- instruction: Where do penguins live?
  output: On the coasts of Antarctica.
- !!python/object/apply:pathlib.Path.touch [{CANARY}]
"""
LOG = """2026-11-21 10:00:00,123 INFO started
2026-11-21 10:00:01,456 WARNING this is slow, very slow
2026-11-21 10:00:02,789 ERROR it failed
"""


class _Canary:
    def __reduce__(self) -> tuple[Any, ...]:
        return open, (CANARY, "w")


def _png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(4)))
        + chunk(b"IEND", b"")
    )


def _pdf() -> bytes:
    return (
        b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"
        b"trailer\n<< /Root 1 0 R >>\nstartxref\n15\n%%EOF\n"
    )


def _gguf() -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 4) + b"name" + bytes(64)


def _safetensors() -> bytes:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    return struct.pack("<Q", len(header)) + header + struct.pack("<4f", 1, 2, 3, 4)


def _npy() -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (117 - len(header)) + b"\n"
    return (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps(_Canary(), protocol=2)
    )


def _sqlite() -> bytes:
    return b"SQLite format 3\x00" + struct.pack(">HBBBBBB", 4096, 1, 1, 0, 64, 32, 32) + bytes(4072)


def _xlsx() -> bytes:
    sheet = b"<worksheet><sheetData><row><c><v>1</v></c></row></sheetData></worksheet>"
    return zipped(
        {
            "[Content_Types].xml": b'<?xml version="1.0"?><Types/>',
            "xl/workbook.xml": b"<workbook/>",
            "xl/worksheets/sheet1.xml": sheet,
        }
    )


def _torch() -> bytes:
    return zipped({"archive/data.pkl": pickle.dumps(_Canary(), protocol=2), "archive/version": b"3\n"})


def _wav() -> bytes:
    return (
        b"RIFF"
        + struct.pack("<I", 36 + 8)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
        + b"data"
        + struct.pack("<I", 8)
        + bytes(8)
    )


CASES = [
    reject("error-page.html", PAGE.encode(), "web page"),
    reject("error-page-named.jsonl", PAGE.encode(), "web page"),
    reject("error-page-named.csv", b"\n\n  " + PAGE.encode(), "web page"),
    reject("error-page-named.txt", PAGE.encode(), "web page"),
    reject("error-page-after-comment.jsonl", b"<!-- served by the cache -->\n" + PAGE.encode(), ""),
    reject("error-page-bom.jsonl", b"\xef\xbb\xbf" + PAGE.encode(), "web page"),
    reject("error-page-no-doctype.json", PAGE.split("\n", 1)[1].encode(), "web page"),
    reject(
        "denied.json", b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>', ""
    ),
    reject("api-error.json", b'{"error": "Entry not found"}', ""),
    reject("api-error-list.json", b'{"errors": ["rate limit", "log in"], "status": 429}', ""),
    reject("lfs-pointer.jsonl", POINTER.encode(), "LFS"),
    reject("lfs-pointer.parquet", POINTER.encode(), "LFS"),
    reject("lfs-pointer.txt", POINTER.encode(), "LFS"),
    reject("workbook-named.csv", _xlsx(), "Excel"),
    reject("workbook.xlsx", _xlsx(), "Excel"),
    reject("old-workbook-named.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), ""),
    reject("document.docx", zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>"}), ""),
    reject("pickle-named.jsonl", pickle.dumps(_Canary(), protocol=4), "never opened"),
    reject("pickle-0-named.jsonl", pickle.dumps(_Canary(), protocol=0), "never opened"),
    reject("pickle-0-named.csv", pickle.dumps(_Canary(), protocol=0), ""),
    reject("pickle-2-named.csv", pickle.dumps(_Canary(), protocol=2), ""),
    reject("rows.pkl", pickle.dumps(ROWS, protocol=4), ""),
    reject("pickle-in.zip", zipped({"data.pkl": pickle.dumps(_Canary(), protocol=4)}), ""),
    reject("model.pt", _torch(), "never opened"),
    reject("model-named.jsonl", _torch(), ""),
    reject("array.npy", _npy(), ""),
    reject("array-named.csv", _npy(), ""),
    reject("arrays.npz", zipped({"a.npy": _npy()}), ""),
    reject("script-named.jsonl", SCRIPT.encode(), ""),
    reject("script-named.csv", SCRIPT.encode(), ""),
    reject("script-named.json", SCRIPT.encode(), ""),
    reject("script.py", SCRIPT.encode(), ""),
    reject("shell-named.jsonl", f"#!/bin/sh\ntouch {CANARY}\n".encode(), "a program"),
    reject("program-named.csv", b"\x7fELF\x02\x01\x01" + bytes(57), "a program"),
    reject("program-named.jsonl", b"MZ\x90\x00\x03\x00\x00\x00" + bytes(56), ""),
    reject("model.gguf", _gguf(), "weights"),
    reject("model-named.csv", _gguf(), "weights"),
    reject("model.safetensors", _safetensors(), "a model's weights"),
    reject("safetensors-named.jsonl", _safetensors(), ""),
    reject("database-named.csv", _sqlite(), "SQLite"),
    reject("picture-named.jsonl", _png(), "an image"),
    reject("photo-named.csv", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01" + bytes(40), ""),
    reject("paper-named.csv", _pdf(), "a PDF document"),
    reject("sound-named.jsonl", _wav(), ""),
    reject("arrow-named.jsonl", b"ARROW1\x00\x00" + bytes(64), ""),
    reject("rows-named.csv.xml", XML.encode(), ""),
    reject("rows-named.json", XML.encode(), ""),
    reject("rows.yaml", YAML.encode(), ""),
    reject("rows-yaml-named.jsonl", YAML.encode(), ""),
    reject("log-named.csv", LOG.encode(), ""),
    reject("noise.csv", zlib.compress(bytes(range(256)) * 40)[2:] * 9, ""),
    reject("noise.jsonl", bytes(range(128, 256)) * 20, ""),
    judged("log.txt", LOG.encode()),
    judged("script-named.txt", SCRIPT.encode()),
    judged(
        "page-as-answer.jsonl", json.dumps({"instruction": "Write a page!", "output": PAGE}).encode() + b"\n"
    ),
]
