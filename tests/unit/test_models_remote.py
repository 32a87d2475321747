"""Shapes from the hub: headers instead of weights, and what a server may send instead."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.base.errors import UserError
from core.base.home import Home
from core.models import find_spec, spec_of_hub
from core.models.headers import header_length, parse_header
from tests.unit.hub_server import Hub, Repo
from tests.unit.test_models_find import SMALL, SMALL_PARAMETERS, llama_tensors, weights


def served(hub: Hub, files: dict[str, bytes], **more: Any) -> None:
    hub.models["acme/tiny"] = Repo({"config.json": json.dumps(SMALL).encode(), **files}, **more)


def test_the_hub_sends_headers_not_weights(hub: Hub, home: Home) -> None:
    raw = weights({**llama_tensors(), "mtp.unused": ("BF16", [8 << 20])})
    served(hub, {"model.safetensors": raw})
    spec = find_spec(home, "acme/tiny")
    assert (spec.name, spec.parameters, spec.stored) == ("acme/tiny", SMALL_PARAMETERS, "bf16")
    # the rest of the 16 MiB is never read; some lie in the connection's buffers
    assert hub.sent["model.safetensors"] < len(raw) // 2


def test_shards_and_long_headers_are_put_together(hub: Hub, home: Home) -> None:
    tensors = llama_tensors()
    names = list(tensors)
    first = {name: tensors[name] for name in names[:9]}
    second = {name: tensors[name] for name in names[9:]}
    index = {"weight_map": {name: "a.safetensors" if name in first else "b.safetensors" for name in names}}
    served(
        hub,
        {
            "model.safetensors.index.json": json.dumps(index).encode(),
            "a.safetensors": weights(first, padding=300_000),
            "b.safetensors": weights(second),
        },
    )
    spec = spec_of_hub(home, "acme/tiny")
    assert (spec.parameters, spec.file_bytes) == (SMALL_PARAMETERS, 2 * SMALL_PARAMETERS)


@pytest.mark.parametrize(
    "files, words",
    [
        ({}, "no weights in safetensors format"),
        ({"model.safetensors": b"\xff" * 64}, "impossible header length"),
        ({"model.safetensors": struct.pack("<Q", 900) + b"{}"}, "cut off|damaged"),
        ({"config.json": b"{"}, "no valid JSON"),
        ({"config.json": b'{"model_type": "a\\nb"}'}, "line break"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": "../../x"}}'}, "impossible files"),
    ],
)
def test_what_the_hub_may_send_instead(hub: Hub, files: dict[str, bytes], words: str, home: Home) -> None:
    served(hub, files)
    with pytest.raises(UserError, match=words):
        spec_of_hub(home, "acme/tiny")


def test_gated_missing_and_unreachable_models_say_so(
    hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(hub, {}, gated=True)
    with pytest.raises(UserError, match="gated"):
        spec_of_hub(home, "acme/tiny")
    with pytest.raises(UserError, match="knows no model|acme/none"):
        find_spec(home, "acme/none")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="can't be reached"):
        find_spec(home, "acme/tiny")
    with pytest.raises(UserError, match=r"can't be reached.*Did you mean Qwen/Qwen3-8B or "):
        find_spec(home, "Qwen/Qwen3-8")


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, "overlap"),
        ({"b": {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]}}, "leave a gap"),
        ({"b": {"dtype": "BF16", "shape": [2], "data_offsets": [16, 24]}}, "whose shape is not its size"),
        ({"b": {"dtype": "X9", "shape": [10**9, 10**9], "data_offsets": [16, 24]}}, "whose shape is not its"),
        ({"b": {"dtype": "F32", "shape": [10**400], "data_offsets": [16, 24]}}, "without type or size"),
        ({"b": {"dtype": "F32", "shape": [2], "data_offsets": ["16", "24"]}}, "is damaged"),
        (
            {"layers.0.{:999999999}": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]}},
            "impossible name",
        ),
        ({"a\u202eb": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]}, "": 7}, "is damaged"),
    ],
)
def test_headers_that_safetensors_would_refuse(changed: dict[str, Any], words: str) -> None:
    header = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, **changed}
    with pytest.raises(UserError, match=words):
        parse_header(json.dumps(header).encode(), "x.safetensors")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_header_or_a_sentence(raw: bytes) -> None:
    for read in (parse_header, header_length):
        try:
            read(raw, "x.safetensors")
        except UserError as error:
            assert "x.safetensors is damaged" in str(error)
