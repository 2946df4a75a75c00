"""The import graph: no cycles, none of the forbidden arrows, read from the source without running it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("translatotron_v", "data_synth", "experiments", "benchmarks")
SCRIPTS = ("train", "evaluate")

FORBIDDEN = [  # (who, whom, except who, except whom); a name stands for itself and everything inside it
    ("translatotron_v.models", "translatotron_v.training", (), ()),
    ("translatotron_v.models", "translatotron_v.inference", (), ()),
    ("translatotron_v.models", "translatotron_v.data", (), ()),
    ("translatotron_v.models", "translatotron_v.metrics", (), ()),
    ("translatotron_v.models", "translatotron_v.ocr", (), ()),
    ("translatotron_v.training.trainer", "translatotron_v.models", (), ()),
    ("translatotron_v.training.trainer", "translatotron_v.training.stages", (), ()),
    ("translatotron_v.training.trainer", "translatotron_v.training.translator_stage", (), ()),
    ("translatotron_v.training.checkpoint", "translatotron_v.models", (), ()),
    (
        "translatotron_v.training",
        "translatotron_v.inference",
        (),
        ("translatotron_v.inference.generate", "translatotron_v.inference.drawing"),
    ),
    ("translatotron_v.ocr", "translatotron_v", (), ("translatotron_v.errors",)),
    ("data_synth", "translatotron_v", (), ()),
    (
        "translatotron_v",
        "data_synth",
        (
            "translatotron_v.data.pairs",
            "translatotron_v.data.pages",
            "translatotron_v.evaluation.rendering",
            "translatotron_v.inference.cascade",
            "translatotron_v.cli",
        ),
        (),
    ),
    ("", "translatotron_v.cli", ("translatotron_v.__main__",), ()),
    ("", "train", (), ()),
    ("", "evaluate", (), ()),
    ("", "experiments", ("experiments",), ()),
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
    """Names that a module imports anywhere in it, except for type checkers only; relative ones made absolute."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield from imported(other, package)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node, package)


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


GRAPH = import_graph(module_files())


def test_the_graph_is_seen():
    assert "translatotron_v.inference.pictures" in GRAPH["translatotron_v.inference.pipeline"]
    assert "translatotron_v.errors" in GRAPH["translatotron_v.cli"]
    assert "translatotron_v.inference.files" in GRAPH["translatotron_v.cli"]  # imported inside a function


def test_there_are_no_cycles():
    assert find_cycle(GRAPH) == []
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


@pytest.mark.parametrize(("who", "whom", "but_who", "but_whom"), FORBIDDEN)
def test_forbidden_arrows(who: str, whom: str, but_who: tuple[str, ...], but_whom: tuple[str, ...]):
    offences = [
        f"{module} -> {target}"
        for module, targets in sorted(GRAPH.items())
        if inside(module, who) and not any(inside(module, name) for name in but_who)
        for target in sorted(targets)
        if inside(target, whom) and not any(inside(target, name) for name in but_whom)
    ]
    assert offences == []


def test_nothing_that_is_read_may_run_code():
    """No pickles: neither the module itself nor torch's and numpy's ways to it."""
    offences = []
    for name, path in module_files().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("torch.load", "torch.save") or called.startswith(("pickle.", "joblib.")):
                offences.append(f"{name}:{node.lineno} {called}")
    assert offences == []
