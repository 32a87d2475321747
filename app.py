"""The front door: sets up `.venv` at the first start, then serves the page or runs a command inside it.

    python app.py                                   the page on 127.0.0.1, in your browser
    python app.py demo | train | export | chat      the same without a screen
    python app.py check-data                        what is wrong with a dataset, and a cleaned copy of it
    python app.py fit                               what a training would take, before it starts
    python app.py doctor | setup | test             what is installed; install it; run the tests

Needs only the standard library until the environment is up.
"""

import sys

if sys.version_info < (3, 10):  # everything below this line may use today's Python
    sys.exit(
        "LoRA Garage needs Python 3.10 to 3.13; this is %d.%d. Install a newer one (python.org, or your "
        "package manager) and start app.py with it." % sys.version_info[:2]
    )

import argparse
import json
import os
import subprocess
from importlib import import_module
from pathlib import Path

from core.base.errors import UserError, WorkerFailed
from core.commands.dispatch import HOME_HELP, commands, run
from core.setup import doctor
from core.setup.prepare import prepare
from core.setup.state import Places, ready

PLACES = Places()
# set for the process inside .venv, so that a broken .venv can't start itself for ever
INSIDE = "LORA_GARAGE_INSIDE"
UPKEEP = {
    "serve": "Serve the page on 127.0.0.1 (the default).",
    "doctor": "Say what was found, what is installed, what is missing.",
    "setup": "Set up only, after a new GPU or driver.",
    "test": "Run the tests; other arguments go to pytest.",
}


def main(argv: list[str] | None = None) -> int:
    """Carry out one command line. 0 done, 2 the user's error (one sentence), 1 ours (with the log's path)."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse(argv)
    try:
        return carry_out(args, argv)
    except UserError as error:
        return fail(args, 2, str(error))
    except WorkerFailed as error:
        return fail(args, 1, f"{error}\nThe log: {error.log}")
    except KeyboardInterrupt:
        return fail(args, 130, "\nStopped.")


def carry_out(args: argparse.Namespace, argv: list[str]) -> int:
    """Dispatch; everything but doctor and setup happens inside `.venv`."""
    if args.command == "doctor":
        return doctor.main(args.json)
    testing = args.command == "test"
    if args.command == "setup" or not ready(PLACES, testing):
        if args.command not in UPKEEP and {"-h", "--help"} & set(args.rest):
            print(f"{commands()[args.command]} Its options are shown once `python app.py setup` is done.")
            return 0
        prepare(PLACES, testing or getattr(args, "test", False), again=args.command == "setup")
    if args.command == "setup":
        print("Everything is set up.")
        return 0
    if Path(sys.prefix).resolve() == PLACES.venv.resolve():
        return run_inside(args)
    return enter_venv(argv)


def enter_venv(argv: list[str]) -> int:
    """Start this same command line with `.venv`'s Python; on POSIX in place of this process."""
    if os.environ.get(INSIDE):
        raise UserError(f"{PLACES.venv} does not start as it should. Remove that folder and start again.")
    command = [str(PLACES.python), str(Path(__file__).resolve()), *argv]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    environment.update({INSIDE: "1", "PYTHONNOUSERSITE": "1"})
    if sys.platform != "win32":
        sys.stdout.flush()
        os.execve(command[0], command, environment)
    return subprocess.call(command, env=environment)


def run_inside(args: argparse.Namespace) -> int:
    """The commands that need the packages in `.venv`."""
    os.environ.pop(INSIDE, None)
    if args.command == "test":
        return run_tests(args.fast, args.rest)
    if args.command != "serve":
        return run(args.command, args.rest, args.home)
    # the page needs packages that this file can do without
    import_module("ui.server").serve(args.home, args.port, not args.no_browser)
    return 0


def run_tests(fast: bool, rest: list[str]) -> int:
    """pytest on the whole suite or its fast part, two files at a time; its exit code."""
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    command += [*(["-m", "not slow"] if fast else []), *rest]
    return subprocess.call(command, cwd=PLACES.app)


def fail(args: argparse.Namespace, code: int, sentence: str) -> int:
    """Say what went wrong; with --json also as the last line."""
    print(sentence, file=sys.stderr, flush=True)
    if getattr(args, "json", False) or "--json" in args.rest:
        print(json.dumps({"error": sentence.strip()}, ensure_ascii=False), flush=True)
    return code


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line: `command`, its own arguments where it is one of these here, else those in `rest`."""
    whole = argparse.ArgumentParser(
        prog="app.py",
        description="LoRA Garage: from your data to your own model.",
        epilog="commands:\n" + "\n".join(f"  {name:<12}{text}" for name, text in every_command().items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_serve(whole)
    whole.add_argument("command", metavar="COMMAND", nargs="?", choices=list(every_command()))
    whole.add_argument(
        "rest", metavar="…", nargs=argparse.REMAINDER, help="what the command takes; see --help"
    )
    args = whole.parse_args(argv)
    args.command = args.command or "serve"
    if args.command in UPKEEP:
        own = argparse.ArgumentParser(
            prog=f"app.py {args.command}", description=UPKEEP[args.command], allow_abbrev=False
        )
        add_own(own, args)
        args, args.rest = own.parse_known_args(args.rest, args)
        if args.rest and args.command != "test":
            own.error(f"unknown argument: {' '.join(args.rest)}")
    return args


def every_command() -> "dict[str, str]":
    return {**UPKEEP, **commands()}


def add_serve(to: argparse.ArgumentParser) -> None:
    to.add_argument("--home", metavar="DIR", help=HOME_HELP)
    to.add_argument("--port", type=int, help="port (default: the first free from 7860)")
    to.add_argument("--no-browser", action="store_true", help="open no browser")


def add_own(to: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """The arguments of the commands that are carried out here; `given` stood before the command."""
    if given.command == "serve":
        add_serve(to)
        to.set_defaults(home=given.home, port=given.port, no_browser=given.no_browser)
    elif given.command == "doctor":
        to.add_argument("--json", action="store_true", help="as one JSON object")
    elif given.command == "setup":
        to.add_argument("--test", action="store_true", help="with what the tests need")
    else:
        to.add_argument("--fast", action="store_true", help="only the short part (at most 3 minutes)")


if __name__ == "__main__":
    sys.exit(main())
