"""The model hub, when there is a network: search it, and know a download's size before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.models.folder import HUB_ID
from core.models.headers import BITS
from core.models.hub import TIMEOUT_S, Want, hub_api, hub_words, readable_answer
from core.models.hub_files import HubFile, HubRepo, Kind, check_complete, check_id, wanted

_TRAINABLE = ("ForCausalLM", "ForConditionalGeneration")


@dataclass(frozen=True)
class HubModel:
    """A model that the hub found. `size` is that of its weights in bytes, None where the hub doesn't say."""

    id: str
    size: int | None
    gated: bool
    downloads: int
    parameters: int | None = None
    architecture: str = ""
    licence: str = ""


def search_hub(text: str, limit: int = 20) -> list[HubModel]:
    """Models on the hub whose id contains `text` and that can be trained here, most downloaded first."""
    text = text.strip()
    if not text:
        raise UserError("Type a part of the model's name, for example qwen3 or smollm.")
    with hub_words(text, "answer"), readable_answer():
        models = hub_api().list_models(
            search=text,
            filter=["safetensors", "transformers"],
            sort="downloads",
            # adapters and the like are sorted out below
            limit=2 * limit,
            expand=["safetensors", "gated", "downloads", "config", "tags"],
        )
        results = [entry for entry in map(_result, models) if entry]
    return results[:limit]


def hub_repo(
    name: str, kind: Kind = "model", want: Want | None = None, endings: tuple[str, ...] = ()
) -> HubRepo:
    """What a download of `name` would fetch, each file with its size and hash, small ones first.

    A refusal speaks of a download, unless only an answer is wanted. `endings`: of a data set's files.
    """
    check_id(name)
    with hub_words(name, want or kind), readable_answer():
        info = hub_api().repo_info(name, repo_type=kind, files_metadata=True, timeout=TIMEOUT_S)
        siblings = info.siblings or []
        files = [_file(file) for file in siblings if wanted(kind, file.rfilename, endings)]
        check_complete(name, kind, (file.rfilename for file in siblings), endings)
    return HubRepo(
        name=name,
        kind=kind,
        revision=str(info.sha),
        gated=bool(info.gated),
        files=tuple(sorted(files, key=lambda file: (file.size, file.path))),
    )


def _result(info: Any) -> HubModel | None:
    """A search result; None for what can't be trained: adapters, encoders, models with code of their own."""
    config = info.config if isinstance(info.config, Mapping) else {}
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    tags = [tag for tag in info.tags or [] if isinstance(tag, str)]
    if not HUB_ID.fullmatch(str(info.id)) or not architecture.endswith(_TRAINABLE) or "custom_code" in tags:
        return None
    counts: Mapping[str, int] = info.safetensors.parameters if info.safetensors else {}
    licences = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    return HubModel(
        id=info.id,
        size=sum(count * BITS.get(kind, 8) // 8 for kind, count in counts.items()) or None,
        gated=bool(info.gated),
        downloads=info.downloads or 0,
        parameters=sum(counts.values()) or None,
        architecture=architecture,
        licence=licences[0] if licences else "",
    )


def _file(sibling: Any) -> HubFile:
    large = sibling.lfs
    size = large.size if large else sibling.size
    sha256, git_sha1 = (large.sha256, "") if large else ("", sibling.blob_id or "")
    if type(size) is not int or size < 0 or not isinstance(sha256, str) or not isinstance(git_sha1, str):
        raise UserError(f"The hub doesn't say how large {sibling.rfilename} is. Choose another model.")
    return HubFile(sibling.rfilename, size, sha256, git_sha1)
