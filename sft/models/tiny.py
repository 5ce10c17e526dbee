"""A tiny PaddleOCR-VL with random weights: the released architecture, tensor names, config layout and files, 2.7 M
parameters.

Of the released file set it lacks `tokenizer.model` (SentencePiece; every loader takes tokenizer.json first) and the
remote code `*_paddleocr_vl.py` (servers and Transformers have the architecture built in).
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sft.errors import EngineError, SftError, UsageError
from sft.files import new_folder_beside, read_json, read_samples, write_json
from sft.images import probe
from sft.models import versions
from sft.models.exporter import server_files
from sft.runtime import run_json
from sft.types import Sample

WORKER = Path(__file__).parent.parent / "runtime" / "workers" / "tiny_model.py"
SINGLE_WEIGHTS = "model.safetensors"
# Ids 0, 1 and 2 are those of the released tokenizer: padding and unknown, begin, end.
SPECIAL_TOKENS = (
    "<unk>",
    "<s>",
    versions.EOS,
    versions.BEGIN,
    versions.TURN_END,
    versions.IMAGE_TOKEN,
    versions.IMAGE_START,
    versions.IMAGE_END,
    "<|video_pad|>",
    *versions.OTSL_TOKENS,
)
MAX_VOCABULARY = 2048
MIN_PAIR_FREQUENCY = 8  # a pair of bytes becomes a token when it is seen this often; letters do, whole labels do not
MAX_POSITIONS = 4096
# Around 8 image tokens of 28 x 28 px (112 x 56 is 6272): every crop is brought to one size, whatever the trainer's
# random rescaling did to it, so that a few minutes are enough to learn to read it.
PIXELS = (5600, 7000)
# Long lines need more, or the resize rule leaves them no whole row of 28 px; the margin is for the trainer's
# augmentation.
ASPECT_MARGIN = 1.3
SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
}
VISION_SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def make_tiny_model(
    out: Path,
    samples: Iterable[Sample],
    version: versions.ModelVersion,
    *,
    pixels: tuple[int, int],
    trainer_python: str,
    seed: int,
    log: Path,
) -> Path:
    """Write a complete model directory whose tokenizer is trained on the texts of `samples`. Whole or not at all."""
    if out.exists():
        raise UsageError("this path already exists", where=str(out), hint="give a new directory")
    temporary = new_folder_beside(out)
    try:
        ids = train_tokenizer((text for sample in samples for text in (sample.ref, sample.prompt)), temporary)
        _weights(temporary, ids, trainer_python, seed, log)
        _configs(temporary)
        server_files(temporary, version, pixels=pixels, eos_token_id=versions.EOS_ID)
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def is_tiny(model_dir: Path) -> bool:
    """Whether a model directory, trained or not, has the sizes of `make_tiny_model`; False where nothing tells."""
    try:
        config = read_json(model_dir / "config.json")
        return all(config.get(name) == size for name, size in SIZES.items())
    except (SftError, AttributeError):
        return False


def pixels_for(aspect: float) -> tuple[int, int]:
    """(min, max) pixels under which every image keeps at least one row of 28 px, and as few as possible.

    aspect: the longer side by the shorter one, at most over all images.

    >>> pixels_for(2.0)
    (5600, 7000)
    >>> pixels_for(100.0)
    (81536, 101920)
    """
    low, high = PIXELS
    high = max(high, math.ceil(versions.FACTOR**2 * aspect * ASPECT_MARGIN))
    return (low if high == PIXELS[1] else high * low // PIXELS[1]), high


def aspect_of(data: Path) -> float:
    """The longer side of an image by its shorter one, at most over all images that the rows of a file name."""
    headers = (probe(data.parent / image.image_url) for _, sample in read_samples(data) for image in sample.image_info)
    return max((max(one.width, one.height) / min(one.width, one.height) for one in headers), default=1.0)


def train_tokenizer(texts: Iterable[str], out: Path) -> dict[str, int]:
    """A byte-level BPE for any script, with the family's special tokens; digits stay apart. Returns the token ids."""
    from tokenizers import Tokenizer
    from tokenizers import decoders as decode
    from tokenizers import models as kinds
    from tokenizers import pre_tokenizers as split
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(kinds.BPE(unk_token=SPECIAL_TOKENS[0]))
    tokenizer.pre_tokenizer = split.Sequence(
        [split.Digits(individual_digits=True), split.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decode.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=MAX_VOCABULARY,
        min_frequency=MIN_PAIR_FREQUENCY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=split.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(out / "tokenizer.json"))
    return dict(tokenizer.get_vocab())


def _weights(out: Path, ids: dict[str, int], python: str, seed: int, log: Path) -> None:
    """Let the trainer's own classes write config.json and the weights."""
    config = {
        **SIZES,
        "vocab_size": len(ids),
        "max_position_embeddings": MAX_POSITIONS,
        "image_token_id": ids[versions.IMAGE_TOKEN],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids[versions.IMAGE_START],
        "vision_end_token_id": ids[versions.IMAGE_END],
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": versions.EOS_ID,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000,
        "rope_scaling": {
            "mrope_section": [8, 12, 12],
            "rope_type": "default",
            "type": "default",
        },  # sums to head_dim / 2
        "use_bias": False,
        "tie_word_embeddings": False,
        "vision_config": {
            **VISION_SIZES,
            "num_channels": 3,
            "image_size": 384,
            "patch_size": versions.PATCH,
            "spatial_merge_size": versions.MERGE,
            "temporal_patch_size": 1,
            "tokens_per_second": 2,
            "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-6,
        },
    }
    order = {"out": str(out), "seed": seed, "config": config}
    run_json(
        [python, str(WORKER)],
        log=log,
        stdin=json.dumps(order).encode(),
        env={"CUDA_VISIBLE_DEVICES": ""},
        what="building the tiny model",
    )
    shards = sorted(out.glob("model*.safetensors"))
    if len(shards) != 1:
        raise EngineError(f"the trainer wrote {len(shards)} weight files, one was expected", where=str(out))
    shards[0].rename(out / SINGLE_WEIGHTS)
    for leftover in (*out.glob("*.index.json"), *out.glob("saved_signal_*")):
        leftover.unlink()


def _configs(out: Path) -> None:
    """What the classes do not write: no fused kernels (there are none on a CPU), tokenizer and image settings."""
    path = out / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["fuse_rms_norm"] = False
    config["vision_config"]["fuse_rms_norm"] = False
    write_json(path, config)
    names = {
        "bos_token": "<s>",
        "eos_token": versions.EOS,
        "unk_token": "<unk>",
        "pad_token": "<unk>",
        "cls_token": versions.BEGIN,
        "sep_token": versions.TURN_END,
    }
    extra = {
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_POSITIONS,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    write_json(out / "tokenizer_config.json", {**names, **extra})
    write_json(out / "special_tokens_map.json", names)
    picture = {
        "image_processor_type": "PaddleOCRVLImageProcessor",
        "processor_class": "PaddleOCRVLProcessor",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "rescale_factor": 1 / 255,
        "resample": 3,
        "patch_size": versions.PATCH,
        "merge_size": versions.MERGE,
        "temporal_patch_size": 1,
    }
    write_json(out / "preprocessor_config.json", picture)
