"""No file of the project imports itself through others, imports for type checkers included."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import dorsal

ROOT = Path(dorsal.__file__).parent
FACE = "dorsal"
"""The front door names everything for type checkers; nothing may import it back but the version."""


def module_of(path: Path) -> str:
    return ".".join(("dorsal", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_of(path): path for path in ROOT.rglob("*.py")}


def imports(path: Path) -> set[str]:
    """The project's modules that a file imports anywhere in it, in functions and for type checkers too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


def test_no_import_circle() -> None:
    graph = {name: imports(path) - {FACE} for name, path in MODULES.items()}
    assert len(graph) > 100
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the circle


def test_imports_for_type_checkers_count() -> None:
    assert "dorsal.spec.network" in imports(MODULES["dorsal"])
