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
from pathlib import Path

from core.base.errors import UserError
from core.setup.places import Places
from core.setup.ready import StepFailed, ready

WITHOUT_SCREEN = ("demo", "train", "export", "chat", "check-data", "fit")
HOME_HELP = "folder for models, datasets and runs (default: $LORA_GARAGE_HOME, else ~/lora-garage)"
PLACES = Places()
# set for the process inside .venv, so that a broken .venv can't start itself for ever
INSIDE = "LORA_GARAGE_INSIDE"


def main(argv: list[str] | None = None) -> int:
    """Carry out one command line. 0 done, 2 the user's error (one sentence), 1 ours (with the log's path)."""
    argv = sys.argv[1:] if argv is None else argv
    args, rest = parser().parse_known_args(argv)
    if rest and args.command != "test":
        parser().error(f"unknown argument: {' '.join(rest)}")
    try:
        return carry_out(args, rest, argv)
    except UserError as error:
        return fail(args, 2, str(error))
    except StepFailed as error:
        return fail(args, 1, f"{error}\nThe log: {error.log}")
    except KeyboardInterrupt:
        return fail(args, 130, "\nStopped.")


def carry_out(args: argparse.Namespace, rest: list[str], argv: list[str]) -> int:
    """Dispatch; everything but doctor and setup happens inside `.venv`."""
    if args.command == "doctor":
        from core.setup import doctor

        return doctor.main(args.json)
    testing = args.command == "test"
    if args.command == "setup" or not ready(PLACES, testing):
        from core.setup.prepare import prepare

        prepare(PLACES, testing or getattr(args, "test", False), again=args.command == "setup")
    if args.command == "setup":
        print("Everything is set up.")
        return 0
    if Path(sys.prefix).resolve() == PLACES.venv.resolve():
        return run_inside(args, rest)
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


def run_inside(args: argparse.Namespace, rest: list[str]) -> int:
    """The commands that need the packages in `.venv`."""
    os.environ.pop(INSIDE, None)
    if args.command == "test":
        return run_tests(args.fast, rest)
    if args.command in WITHOUT_SCREEN:
        from core.commands import dispatch as commands

        return commands.run(args)
    from ui.server import serve

    serve(args.home, args.port, not args.no_browser)
    return 0


def run_tests(fast: bool, rest: list[str]) -> int:
    """pytest on the whole suite or its fast part, two files at a time; its exit code."""
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    command += [*(["-m", "not slow"] if fast else []), *rest]
    return subprocess.call(command, cwd=PLACES.app)


def fail(args: argparse.Namespace, code: int, sentence: str) -> int:
    """Say what went wrong; with --json also as the last line."""
    print(sentence, file=sys.stderr, flush=True)
    if getattr(args, "json", False):
        print(json.dumps({"error": sentence.strip()}, ensure_ascii=False), flush=True)
    return code


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    about = "LoRA Garage: from your data to your own model."
    whole = argparse.ArgumentParser(prog="app.py", description=about, allow_abbrev=False)
    whole.set_defaults(home=None, port=None, no_browser=False)
    add_serve(whole)
    commands = whole.add_subparsers(dest="command", metavar="COMMAND")
    add_serve(commands.add_parser("serve", help="serve the page on 127.0.0.1 (the default)"))
    add_demo(commands)
    add_train(commands)
    add_export(commands)
    add_chat(commands)
    add_check_data(commands)
    add_fit(commands)
    add_upkeep(commands)
    return whole


def add_serve(to: argparse.ArgumentParser) -> None:
    to.add_argument("--home", metavar="DIR", default=argparse.SUPPRESS, help=HOME_HELP)
    to.add_argument(
        "--port", type=int, default=argparse.SUPPRESS, help="port (default: the first free from 7860)"
    )
    to.add_argument("--no-browser", action="store_true", default=argparse.SUPPRESS, help="open no browser")


def add_shared(to: argparse.ArgumentParser) -> None:
    to.add_argument("--home", metavar="DIR", default=argparse.SUPPRESS, help=HOME_HELP)
    to.add_argument("--json", action="store_true", help="the last line printed is one JSON object")


def add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add_shared(commands.add_parser("demo", help="the whole way on the starter model and the sample data"))


def add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = commands.add_parser("train", help="train as a recipe file says, or resume a run")
    train.add_argument("recipe", metavar="RECIPE.yaml|RUN", help="recipe file, or a run to resume")
    add_shared(train)


def add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = commands.add_parser("export", help="merge, convert to GGUF and quantize a run")
    export.add_argument("run", metavar="RUN", help="name or folder of a run")
    export.add_argument("--quant", default="Q4_K_M", help="Q4_K_M (the default), Q5_K_M, Q6_K, Q8_0 or F16")
    add_shared(export)


