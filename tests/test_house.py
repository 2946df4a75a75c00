"""The import graph: no cycles, none of the forbidden arrows, read from the source without running it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("translatotron_v", "data_synth", "experiments", "benchmarks")
SCRIPTS = ("train", "evaluate")

# What a room must not import, however deep inside a function or for type checkers only. A name stands for itself and
# everything inside it; what lies in one room is no arrow. There is no list of exceptions: where one module may do what
# its room may not, the rule is about the others.
T = "translatotron_v"
FORBIDDEN = {
    f"{T}.checkpoint": [T],
    f"{T}.models": [T],
    f"{T}.decoding": [f"{T}.training", f"{T}.inference", f"{T}.page", f"{T}.metrics"],
    f"{T}.training": [f"{T}.inference"],
    f"{T}.training.trainer": [f"{T}.models", f"{T}.training.stages"],
    f"{T}.inference": [f"{T}.training", *(f"{T}.{room}" for room in ("baselines", "serve", "scale", "evaluation"))],
    f"{T}.page": [f"{T}.training", f"{T}.inference", f"{T}.decoding"],
    f"{T}.serve": [f"{T}.training", f"{T}.models", f"{T}.decoding", f"{T}.baselines", f"{T}.evaluation"],
    f"{T}.metrics": [T],
    f"{T}.ocr": [T],
    "data_synth": [T],
    T: ["data_synth"],
    "": [f"{T}.cli", *SCRIPTS, "experiments", "benchmarks"],
}
# What a room that is forbidden all of the package stands on nevertheless, and where rendering is done or a cluster met.
GROUND = {
    f"{T}.checkpoint": [f"{T}.errors"],
    f"{T}.models": [f"{T}.config", f"{T}.data.vocabulary", f"{T}.errors", f"{T}.ranks"],
    f"{T}.metrics": [f"{T}.data", f"{T}.ocr", f"{T}.errors"],
    f"{T}.ocr": [f"{T}.errors"],
}
RENDERS = [
    f"{T}.data.pages",
    f"{T}.data.pairs",
    f"{T}.evaluation.rendering",
    f"{T}.baselines",
    f"{T}.cli",
    f"{T}.scale.on_ray",
]


def module_files() -> dict[str, Path]:
    """Dotted name -> file of every module of the project."""
    files = {name: ROOT / f"{name}.py" for name in SCRIPTS}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in files.items() if path.is_file()}


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Names that a module imports anywhere in it, for type checkers only too; relative ones made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def import_graph(files: dict[str, Path]) -> dict[str, set[str]]:
    """Module -> the project's own modules that it imports."""
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        graph[name] = set()
        for target in imported(ast.parse(path.read_text(encoding="utf-8")), package):
            while target and target not in files:
                target = target.rpartition(".")[0]
            if target and target != name:
                graph[name].add(target)
    return graph


def inside(module: str, name: str) -> bool:
    return name == "" or module == name or module.startswith(f"{name}.")


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Some cycle of a graph as a path that ends where it starts, or nothing."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph.get(node, ())):
            if cycle := visit(target, [*path, node]):
                return cycle
        done.add(node)
        return []

    return next((cycle for node in sorted(graph) if (cycle := visit(node, []))), [])


def commands(files: dict[str, Path]) -> dict[str, Path]:
    """Without ``__main__``, which is the same door as the command line beside it."""
    return {name: path for name, path in files.items() if path.name != "__main__.py"}


def offences(graph: dict[str, set[str]], who: str, whom: str) -> list[str]:
    """The arrows from one room into another, but for those to its ground and, into ``data_synth``, of who renders."""
    return [
        f"{module} -> {target}"
        for module, targets in sorted(graph.items())
        if inside(module, who) and not inside(module, whom if who == "" else "?")
        for target in sorted(targets)
        if inside(target, whom)
        and not (who and inside(target, who))
        and not any(inside(target, name) for name in GROUND.get(who, ()))
        and not (whom == "data_synth" and any(inside(module, name) for name in RENDERS))
    ]


GRAPH = import_graph(commands(module_files()))


def test_the_graph_is_seen():
    assert f"{T}.inference.pictures" in GRAPH[f"{T}.inference.pipeline"]
    assert f"{T}.errors" in GRAPH[f"{T}.commands.translate"]
    assert f"{T}.inference.jobs" in GRAPH[f"{T}.commands.translate"]  # imported inside a function
    assert f"{T}.inference.loaded" in GRAPH[f"{T}.baselines"]  # for type checkers only


def test_there_are_no_cycles():
    assert find_cycle(GRAPH) == []
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


@pytest.mark.parametrize(("who", "whom"), [(who, whom) for who, rooms in FORBIDDEN.items() for whom in rooms])
def test_forbidden_arrows(who: str, whom: str):
    assert offences(GRAPH, who, whom) == []
    spy, prey = f"{who}.spy".removeprefix("."), f"{whom}.prey"  # a rule that nothing can break is none
    assert offences({spy: {prey}, prey: set()}, who, whom) == [f"{spy} -> {prey}"]


def test_rooms_of_the_rules_exist():
    """But for those that are still to be built."""
    rooms = {*FORBIDDEN, *(whom for rooms in FORBIDDEN.values() for whom in rooms), *RENDERS} - {""}
    rooms |= {name for names in GROUND.values() for name in names}
    missing = {room for room in rooms if not any(inside(module, room) for module in GRAPH)}
    assert missing <= {f"{T}.scale"}


def test_only_the_command_line_runs_commands():
    callers = {module for module, targets in GRAPH.items() if any(inside(name, f"{T}.commands") for name in targets)}
    assert {module for module in callers if not inside(module, f"{T}.commands")} == {f"{T}.cli"}


@pytest.mark.parametrize(
    ("start", "goal"),
    [("training.stages.translator", "inference"), ("inference.pipeline", "training"), ("decoding.text", "page")],
)
def test_a_walk_never_climbs(start: str, goal: str):
    """Neither a page through ``Translator`` nor a batch through a step passes through the other's room."""
    seen, waiting = set(), [f"{T}.{start}"]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += GRAPH[module]
    assert len(seen) > 10 and not any(inside(module, f"{T}.{goal}") for module in seen)


def test_nothing_that_is_read_may_run_code():
    """No pickles: neither the module itself nor torch's and numpy's ways to it."""
    offences = []
    for name, path in module_files().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("torch.load", "torch.save") or called.startswith(("pickle.", "joblib.")):
                offences.append(f"{name}:{node.lineno} {called}")
    assert offences == []
