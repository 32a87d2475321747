"""Lists the commands, runs one, and turns how it ended into an exit code and, if asked, JSON.

Standard library only: app.py lists the commands before anything is installed. What a command needs is
imported when it runs, so `fit` answers before the others have loaded their libraries.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import sys
import traceback
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from core.base.errors import UserError, WorkerFailed, file_sentence
from core.base.events import now
from core.base.home import Home, open_home

HOME_HELP = "folder for models, datasets and runs (default: $LORA_GARAGE_HOME, else ~/lora-garage)"


@cache
def commands() -> dict[str, str]:
    """Every command and its help: the files of this folder that have arguments, read but not imported."""
    helps: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if "add_arguments" in functions:
            helps[path.stem.replace("_", "-")] = (ast.get_docstring(tree) or "").splitlines()[0]
    return helps


def run(name: str, words: list[str], home: str | None = None) -> int:
    """Carry out the command: 0 when done, 2 for a user's error or rejected data, 1 for ours (the log)."""
    args = arguments(name, words, home)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # what the terminal has no character for is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    folder: Home | None = None
    try:
        folder = open_home(args.home)
        result = _module(name).run(folder, args)
    except UserError as error:
        return _fail(args, 2, str(error))
    except WorkerFailed as error:
        return _fail(args, 1, str(error), error.log)
    except KeyboardInterrupt:
        return _fail(args, 2, "Stopped.")
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 0
        if sentence := file_sentence(error):
            return _fail(args, 2, sentence)
        log = _write_crash(folder)
        return _fail(args, 1, f"An unexpected error: {type(error).__name__}: {error}.", log)
    if args.json:
        _print_json(result)
    return 2 if result.get("verdict") == "reject" else 0


def arguments(name: str, words: list[str], home: str | None = None) -> argparse.Namespace:
    """The command's arguments; `home` is the folder that was named before the command."""
    parser = argparse.ArgumentParser(prog=f"app.py {name}", description=commands()[name], allow_abbrev=False)
    _module(name).add_arguments(parser)
    parser.add_argument("--home", metavar="DIR", default=home, help=HOME_HELP)
    parser.add_argument("--json", action="store_true", help="the last line printed is one JSON object")
    return parser.parse_args(words)


def _module(name: str) -> Any:
    return import_module(f"core.commands.{name.replace('-', '_')}")


def _fail(args: argparse.Namespace, code: int, sentence: str, log: Path | None = None) -> int:
    where = f" The log: {log}" if log else ""
    print(sentence + where, file=sys.stderr, flush=True)
    if args.json:
        _print_json({"error": sentence, "log": str(log) if log else None})
    return code


def _nobody_reads() -> bool:
    """Whether the output's reader (`| head`) has gone; then the rest goes nowhere, to the very end."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _print_json(value: dict[str, Any]) -> None:
    """One line; escaped where the terminal can't write every character."""
    plain = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    print(json.dumps(value, ensure_ascii=plain), flush=True)


def _write_crash(home: Home | None) -> Path | None:
    """The log with what went wrong; on the screen where no log can be written."""
    trace = traceback.format_exc()
    try:
        if home is not None:
            log = home.root / "commands.log"
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"\n--- {now()}\n{trace}")
            return log
    except OSError as error:
        trace += f"The log can't be written either: {error}\n"
    print(trace, file=sys.stderr, end="", flush=True)
    return None
