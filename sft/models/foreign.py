"""A model that another tool trained (ms-swift, LLaMA-Factory, Unsloth, PaddleFormers' own command) becomes a model
directory: its weights, and everything else from the base it was trained from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sft.errors import ProblemsFound, UsageError
from sft.models import versions
from sft.models.exporter import export
from sft.models.recognise import Directory, recognise
from sft.models.token_budget import load_tokenizer, pixel_limits
from sft.models.verify import identify, prompt_end

UNUSABLE = ("adapter", "pickled", "empty")


def export_foreign(weights: Path, base: Path, out: Path) -> dict[str, Any]:
    """Build `out` from the weights of a directory and its base, with the same proofs as a run's; returns the manifest.

    The pixel limits are those that stand beside the weights, else the base's. ProblemsFound: there is no whole model,
    its tokenizer is not the base's, or the base is of no known version.
    """
    for folder, what in ((weights, "weights"), (base, "base model")):
        if not folder.is_dir():
            raise UsageError(f"no such directory for the {what}", where=str(folder), hint="check the path")
    about = recognise(weights)
    if about.kind in UNUSABLE:
        raise ProblemsFound(about.about, where=str(weights), hint=about.hint)
    version = _version(base)
    _require_same_tokens(weights, base)
    limits, changes = _limits(weights, base)
    return export(
        weights,
        base,
        out,
        version,
        pixels=limits,
        origin={"weights_from": weights.resolve().name, "tool": about.tool},
        changes=[*changes, *_prompt_change(weights, version), *_what(about)],
    )


def mended(folder: Path, out: Path) -> dict[str, Any]:
    """Build in `out` a copy that has everything that can be had without the base: joined weights, template, settings.

    The weights stay as they are. ProblemsFound where the directory does not say which version it is, or holds no whole
    model.
    """
    about = recognise(folder)
    if about.kind in UNUSABLE:
        raise ProblemsFound(about.about, where=str(folder), hint=about.hint)
    return export(
        folder,
        folder,
        out,
        _version(folder),
        pixels=pixel_limits(folder),
        origin={"mended_from": folder.resolve().name, "tool": about.tool},
    )


def _version(base: Path) -> versions.ModelVersion:
    version = identify(base)
    if version is None:
        raise ProblemsFound(
            "this does not say which version it is: neither inference.yml nor the chat template and the pixel limits",
            where=str(base),
            hint="give the directory that was downloaded; `sft fetch-model` downloads one",
        )
    return version


def _require_same_tokens(weights: Path, base: Path) -> None:
    """Other tokens mean other numbers for the same text: weights go with the tokenizer they were trained with."""
    path = weights / "tokenizer.json"
    if not path.is_file():
        return
    ours = load_tokenizer(path).get_vocab()
    theirs = load_tokenizer(base / "tokenizer.json").get_vocab()
    if ours != theirs:
        different = sorted(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
        raise ProblemsFound(
            f"its tokenizer differs from the base's in {len(different)} tokens, e.g. {different[0][:50]!r}",
            where=str(path),
            hint="give the base that was trained; tokens that were added in training cannot be served with its files",
        )


def _limits(weights: Path, base: Path) -> tuple[tuple[int, int], list[str]]:
    wanted = pixel_limits(base)
    if not (weights / "preprocessor_config.json").is_file():
        return wanted, []
    limits = pixel_limits(weights)
    if limits == wanted:
        return limits, []
    ours, theirs = (f"{low} to {high}" for low, high in (limits, wanted))
    return limits, [f"pixel limits {ours} as beside the weights, the base has {theirs}"]


def _prompt_change(weights: Path, version: versions.ModelVersion) -> list[str]:
    """A template of the other kind beside the weights tells that they may have been trained on another prompt."""
    end = prompt_end(weights)
    if end in (None, version.prompt_end):
        return []
    sentence = (
        f"warning: the template beside the weights ends the prompt with {end!r}, {version.name} is served with"
        f" {version.prompt_end!r}: if it was trained so, its answers are worse than the base's"
    )
    return [sentence]


def _what(about: Directory) -> list[str]:
    return ["the state of the training was left out"] if about.kind == "checkpoint" else []
