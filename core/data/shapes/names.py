"""The names that instruction data uses for its columns, its speakers and the parts of a message."""

from __future__ import annotations

import re

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "person": "user",
    "customer": "user",
    "client": "user",
    "student": "user",
    "questioner": "user",
    "environment": "user",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "agent": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "chatgpt": "assistant",
}
# models that some exports name instead of the role: “gpt-4”, “Claude 3 Opus”
MODEL_NAMES = (
    "gpt",
    "chatgpt",
    "claude",
    "gemini",
    "llama",
    "bing",
    "bard",
    "mistral",
    "qwen",
    "deepseek",
    "grok",
)
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
    "chat_messages",
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
    # as people name them who write in other languages
    **dict.fromkeys(
        ("frage", "pregunta", "pergunta", "domanda", "vraag", "вопрос", "问题", "問題", "質問", "질문"),
        "question/answer",
    ),
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
    "answers",
    "a",
    *("antwort", "respuesta", "resposta", "risposta", "réponse", "antwoord"),
    *("ответ", "回答", "答案", "답변", "대답"),
)
# beside a problem, “answer” is often only the last line of the solution
ANSWERS_TO = {"problem": ("solution", *(name for name in ANSWER_COLUMNS if name != "solution"))}

TOOL_COLUMNS = ("tools", "functions", "tool_calls", "function_call")
MEDIA_COLUMNS = ("image", "images", "video", "videos", "audio", "audios")
BETTER = ("chosen", "preferred", "accepted", "pos", "positive")
WORSE = ("rejected", "non_preferred", "dispreferred", "neg", "negative")
JUDGED = ("label", "kto_tag", "is_good", "desirable", "feedback", "thumbs", "vote")
GOOD_WORDS = ("good", "desirable", "up", "thumbs_up", "like", "liked", "positive", "chosen", "accepted")
BAD_WORDS = ("bad", "undesirable", "down", "thumbs_down", "dislike", "disliked", "negative", "rejected")
SCORES = ("score", "rating", "reward", "quality")
# beside a text, its class
LABEL_COLUMNS = ("label_text", "label_name", "label", "labels", "sentiment", "intent")
REASONING = (
    *("reasoning_content", "reasoning", "thinking", "thoughts", "thought", "cot", "chain_of_thought"),
    *("complex_cot", "rationale"),
)

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


_MATTERS = re.compile(
    rf"({'|'.join([*QUESTION_COLUMNS, *ANSWER_COLUMNS, *CHAT_COLUMNS, *SYSTEM_COLUMNS, *CONTEXT_COLUMNS])}"
    rf"|{'|'.join([*HISTORY_COLUMNS, *TEXT_COLUMNS, *SCORES, *BETTER, *REASONING, *CONTENT_KEYS])})(_?\d+)?"
)


def may_matter(column: str) -> bool:
    """Whether a column that is left aside could be meant for training: it is called like one that is."""
    return _MATTERS.fullmatch(plain(column).rpartition(".")[2]) is not None
