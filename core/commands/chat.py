"""Ask a run's model, or any GGUF file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.home import Home
from core.chat.service import ChatServer
from core.export.record import newest_export, out_of_date
from core.runs.run import open_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("target", metavar="RUN|FILE.gguf", help="name or folder of a run, or a GGUF file")
    add("--prompt", required=True, help="what to say to it")
    add("--system", help="system prompt")
    add("--max-tokens", type=int, default=256, help="longest answer, in tokens (default: 256)")
    add("--temperature", type=float, default=0.7, help="0: always the same answer (default: 0.7)")


def run(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """One answer from a run's newest GGUF, or from a GGUF file."""
    file = Path(args.target).expanduser()
    if file.suffix != ".gguf":
        trained = open_run(home, args.target)
        export = newest_export(trained)
        if export is None:
            raise UserError(
                f"{trained.name} has no GGUF yet. Run `python app.py export {trained.name}` first."
            )
        if old := out_of_date(trained, export):
            print(old, file=sys.stderr)
        file = export.file
    answer = ask(file, [args.prompt], args.system, args.max_tokens, args.temperature, echo=True)[0]
    return {"gguf": str(file), "prompt": args.prompt, "answer": answer}


def ask(
    gguf: Path,
    prompts: list[str],
    system: str | None,
    max_tokens: int,
    temperature: float,
    echo: bool = False,
) -> list[str]:
    """The model's answers, each to a conversation of its own."""
    server = ChatServer.start(gguf)
    try:
        return [_answer(server, prompt, system, max_tokens, temperature, echo) for prompt in prompts]
    finally:
        server.stop()


def _answer(
    server: ChatServer, prompt: str, system: str | None, max_tokens: int, temperature: float, echo: bool
) -> str:
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": prompt})
    pieces = []
    stream = server.stream(messages, temperature=temperature, max_tokens=max_tokens)
    for piece in stream:
        pieces.append(piece)
        if echo:
            print(piece, end="", flush=True)
    if echo:
        print(f"\n(Cut off at {stream.tokens} tokens.)" if stream.finish == "length" else "", flush=True)
    return "".join(pieces).strip()
