"""Tensors of a model that another tool wrote, under the names that the base has.

Transformers 5 names the parts of PaddleOCR-VL anew (`conversion_mapping.py` of 5.19) and may keep its names when it
saves; peft puts a prefix in front. A tool that believes the output layer to be the embeddings leaves it out.
"""

from __future__ import annotations

from pathlib import Path

from sft.errors import ProblemsFound
from sft.models.safetensors import Table, tensor_bytes

PREFIXES = (  # theirs → the base's
    ("base_model.model.", ""),
    ("model.language_model.", "model."),
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
    ("model.lm_head.", "lm_head."),
    ("model.visual.", "visual."),
    ("model.projector.", "mlp_AR."),
    ("model.mlp_AR.", "mlp_AR."),
)
ADAPTER_MARKS = (".lora_A", ".lora_B", ".lora_embedding", ".lora_magnitude", ".base_layer.", ".modules_to_save.")
HEAD, EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"
BLOCK = 1 << 20  # bytes compared at a time
MERGE_HINT = (
    "merge the adapter with the tool that trained it (`swift export --merge_lora true`, `llamafactory-cli export`,"
    " `save_pretrained_merged`, `paddleformers-cli export`), then give the merged directory"
)


def as_base_names(table: Table, wanted: Table, where: Path) -> tuple[Table, list[str]]:
    """The tensors under the base's names, and what was done to get there.

    ProblemsFound: an adapter that is not merged, or two tensors for one name.
    """
    adapters = [name for name in table if any(mark in name for mark in ADAPTER_MARKS)]
    if adapters:
        raise ProblemsFound(
            f"{len(adapters)} tensors belong to an adapter that is not merged, e.g. {adapters[0][:200]}",
            where=str(where),
            hint=MERGE_HINT,
        )
    renamed: Table = {}
    moved = 0
    for name, place in table.items():
        new = name if name in wanted else base_name(name)
        new = new if new in wanted else name
        if new in renamed:
            raise ProblemsFound(
                f"two tensors are {new}",
                where=str(where),
                hint="remove one of the weight files",
            )
        renamed[new] = place
        moved += new != name
    changes = []
    if moved:
        changes.append(
            f"{moved} tensors have the base's names again, which another tool had changed",
        )
    if HEAD in wanted and HEAD not in renamed and EMBEDDINGS in renamed and is_tied(wanted):
        renamed[HEAD] = renamed[EMBEDDINGS]
        changes.append(
            f"{HEAD} was left out as tied: it is {EMBEDDINGS} again, as in the base",
        )
    return renamed, changes


def base_name(name: str) -> str:
    """A tensor's name as the releases have it.

    >>> base_name("base_model.model.model.language_model.norm.weight")
    'model.norm.weight'
    """
    for theirs, ours in PREFIXES:
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
    return name


def is_tied(table: Table) -> bool:
    """Whether the output layer is the embeddings, to the last bit; False where one of them is missing."""
    if HEAD not in table or EMBEDDINGS not in table:
        return False
    one, other = table[HEAD], table[EMBEDDINGS]
    if any(one[1][key] != other[1][key] for key in ("dtype", "shape")):
        return False
    pairs = zip(tensor_bytes(*one, BLOCK), tensor_bytes(*other, BLOCK), strict=False)
    return all(mine == theirs for mine, theirs in pairs)
