"""The layout of the package: which folder may import which, no circle of files, faces, and a command line that starts
light.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT, TESTS
from waiting import PATIENCE

from sft.lazy import origins_in

GROUND = {"types", "errors", "lazy", "arrays"}
LOW = {"markup", "images", "files", "ui", "reasons"}
MIDDLE = {"metrics", "runtime", "schema"}
ROWS = {"validate", "inference", "formats", "synth"}
SETS = {"evaluation", "convert", "datasets"}
STAGES = {"report", "serving", "training"}
# folder (or module at the top) → what it may import beside itself. `python tests/test_layout.py` prints what is really
# used.
ALLOWED: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "lazy": set(),
    "arrays": set(),
    "reasons": GROUND,
    "ui": GROUND,
    "files": GROUND,
    "images": GROUND | {"files"},
    "markup": GROUND | {"files"},
    "schema": GROUND | {"reasons"},
    "runtime": GROUND | LOW,
    "metrics": GROUND | LOW,
    "models": GROUND | LOW | MIDDLE,
    "formats": GROUND | LOW | {"schema", "models"},
    "validate": GROUND | LOW | MIDDLE | {"models"},
    "inference": GROUND | LOW | MIDDLE | {"models"},
    "synth": GROUND | LOW | MIDDLE | {"models"},
    "datasets": GROUND | LOW | MIDDLE | {"models"} | ROWS,
    "convert": GROUND | LOW | MIDDLE | {"models"} | ROWS,
    "evaluation": GROUND | LOW | MIDDLE | {"models"} | ROWS,
    "serving": GROUND | LOW | MIDDLE | {"models"} | ROWS | SETS,
    "training": GROUND | LOW | MIDDLE | {"models"} | ROWS | SETS,
    "report": GROUND | LOW | MIDDLE | {"models"} | ROWS | SETS,
    "workflows": GROUND | LOW | MIDDLE | {"models"} | ROWS | SETS | STAGES,
    "cli": GROUND | LOW | MIDDLE | {"models"} | ROWS | SETS | STAGES | {"workflows"},
    "__main__": {"cli"},
}
HEAVY = ("numpy", "cv2", "pydantic", "jsonschema", "huggingface_hub", "tokenizers", "httpx", "PIL")


def module_name(path: Path) -> str:
    """sft/training/engines/base.py → sft.training.engines.base; sft/files/__init__.py → sft.files."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "sft").rglob("*.py"))}
SOURCES = {name: path.read_text("utf-8") for name, path in MODULES.items()}
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}
FACES = sorted(PACKAGES - {"sft", "sft.cli", "sft.runtime.workers"})


def imports(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of every import of the package in a text, late ones too; the name is "" for `import sft.x`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "sft")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written with the whole name"
            if node.module and node.module.split(".")[0] == "sft":
                yield from ((node.module, alias.name) for alias in node.names)


def target(module: str, name: str) -> str:
    """The module that an import really reaches: a submodule, the module behind a name of a face, or the
    module itself.
    """
    if f"{module}.{name}" in MODULES:
        return f"{module}.{name}"
    if module in PACKAGES:
        origin = origins_in(SOURCES[module]).get(name)
        return f"{module}.{name}" if origin == module else origin or module
    return module


def folder(module: str) -> str:
    """sft.training.engines.base → training; sft → sft."""
    return module.split(".")[1] if "." in module else module


def test_every_folder_has_its_line() -> None:
    there = {folder(name) for name in MODULES} - {"sft"}
    assert there == ALLOWED.keys(), "give a new folder a line in ALLOWED, and take out the line of one that is gone"
    assert len(MODULES) > 150


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_imports_only_go_down(name: str) -> None:
    assert not [other for other in ALLOWED[name] if name in ALLOWED[other]], "two folders may not import each other"
    wrong = sorted(
        f"{module} imports {target(*edge)}"
        for module, source in SOURCES.items()
        if folder(module) == name
        for edge in imports(source)
        if folder(target(*edge)) not in ALLOWED[name] | {name, "sft"}
    )
    assert not wrong, "; ".join(wrong)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (strongly connected, more than one node), by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return groups


def test_no_circle_of_files() -> None:
    """A face only hands names on, so its own imports are no edges; whoever uses a name depends on the file
    behind it.
    """
    graph = {
        module: {target(*edge) for edge in imports(source)} - {module}
        for module, source in SOURCES.items()
        if module not in FACES or not origins_in(source)
    }
    assert circles(graph) == []


def test_circles_are_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_tests_lie_in_the_folders_of_what_they_test() -> None:
    """At the top stand those of the whole project alone."""
    tested = {path.parent.name for path in TESTS.glob("*/test_*.py")}
    folders = {module.split(".")[1] for module in PACKAGES if "." in module}
    assert tested == folders


def test_imports_are_seen() -> None:
    """The reader of imports above finds every form, or the tests above would say nothing."""
    text = (
        "import sft.ui\nfrom sft import models as m\nfrom sft.files import sha256\n"
        "from sft.training import engines\ndef f():\n  from sft.errors import SftError\n"
    )
    edges = {target(*edge) for edge in imports(text)}
    assert edges == {"sft.ui", "sft.models", "sft.files.atomic", "sft.training.engines", "sft.errors"}


@pytest.mark.parametrize("face", FACES)
def test_nobody_outside_imports_deeper_than_a_face(face: str) -> None:
    wrong = sorted(
        f"{module}: from {origin} import {name}"
        for module, source in SOURCES.items()
        if not (module == face or module.startswith(f"{face}."))
        for origin, name in imports(source)
        if origin.startswith(f"{face}.")
    )
    assert not wrong, "; ".join(wrong)


@pytest.mark.parametrize("face", FACES)
def test_a_face_names_what_it_hands_on(face: str) -> None:
    module = importlib.import_module(face)
    names = origins_in(SOURCES[face])
    if not names:  # a folder whose face is its content, or whose files nobody outside needs
        return
    assert names.keys() <= set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None, name
    shadowed = [name for name, origin in names.items() if origin != face and f"{face}.{name}" in MODULES]
    assert not shadowed, f"these names of the face are also files of the folder: {shadowed}"
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


def test_what_a_face_offers_is_used() -> None:
    """A name that no other folder asks for does not belong on a face; the metrics and the tables are for users too."""
    used = {(module, name) for source in SOURCES.values() for module, name in imports(source)}
    for path in (ROOT / "eval").glob("*.py"):
        used |= set(imports(path.read_text("utf-8")))
    text = "\n".join(SOURCES.values())
    idle = sorted(
        f"{face}: {name}"
        for face in FACES
        for name in origins_in(SOURCES[face])
        if (face, name) not in used and f"{face.rsplit('.', 1)[-1]}.{name}" not in text
    )
    assert not idle, "; ".join(idle)


def test_workers_import_nothing_of_the_package() -> None:
    workers = [name for name in MODULES if name.startswith("sft.runtime.workers.")]
    assert len(workers) >= 3
    for name in workers:
        assert not list(imports(SOURCES[name])), name


def test_command_line_starts_light() -> None:
    program = f"import sys, sft.cli; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


def test_heavy_libraries_are_there_to_be_loaded() -> None:
    program = f"import sys, importlib; [importlib.import_module(name) for name in {HEAVY}]; print(len({HEAVY}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.split() == [str(len(HEAVY))]
