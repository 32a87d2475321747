"""Talking to the hub: who is logged in, a model's config and headers, every refusal as a clear sentence."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from core.base.errors import UserError, disk_sentence
from core.models.config import WEIGHTS, check_config
from core.models.folder import MAX_JSON
from core.models.headers import LENGTH_BYTES, header_length, parse_header, shard_names

Want = Literal["model", "dataset", "answer"]
_TOKEN = re.compile(r"[\x21-\x7e]{4,500}")
_NETWORK = (ConnectionError, TimeoutError, socket.gaierror)
TIMEOUT_S = 20
_MAX_FILES = 400
_AT_ONCE = 8
# most headers are smaller: one request then brings length and header
_FIRST = 1 << 17
PARTIAL = 206
_UNAUTHORIZED = 401
_NOT_FOUND = 404
_FORBIDDEN = 403
_TOO_MANY = 429
_SERVER = 500


def hub_api() -> Any:
    """huggingface_hub's client, at the address in HF_ENDPOINT when that is set (a mirror, a test)."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint())


def endpoint() -> str:
    from huggingface_hub import constants

    # huggingface_hub reads the variable once, when it is imported
    return os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")


def logged_in() -> bool:
    """Whether huggingface_hub has a token: in HF_TOKEN, or in its own file after a login."""
    from huggingface_hub import get_token

    return get_token() is not None


def log_in(token: str) -> str:
    """Check a token with the hub and let huggingface_hub keep it in its own file; the account's name."""
    from huggingface_hub import login

    token = token.strip()
    if not _TOKEN.fullmatch(token):
        raise UserError("That is no token. Copy it again from the hub; it begins with hf_.")
    with hub_words("your token", "answer"), readable_answer():
        name = hub_api().whoami(token=token)["name"]
        login(token=token, add_to_git_credential=False, skip_if_logged_in=False)
    return str(name)


def token_page() -> str:
    return f"{endpoint()}/settings/tokens"


def gated_words(name: str, want: Want = "model") -> str:
    """How to get at a repository whose makers want their terms accepted first."""
    page = f"{endpoint()}/{'datasets/' if want == 'dataset' else ''}{name}"
    if logged_in():
        return (
            f"{name} is gated and your account has not been let in. Open {page} in the browser and accept "
            "its terms (some makers answer by hand, which takes a while), then press Download again."
        )
    return (
        f"{name} is gated: its makers want their terms accepted first. Open {page}, log in and accept them, "
        f"then make a token of type Read at {token_page()} and log in with it, here or by `hf auth login`. "
        "huggingface_hub keeps it, this app does not."
    )


@contextmanager
def hub_words(name: str, want: Want) -> Iterator[None]:
    """Whatever goes wrong with the hub inside becomes a UserError that says what to do."""
    import httpx
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise UserError(f"“{name}” is not a hub id. It looks like owner/name.") from error
    except errors.GatedRepoError as error:
        raise UserError(gated_words(name, want)) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(_not_found(name, want)) from error
    except errors.HfHubHTTPError as error:
        raise UserError(_refused(name, want, error)) from error
    except errors.OfflineModeIsEnabled as error:
        raise UserError(_unreachable(name, want, error, "HF_HUB_OFFLINE is set: unset it.")) from error
    except (errors.LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise UserError(_unreachable(name, want, error)) from error


@contextmanager
def readable_answer() -> Iterator[None]:
    """An answer that is not the hub's, or not whole, becomes a UserError."""
    try:
        yield
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            "What came back is no answer of a hub. A proxy or the login page of a network may stand in "
            f"between: open {endpoint()} in the browser, then try again."
        ) from error


def _not_found(name: str, want: Want) -> str:
    what = "data set" if want == "dataset" else "model"
    if logged_in():
        return f"The hub knows no {what} {name} that you may see. Check the spelling of its id (owner/name)."
    return f"The hub knows no {what} {name}. Check the spelling; a private one needs `hf auth login`."


def _refused(name: str, want: Want, error: Any) -> str:
    status = int(getattr(getattr(error, "response", None), "status_code", 0) or 0)
    if status in (_UNAUTHORIZED, _FORBIDDEN):
        return (
            f"The hub refused {name}: it doesn't take the token. Make a new one of type Read at "
            f"{token_page()}, copy it whole and log in with it."
        )
    if status == _TOO_MANY:
        return (
            f"The hub gets too many requests from here just now, so {name} has to wait. {_again(want)} "
            "Wait some minutes first; logged in, more are allowed."
        )
    if status >= _SERVER:
        return f"The hub has a fault of its own (status {status}). Wait some minutes. {_again(want)}"
    return f"The hub refused {name} (status {status}): {str(error).splitlines()[0][:200]}"


def _unreachable(name: str, want: Want, error: Exception, do: str = "Check the connection.") -> str:
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, _NETWORK):
        # a full disk, a file in use, a quota, a file system without large files
        folder = Path(error.filename) if error.filename else None
        return f"{disk_sentence(error, f'{name} could not be written', folder)} {_again(want)}"
    if want == "answer":
        return f"The hub can't be reached. {do} {_again(want)}"
    return f"The hub can't be reached, so {name} was not downloaded. {do} {_again(want)}"


def _again(want: Want) -> str:
    if want == "answer":
        return "Then try again; the catalogue and the models on this machine need no connection."
    return "Then press Download again: what is here already is kept."


@contextmanager
def stream(
    name: str,
    file: str,
    start: int,
    last: int | str = "",
    *,
    kind: str = "model",
    revision: str = "main",
    retries: int = 5,
    may_miss: bool = False,
) -> Iterator[Any]:
    """The hub's answer with the bytes `start` to `last` of a file; its status is PARTIAL, or it sends all.

    A busy hub is asked again `retries` times; a connection that breaks is the caller's, who knows what came.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

    url = hf_hub_url(name, file, repo_type=kind, revision=revision, endpoint=endpoint())
    # packed for the journey, a file could not be taken up in its middle
    headers = {**build_hf_headers(), "Accept-Encoding": "identity", "Range": f"bytes={start}-{last}"}
    more = {"headers": headers, "timeout": TIMEOUT_S, "follow_redirects": True}
    with http_stream_backoff("GET", url, retry_on_exceptions=(), max_retries=retries, **more) as answer:
        if not (may_miss and answer.status_code == _NOT_FOUND):
            hf_raise_for_status(answer)
        yield answer


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
    complete = [header for header in headers if header is not None]
    if not complete or len(complete) < len(files):
        raise UserError(f"{name} has no weights in safetensors format on the hub. Choose another model.")
    return config, complete


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
    got = bytearray()
    with stream(name, file, start, end - 1, retries=0, may_miss=may_miss) as answer:
        if answer.status_code == _NOT_FOUND:
            return None
        whole = answer.status_code != PARTIAL
        wanted = end if whole else end - start
        for piece in answer.iter_bytes():
            got += piece
            if len(got) >= wanted:
                break
    return bytes(got[start:end] if whole else got[:wanted])
