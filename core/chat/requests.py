"""What can be asked of the chat server, in OpenAI's words."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.base.errors import UserError
from core.chat.context import Sampling


class _Body(BaseModel):
    """A request. Fields that it does not know are left out; null stands for the default."""

    model_config = ConfigDict(allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


class ChatMessage(_Body):
    """One turn; its parts, where it comes in such, must be text."""

    role: str
    content: str | list[dict[str, Any]] = ""

    def plain(self) -> dict[str, str]:
        """As chat templates take it."""
        if isinstance(self.content, str):
            return {"role": self.role, "content": self.content}
        texts = [part.get("text") for part in self.content]
        if not all(isinstance(text, str) for text in texts):
            raise UserError("A message holds something that is no text. This model reads text only.")
        return {"role": self.role, "content": "".join(map(str, texts))}


class AdapterScale(_Body):
    """How strongly an adapter counts; it is named, or numbered from 0 as they were given at the start."""

    id: int | None = None
    name: str = ""
    scale: float = 1.0


class StreamOptions(_Body):
    include_usage: bool = False


class CompletionRequest(Sampling, _Body):
    """A text to go on writing. `model` may name an adapter; `lora` says more than that."""

    prompt: str = ""
    model: str = ""
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: str | list[str] = []
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    lora: list[AdapterScale] | None = None

    @property
    def stops(self) -> list[str]:
        return [stop for stop in ([self.stop] if isinstance(self.stop, str) else self.stop) if stop]


class ChatRequest(CompletionRequest):
    """A conversation to answer."""

    messages: list[ChatMessage] = Field(min_length=1)


class TokenizeRequest(_Body):
    content: str
