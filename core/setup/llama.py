"""Installs llama-cpp-python: a prebuilt wheel of its project first, a source build as the fallback."""

from __future__ import annotations

from typing import Any

from core.base.home import LLAMA_CPP_PYTHON, library_env
from core.setup.child import CommandFailed
from core.setup.places import Places
from core.setup.plan import LLAMA_INDEX, Plan
from core.setup.state import fingerprint
from core.setup.work import Work

_BUILD = "it is built from source (10 minutes on 2 cores, unless pip kept an earlier build)"
_CHECK = "import llama_cpp; print('llama', llama_cpp.__version__)"


def wanted(places: Places, plan: Plan) -> str:
    """The fingerprint of what should be installed."""
    return fingerprint(places.requirements("converter"), *plan.llama)


def install(work: Work) -> dict[str, Any]:
    """llama-cpp-python that imports, with `source` (prebuilt index or "built from source") in the details."""
    for name in work.plan.llama:
        if _try_prebuilt(work, name):
            work.screen.say(f"llama.cpp: a prebuilt wheel ({name}).")
            return {"source": f"prebuilt ({name})", "version": LLAMA_CPP_PYTHON}
    work.screen.say(f"llama.cpp: no prebuilt wheel to be had, so {_BUILD}.")
    lines = work.pip(
        *("install", "--no-deps", "--require-hashes", "--force-reinstall", "--verbose"),
        *("-r", str(work.places.requirements("converter"))),
    )
    _check(work)
    kept = any("Using cached llama_cpp_python" in line for line in lines)
    source = "built from source earlier (pip's cache)" if kept else "built from source"
    return {"source": source, "version": LLAMA_CPP_PYTHON}


def _try_prebuilt(work: Work, name: str) -> bool:
    try:
        work.pip(
            *("install", "--no-deps", "--force-reinstall", "--only-binary", ":all:"),
            *("--retries", "0", "--timeout", "10", "--index-url", f"{LLAMA_INDEX}/{name}"),
            f"llama-cpp-python=={LLAMA_CPP_PYTHON}",
        )
        _check(work)
    except CommandFailed as error:
        work.runner.note(f"prebuilt wheel ({name}) not used: {error}")
        return False
    return True


def _check(work: Work) -> None:
    work.runner.run([str(work.places.python), "-c", _CHECK], env=library_env(work.places.site_packages))
