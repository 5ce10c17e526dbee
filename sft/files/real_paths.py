"""Real paths of many files in few folders."""

from __future__ import annotations

import os
import stat


class RealPaths:
    """As `os.path.realpath`, which looks at every part of a path again each time; here each folder is resolved once.

    For as long as one pass over a file takes: a folder that is moved meanwhile is not noticed.
    """

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: str | os.PathLike[str]) -> str:
        """The path without links."""
        return self.look(path)[0]

    def look(self, path: str | os.PathLike[str]) -> tuple[str, os.stat_result | None]:
        """(path without links, what the system says of that file); None where there is none.

        >>> RealPaths().look("/dev/../dev/null")[0]
        '/dev/null'
        """
        name = os.fspath(path)
        folder, _, last = name.rpartition("/")
        try:
            status = os.lstat(name)
            if last in ("", ".", "..") or stat.S_ISLNK(status.st_mode):
                return os.path.realpath(name), os.stat(name)
        except (OSError, ValueError):
            return os.path.realpath(name), None
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder or ("/" if name.startswith("/") else "."))
        return os.path.join(self._folders[folder], last), status
