"""Everything a user can be told went wrong.

    SftError                 base; carries message, hint, where and exit code
    ├── ProblemsFound   (1)  the input was read and found wanting
    ├── UsageError      (2)  the command cannot be carried out as it was given
    └── EngineError     (3)  a trainer, a server or an installer failed

    RowRejected              one row of many; never ends a command
    ├── MarkupError          its markup is not what it should be (`sft.markup`)
    └── ImageProblem         its image cannot be used (`sft.images`)

Exit codes: 0 fine, 1 problems found, 2 usage, 3 engine or server failed, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

EXIT_PROBLEMS = 1
EXIT_USAGE = 2
EXIT_ENGINE = 3
EXIT_INTERRUPTED = 130  # the shell's convention for SIGINT


class SftError(Exception):
    """A failure with a sentence for the user: what was found, where, and what to do about it."""

    exit_code = EXIT_PROBLEMS

    def __init__(self, message: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.message}" if self.where else self.message]
        if self.hint:
            lines += ["", f"hint: {self.hint}"]
        return "\n".join(lines)


class RowRejected(Exception):
    """One row, label or file of many that is left out with a reason; whoever reads the others counts it and goes on.

    `code` is a reason code of `sft.reasons`, `place` says where in the row ("row 2, column 3", "offset 17"), `hint`
    what to do about it.
    """

    def __init__(self, code: str, message: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.code = code
        self.message = message
        self.place = place
        self.hint = hint


class ProblemsFound(SftError):
    """The data or the model was read, and something in it must be fixed first."""

    exit_code = EXIT_PROBLEMS


class UsageError(SftError):
    """A path that does not exist, a number that makes no sense, an option that does not go with another."""

    exit_code = EXIT_USAGE


class EngineError(SftError):
    """A process that the workbench started failed, or a machine lacks what it needs."""

    exit_code = EXIT_ENGINE
