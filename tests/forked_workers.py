"""Train workers that are forked from a process in which the heavy libraries are loaded already.

Importing them takes 20 s of a launch; a test that starts workers again and again pays it once. What runs
is the worker's own main(), in a process of its own, with its own log; where a system can't fork, and for
tests of the start itself, `python -m core.train.worker` is started instead.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.home import APP_FOLDER
from core.recipe import Recipe

WORKER = "core.train.worker"
CAN_FORK = sys.platform.startswith("linux")
# what each engine's worker imports before its first step
LIBRARIES = {
    "peft": ["core.train.session", "core.train.peft", "transformers.models.llama"],
    "unsloth": ["core.train.session"],
}


@dataclass
class Forked:
    """A worker that was forked; the part of subprocess.Popen that tests use."""

    pid: int
    over: threading.Event = field(default_factory=threading.Event)
    returncode: int | None = None

    def wait(self, timeout: float) -> int:
        if not self.over.wait(timeout):
            raise subprocess.TimeoutExpired(WORKER, timeout)
        assert self.returncode is not None
        return self.returncode


class Nursery:
    """The process that has the libraries of one engine loaded, and forks a worker on request."""

    def __init__(self, engine: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked_workers", engine],
            cwd=APP_FOLDER,
            # a process that has a pool of threads can't be forked
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.children: dict[int, Forked] = {}
        self.born: list[Forked] = []
        self.news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        atexit.register(self.process.kill)

    def begin(self, arguments: list[str], log: Path, env: dict[str, str]) -> Forked:
        """Fork a worker; `env` is its whole environment."""
        assert self.process.stdin is not None
        with self.news:
            count = len(self.born)
            print(
                json.dumps({"arguments": arguments, "log": str(log), "env": env}),
                file=self.process.stdin,
                flush=True,
            )
            born = self.news.wait_for(lambda: len(self.born) > count or self.process.poll() is not None, 300)
            assert born and len(self.born) > count, "the process that forks workers has died"
            return self.born[-1]

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            news = json.loads(line)
            with self.news:
                if "born" in news:
                    child = self.children[news["born"]] = Forked(news["born"])
                    self.born.append(child)
                else:
                    child = self.children.pop(news["over"])
                    child.returncode = news["code"]
                    child.over.set()
                self.news.notify_all()


_nurseries: dict[str, Nursery] = {}


def begin_forked(engine: str, arguments: list[str], log: Path, env: dict[str, str]) -> Forked:
    """Fork a worker from the engine's nursery, which is started at its first use."""
    if engine not in _nurseries:
        _nurseries[engine] = Nursery(engine)
    return _nurseries[engine].begin(arguments, log, env)


# ----- inside the nursery


def serve(engine: str) -> None:
    """Load the engine's libraries, then fork a worker for every line of standard input."""
    from core.train.worker import set_environment, why_not_unsloth

    # standard output is for news only, whatever the libraries print
    news = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    set_environment()
    if engine == "unsloth":
        assert not why_not_unsloth(Recipe())
    for name in LIBRARIES[engine]:
        importlib.import_module(name)
    lock = threading.Lock()
    for line in sys.stdin:
        order = json.loads(line)
        with lock:
            pid = os.fork()
            if pid == 0:
                _be_a_worker(order)
            print(json.dumps({"born": pid}), file=news)
        threading.Thread(target=_wait, args=(pid, news, lock), daemon=True).start()


def _wait(pid: int, news: Any, lock: threading.Lock) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with lock:
        print(json.dumps({"over": pid, "code": code}), file=news)


def _be_a_worker(order: dict[str, Any]) -> None:
    """Become the worker of one run; never returns."""
    code = 1
    try:
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for number in (1, 2):
            os.dup2(log, number)
        os.environ.clear()
        os.environ.update(order["env"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from core.train.worker import main

        main(order["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
