"""The plan of the house, read from the code itself: `python -m tests.house` prints its numbers.

Rooms are the folders of core (core/recipe.py is one, too), ui and app.py; an arrow is one importing another.
The rules that `tests/unit/test_house_rules.py` holds are asked here, so that both count the same way.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# a room imports only from lower floors
FLOORS = (
    ("base",),
    ("recipe", "data", "models", "machine"),
    ("runs", "methods", "presets", "setup"),
    ("export", "adapters", "fit"),
    ("train", "chat"),
    ("commands", "ui"),
    ("app",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS, 1) for room in rooms}
# folders where one file is one entry: what grows is found by listing them
REGISTRIES = (
    "core/methods",
    "core/export/forms",
    "core/export/targets",
    "core/data/read/formats",
    "core/commands",
    "ui/steps",
)
# the only files that may import our own modules late: what the worker imports loads torch, and Unsloth has to
# be imported before that, in an environment that it sets first; `fit` loads the data check only for data
LATE = ("core/train/worker.py", "core/commands/fit.py")
# the only files with types of a heavy library that they load inside a function
HEAVY_TYPES = ("core/data/read/formats/parquet.py", "core/models/starter.py")
SMALL = 60


class Import(NamedTuple):
    """One import of our own: from a file, of a module (or of a name in it); `late` is inside a function."""

    file: Path
    line: int
    module: str
    late: bool


def sources() -> list[Path]:
    """Every Python file of the app itself."""
    return sorted([ROOT / "app.py", *ROOT.glob("core/**/*.py"), *ROOT.glob("ui/**/*.py")])


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    """Names of all modules that a file imports; `top_level_only` leaves out those inside functions."""
    nodes = tree(path).body if top_level_only else list(ast.walk(tree(path)))
    modules: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


def module_file(module: str) -> Path | None:
    """The file of one of our modules; None where the dotted name is a name inside one."""
    path = ROOT / module.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """The imports of our own modules in a file, each resolved to the module whose file is read."""
    top = {id(node) for node in tree(path).body}
    entries = []
    for node in ast.walk(tree(path)):
        for module in _own(node):
            entries.append(Import(path, getattr(node, "lineno", 0), module, id(node) not in top))
    return tuple(entries)


def _own(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] in ("core", "ui"))
    elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("core", "ui"):
        whole = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from {module if module_file(module) else node.module for module in whole}


def room(module_or_path: str | Path) -> str:
    """`fit` of `core.fit.terms`; `ui`, `app` and `recipe` of themselves."""
    dotted = module_or_path
    if isinstance(dotted, Path):
        dotted = name(dotted).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    parts = dotted.split(".")
    return parts[1] if parts[0] == "core" and len(parts) > 1 else parts[0]


def arrows() -> dict[tuple[str, str], list[Import]]:
    """Which room imports which, with the imports behind each arrow."""
    between: dict[tuple[str, str], list[Import]] = defaultdict(list)
    for path in sources():
        for entry in imports(path):
            pair = room(path), room(entry.module)
            if pair[0] != pair[1]:
                between[pair].append(entry)
    return dict(between)


def upward() -> list[str]:
    """Imports of a room on the same floor or above."""
    return [
        f"{name(entry.file)}:{entry.line} imports {entry.module}"
        for (here, there), entries in arrows().items()
        for entry in entries
        if FLOOR.get(there, 99) >= FLOOR.get(here, 0)
    ]


def late() -> list[str]:
    """Imports of our own modules inside functions or conditions, outside the files that may."""
    return [
        f"{name(path)}:{entry.line} imports {entry.module}"
        for path in sources()
        for entry in imports(path)
        if entry.late and name(path) not in LATE
    ]


def circles() -> list[str]:
    """Files that import each other in a loop, each loop once."""
    edges = {
        path: {module_file(entry.module) for entry in imports(path)} - {None, path} for path in sources()
    }
    done: set[Path] = set()
    loops: list[str] = []

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        if path in trail:
            loops.append(" -> ".join(name(step) for step in (*trail[trail.index(path) :], path)))
            return
        if path not in done:
            for target in sorted(edges.get(path, ())):  # type: ignore[type-var]
                visit(target, (*trail, path))  # type: ignore[arg-type]
            done.add(path)

    for path in edges:
        visit(path, ())
    return loops


def doubled_classes() -> dict[str, list[str]]:
    """Class names that stand in more than one place."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name(path))
    return {class_name: files for class_name, files in places.items() if len(files) > 1}


def slips() -> list[str]:
    """Files under 60 lines that only one other asks for: they belong into it."""
    texts = {path: path.read_text("utf-8") for path in sources()}
    users: dict[Path, set[Path]] = defaultdict(set)
    for path in sources():
        for entry in imports(path):
            target = module_file(entry.module)
            if target is not None and target != path:
                users[target].add(path)
    small = []
    for path in sources():
        listed = name(path).startswith(tuple(f"{folder}/" for folder in REGISTRIES))
        if lines(path) >= SMALL or path.stem in ("__init__", "__main__") or listed or room(path) == "app":
            continue
        dotted = name(path).removesuffix(".py").replace("/", ".")
        # a process of its own is started by its name
        started = {other for other, text in texts.items() if f'"{dotted}"' in text}
        if len(users[path]) + 2 * len(started) < 2:
            small.append(name(path))
    return small


def numbers() -> dict[str, object]:
    """What the plan is measured by."""
    sizes = [lines(path) for path in sources()]
    rooms = {room(path) for path in sources()} - {"core"}
    return {
        "rooms": len(rooms),
        "floors": len({FLOOR.get(each) for each in rooms}),
        "arrows": len(arrows()),
        "imports that go up": len(upward()),
        "circles": len(circles()),
        "late imports of our own": len(late()),
        "Python files": len(sizes),
        "Python lines": sum(sizes),
        "median file": round(statistics.median(sizes)),
        "class names that stand twice": len(doubled_classes()),
        "small files with one importer": len(slips()),
        "lines of tests": sum(lines(path) for path in ROOT.glob("tests/**/*.py")),
    }


def by_room() -> dict[str, tuple[int, int]]:
    """Files and lines of each room."""
    sizes: dict[str, tuple[int, int]] = {}
    for path in sources():
        files, total = sizes.get(room(path), (0, 0))
        sizes[room(path)] = files + 1, total + lines(path)
    return sizes


def main() -> int:
    for title, value in numbers().items():
        print(f"{title:<32}{value:>8,}")
    print()
    for number, rooms in reversed(list(enumerate(FLOORS, 1))):
        sizes = by_room()
        here = ", ".join(f"{each} {sizes[each][1]:,} in {sizes[each][0]}" for each in rooms if each in sizes)
        print(f"floor {number}: {here}")
    problems = [*upward(), *late(), *circles(), *slips(), *map(str, doubled_classes().items())]
    print(*(["", *problems] if problems and "--list" in sys.argv else []), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
