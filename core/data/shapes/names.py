"""The names that instruction data uses for its columns, its speakers and the parts of a message."""

from __future__ import annotations

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "ai": "assistant",
}
TOOL_ROLES = {
    "tool",
    "function",
    "function_call",
    "function_response",
    "observation",
    "tool_call",
    "tool_response",
    "ipython",
}

CHAT_COLUMNS = (
    "messages",
    "conversations",
    "conversation",
    "chat",
    "dialog",
    "dialogue",
    "turns",
    "contents",
)
TEXT_COLUMNS = ("text",)
SYSTEM_COLUMNS = ("system", "system_prompt", "system_message", "systeminstruction", "system_instruction")
CONTEXT_COLUMNS = ("input", "context")
HISTORY_COLUMNS = ("history",)
# question column → the shape that it belongs to; where several stand in a file, the earlier is taken
QUESTION_COLUMNS = {
    "instruction": "alpaca",
    "prompt": "prompt/completion",
    "question": "question/answer",
    "query": "question/answer",
    "user": "question/answer",
    "human": "question/answer",
    "problem": "question/answer",
    "q": "question/answer",
    "input": "question/answer",
}
ANSWER_COLUMNS = (
    "output",
    "completion",
    "response",
    "answer",
    "assistant",
    "reply",
    "solution",
    "bot",
    "gpt",
    "a",
)
# beside a problem, “answer” is often only the last line of the solution
ANSWERS_TO = {"problem": ("solution", *(name for name in ANSWER_COLUMNS if name != "solution"))}

TOOL_COLUMNS = ("tools", "functions", "tool_calls", "function_call")
MEDIA_COLUMNS = ("image", "images", "video", "videos", "audio", "audios")
BETTER = ("chosen", "preferred", "accepted")
WORSE = ("rejected", "non_preferred", "dispreferred")
JUDGED = "label"

ROLE_KEYS = ("role", "from")
SPEAKER_KEYS = ("speaker", "sender", "author")
# keys of a message or of its parts that say whether it is trained
FLAG_KEYS = ("weight", "train", "training", "loss")
CONTENT_KEYS = ("content", "value", "text", "parts")
TEXT_PARTS = ("text", "input_text", "output_text")
MEDIA_PARTS = ("image", "image_url", "video", "video_url", "audio", "input_audio", "input_image", "file")
TOOL_PARTS = ("tool_use", "tool_result", "tool_call", "tool_calls", "function_call")


def plain(name: str) -> str:
    """A column's name without the differences that mean nothing: case, outer blanks, word joints."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")
