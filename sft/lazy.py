"""Faces of folders: names that are imported when they are first used.

`from sft.files import sha256` must not load what else `sft.files` offers, such as an HTTP client: a command starts in a
tenth of a second, and every worker process starts anew. So a face (`__init__.py`) imports its names for the type
checker only:

    if TYPE_CHECKING:
        from sft.files.atomic import sha256
    else:
        __getattr__ = names_of(__name__)

and `names_of` reads the same lines at run time. (PEP 562 describes `__getattr__` of modules.)
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.abc import InspectLoader
from typing import Any


def names_of(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a face: the object behind a name, imported now. AttributeError for a name that the face
    does not have.
    """

    @cache
    def origins() -> dict[str, str]:
        spec = sys.modules[package].__spec__
        loader = spec.loader if spec else None
        source = loader.get_source(package) if isinstance(loader, InspectLoader) else None
        return origins_in(source or "")

    def getattr_of_face(name: str) -> Any:
        if name.startswith("__") or name not in origins():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = origins()[name]
        # a name is a submodule of its own, or something that a submodule defines
        value = import_module(f"{package}.{name}") if module == package else getattr(import_module(module), name)
        setattr(sys.modules[package], name, value)
        return value

    return getattr_of_face


def origins_in(source: str) -> dict[str, str]:
    """The names that a face imports for the type checker, and the modules they come from.

    >>> origins_in("if TYPE_CHECKING:\\n    from sft.files import jsonl\\n    from sft.files.atomic import sha256, write_json\\n")
    {'jsonl': 'sft.files', 'sha256': 'sft.files.atomic', 'write_json': 'sft.files.atomic'}
    """
    return {
        alias.name: statement.module or ""
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
