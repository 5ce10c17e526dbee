"""YAML as people write it by hand: the safe types, no aliases, no key twice.

A few lines of aliases stand for gigabytes; of duplicate keys YAML readers silently keep the last.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*name), which is not read here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"duplicate key {key.value[:80]!r}", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def load(text: str | bytes) -> Any:
    """The value of one document.

    yaml.YAMLError, ValueError or RecursionError where it is none, has an alias, or a key twice.
    """
    return yaml.load(text, Loader=_PlainLoader)  # noqa: S506  (a SafeLoader)
