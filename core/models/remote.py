"""A model's config and headers from the hub, by range requests: kilobytes instead of its gigabytes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from core.base.errors import UserError
from core.models.checks import WEIGHTS, check_config
from core.models.folder import MAX_JSON
from core.models.headers import LENGTH_BYTES, header_length, parse_header, shard_names
from core.models.hub_account import endpoint, hub_words

_TIMEOUT_S = 20
_MAX_FILES = 400
_AT_ONCE = 8
# most headers are smaller: one request then brings length and header
_FIRST = 1 << 17
_NOT_FOUND = 404
_PARTIAL = 206


def read_remote(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The checked config of the hub id `name`, and the header of every file of its weights."""
    with hub_words(name, "answer"):
        config = check_config(_json(name, "config.json"), f"config.json of {name}")
        single, index = WEIGHTS
        alone = _header(name, single)
        if alone is not None:
            return config, [alone]
        files = shard_names(_json(name, index, missing={}), f"{index} of {name}")
        if len(files) > _MAX_FILES:
            raise UserError(f"{index} of {name} names {len(files)} files. Choose another model.")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            headers = list(pool.map(lambda file: _header(name, file), files))
    found = [header for header in headers if header is not None]
    if not found or len(found) < len(files):
        raise UserError(f"{name} has no weights in safetensors format on the hub. Choose another model.")
    return config, found


def _json(name: str, file: str, missing: Any = None) -> Any:
    raw = _read(name, file, 0, MAX_JSON, missing is not None)
    if raw is None:
        return missing
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} of {name} is no valid JSON. Choose another model.") from error


def _header(name: str, file: str) -> dict[str, Any] | None:
    """The header of a file of weights; None where there is no such file."""
    where = f"{file} of {name}"
    raw = _read(name, file, 0, _FIRST, True)
    if raw is None:
        return None
    length = header_length(raw, where)
    end = LENGTH_BYTES + length
    while len(raw) < end:
        more = _read(name, file, len(raw), end, False)
        if not more:
            raise UserError(f"{where} is cut off on the hub. Choose another model.")
        raw += more
    return parse_header(raw[LENGTH_BYTES:end], where)


def _read(name: str, file: str, start: int, end: int, may_miss: bool) -> bytes | None:
    """Bytes `start` to `end` of a file, also from a server that sends all of it; None where there is none."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    url = f"{endpoint()}/{quote(name)}/resolve/main/{quote(file)}"
    headers = {**build_hf_headers(), "Accept-Encoding": "identity", "Range": f"bytes={start}-{end - 1}"}
    got = bytearray()
    with get_session().stream(
        "GET", url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True
    ) as answer:
        if may_miss and answer.status_code == _NOT_FOUND:
            return None
        hf_raise_for_status(answer)
        whole = answer.status_code != _PARTIAL
        wanted = end if whole else end - start
        for piece in answer.iter_bytes():
            got += piece
            if len(got) >= wanted:
                break
    return bytes(got[start:end] if whole else got[:wanted])
