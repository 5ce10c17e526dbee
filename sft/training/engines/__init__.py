"""The trainers. To add one: a file beside this one and a line in ENGINES."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from sft.errors import UsageError
from sft.lazy import names_of
from sft.models import ModelVersion
from sft.training.engines.base import Engine
from sft.training.engines.erniekit import ErnieKit
from sft.training.engines.paddleformers import PaddleFormers

if TYPE_CHECKING:
    from sft.training.engines.base import Checkpoint, Engine, TrainingJob, absolute_images, to_yaml
    from sft.training.engines.logs import is_skip
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "Checkpoint",
    "Engine",
    "TrainingJob",
    "absolute_images",
    "is_skip",
    "to_yaml",
]

ENGINES: dict[str, Engine] = {
    "erniekit": ErnieKit(),
    "paddleformers": PaddleFormers(),
}


def get(name: str) -> Engine:
    """The engine called `name`; an unknown name is an error with a suggestion."""
    if name in ENGINES:
        return ENGINES[name]
    close = get_close_matches(name, ENGINES, n=1, cutoff=0.4)
    raise UsageError(
        f"no engine called {name!r}",
        hint=(f"did you mean {close[0]} ? " if close else "") + f"engines: {', '.join(ENGINES)}",
    )


def choose(wanted: str | None, version: ModelVersion, *, gpu: bool) -> tuple[str, str]:
    """(engine, the reason in words). What a user asked for wins; otherwise what is there decides."""
    if wanted:
        return get(wanted).name, "asked for"
    if not gpu:
        return "paddleformers", "no NVIDIA GPU here, and it is the only trainer that runs on a CPU"
    if "erniekit" in version.engines:
        return "erniekit", f"the named trainer for PaddleOCR-VL {version.name}"
    return (
        "paddleformers",
        f"ERNIEKit v1.4 writes the prompt ending of 0.9B, not the one of PaddleOCR-VL {version.name}",
    )