def add_chat(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    chat = commands.add_parser("chat", help="ask a run's model, or any GGUF file")
    chat.add_argument("target", metavar="RUN|FILE.gguf", help="name or folder of a run, or a GGUF file")
    chat.add_argument("--prompt", required=True, help="what to say to it")
    chat.add_argument("--system", help="system prompt")
    chat.add_argument("--max-tokens", type=int, default=256, help="longest answer, in tokens (default: 256)")
    chat.add_argument(
        "--temperature", type=float, default=0.7, help="0: always the same answer (default: 0.7)"
    )
    add_shared(chat)


def add_check_data(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = commands.add_parser("check-data", help="check a dataset: what it is, what is wrong, what fits")
    check.add_argument("files", nargs="+", metavar="FILE", help="data files or folders of them")
    check.add_argument(
        "--model", default="starter", help="model folder for the token counts (default: starter)"
    )
    check.add_argument("--max-length", type=int, help="maximum length in tokens (default: the preset's)")
    roles = "user, assistant, system, input, history, messages, text or ignore"
    check.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="COL=ROLE",
        help=f"what a column is: {roles}; as often as needed",
    )
    check.add_argument("--heldout", metavar="FILE", help="your own held-out file")
    check.add_argument("--fix", metavar="OUT.jsonl", help="take every fix and write a cleaned copy")
    check.add_argument("--exact", action="store_true", help="count the tokens of every row, not of a sample")
    add_shared(check)


def add_fit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    fit = commands.add_parser("fit", help="say what a training would take, term by term, before it starts")
    add = fit.add_argument
    add(
        "--model",
        required=True,
        metavar="DIR|ID|config.json",
        help="the base model; `starter` is the embedded one",
    )
    add("--gpu", metavar="NAME|GIB", help="a card, as in `RTX 3060` or 12, or cpu (default: this machine)")
    add("--data", metavar="FILE", help="your data: its row lengths, and with them time and energy")
    add(
        "--method",
        metavar="NAME",
        help="qlora, lora, or another that PEFT has (default: qlora; lora on CPUs and Apple's GPUs)",
    )
    add("--rank", type=int, metavar="N", default=16, help="rank of the adapter (default: 16)")
    add("--dropout", type=float, metavar="X", default=0.0, help="dropout on the adapter's input (default: 0)")
    add(
        "--target-modules",
        metavar="NAMES",
        default="all-linear",
        help="layers with an adapter, as q,v (default: all-linear)",
    )
    add("--max-length", type=int, metavar="N", help="longest row in tokens (default: 2048; 512 on CPUs)")
    add("--batch", type=int, metavar="N", default=1, help="micro-batch: rows computed at once (default: 1)")
    add("--accumulate", type=int, metavar="N", default=16, help="micro-batches a step (default: 16)")
    add(
        "--epochs",
        type=float,
        metavar="X",
        default=3.0,
        help="how often every row is seen, for the time (default: 3)",
    )
    add(
        "--optimizer",
        metavar="NAME",
        help="default: adamw_8bit; adamw_torch where bitsandbytes has no kernels",
    )
    add("--checkpointing", choices=("unsloth", "hf", "none"), help="default: the engine's own; none on CPUs")
    add("--backend", choices=("unsloth", "peft"), help="engine (default: unsloth)")
    add(
        "--precision",
        choices=("auto", "bf16", "fp16", "fp32"),
        default="auto",
        help="of what is not quantized",
    )
    add(
        "--attention",
        choices=("auto", "sdpa", "eager", "flash_attention_2"),
        default="auto",
        help="default: auto, the fastest that the engine finds",
    )
    add(
        "--no-double-quantization",
        action="store_true",
        help="4-bit constants stay whole: 0.4 bits more a weight",
    )
    add("--offload-embedding", action="store_true", help="the token embedding waits in the computer's memory")
    add(
        "--loss",
        choices=("whole", "pieces"),
        help="what other programs do: all logits at once, or piece by piece (default: as the engine does)",
    )
    add(
        "--adapter-bits", type=int, choices=(16, 32), default=32, help="other programs' adapters have 16 bits"
    )
    add("--rest-bits", type=int, choices=(16, 32), help="of embeddings and norms, where others convert them")
    add("--calibrate", action="store_true", help="first measure this machine's speed (some ten seconds)")
    add("--forget-measured", action="store_true", help="drop the correction by runs measured on this machine")
    add_shared(fit)


def add_upkeep(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = commands.add_parser("doctor", help="say what was found, what is installed, what is missing")
    doctor.add_argument("--json", action="store_true", help="as one JSON object")
    setup = commands.add_parser("setup", help="set up only, after a new GPU or driver")
    setup.add_argument("--test", action="store_true", help="with what the tests need")
    test = commands.add_parser("test", help="run the tests; other arguments go to pytest", allow_abbrev=False)
    test.add_argument("--fast", action="store_true", help="only the short part (at most 3 minutes)")


if __name__ == "__main__":
    sys.exit(main())
