"""ERNIEKit release/v1.4, stage OCR-VL-SFT: full fine-tuning of PaddleOCR-VL in the Paddle CUDA container.

A data row is a hub row with absolute paths:

    {"text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "৪৫টি", "tag": "no_mask"}],
     "image_info": [{"image_url": "/data/images/0.png", "matched_text_index": 0}]}

ERNIEKit reads its YAML with PyYAML, converts nothing and ignores unknown keys, so every key is checked against the
fields of its dataclasses here, and every default that would break a run is written out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from sft.errors import UsageError
from sft.files import encode
from sft.training.engines.base import Checkpoint, TrainingJob, check_keys, complete_checkpoints, visible_cards
from sft.training.engines.logs import read_progress
from sft.types import Image, Progress, Sample

CHECKPOINT_FILES = (
    "*.safetensors",
    "optimizer*.safetensors",
    "trainer_state.json",
    "scheduler.pdparams",
    "config.json",
)


@cache
def known_keys() -> dict[str, Any]:
    """The fields ERNIEKit's `train` reads, with type and default."""
    keys = json.loads(resources.files("sft.training.engines").joinpath("erniekit-v1.4-keys.json").read_text("utf-8"))
    return {name: entry for name, entry in keys.items() if entry["scope"] == "train"}


class ErnieKit:
    """The named trainer of PaddleOCR-VL 0.9B."""

    name = "erniekit"

    def row(self, sample: Sample, images: Sequence[str]) -> bytes:
        """The hub row, images made absolute: ERNIEKit would join relative ones with the folder of its own data file."""
        named = zip(images, sample.image_info, strict=True)
        return encode(Sample(sample.text_info, tuple(Image(path, image.matched_text_index) for path, image in named)))

    def settings(self, job: TrainingJob) -> dict[str, Any]:
        """The complete YAML of a run, key by key as a table of `docs/engines.md` explains."""
        for path in (job.rows, job.output_dir, job.model_dir):
            if " " in str(path) or "," in str(path):
                raise UsageError(
                    f"ERNIEKit cannot use the path {str(path)!r}",
                    hint="it removes spaces and splits at commas; use a folder whose path has neither",
                )
        settings = {
            **_model(job),
            **_data(job),
            **_schedule(job),
            **_compute(job),
            **_files(job),
        }
        check_keys(settings, known_keys(), "ERNIEKit v1.4")
        return settings

    def extra_files(self, job: TrainingJob) -> dict[str, str]:
        """None: the prompt ending is a constant of ERNIEKit's, the one of version 0.9B."""
        if self.name not in job.version.engines:
            raise UsageError(
                f"ERNIEKit v1.4 writes the prompt ending of 0.9B, PaddleOCR-VL {job.version.name} was trained with"
                f" {job.version.prompt_end!r}",
                hint="use ENGINE=paddleformers for this version; a model tuned with the wrong ending hallucinates",
            )
        return {}

    def command(self, job: TrainingJob, python: str, resume: Checkpoint | None) -> list[str]:
        """`erniekit train`; the console script stands beside the interpreter it belongs to."""
        program = str(Path(python).with_name("erniekit")) if "/" in python else "erniekit"
        return [
            program,
            "train",
            str(job.settings),
            *([f"resume_from_checkpoint={resume.path}"] if resume else []),
        ]

    def environment(self, job: TrainingJob) -> dict[str, str]:
        """A UTF-8 locale (the data file is opened with it), the launcher's log folder, the GPUs, and no PDC resume."""
        return {
            "LC_ALL": "C.UTF-8",
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
            "ERNIEKIT_DIST_LOG": str(job.run_dir / "log" / "workers"),
            "CUDA_VISIBLE_DEVICES": visible_cards(job.config.gpus),
        }

    def progress(self, line: str) -> Progress | None:
        """Step lines; the total is filled in by the caller's plan."""
        return read_progress(line, 0)

    def checkpoints(self, output_dir: Path) -> list[Checkpoint]:
        """Folders with weights, optimizer, scheduler and state, all whole."""
        return complete_checkpoints(output_dir, CHECKPOINT_FILES)


def _model(job: TrainingJob) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "model_name_or_path": str(job.model_dir),  # must be local: preprocessor_config.json is opened as a path
        "stage": "OCR-VL-SFT",
        "fine_tuning": "Full",  # default LoRA, which v1.4 cannot save for this model
        "from_scratch": 0,  # default 1: random weights
        "continue_training": True,
        "convert_from_hf": True,
        "multimodal": True,  # default False: no dataset is built
        "use_flash_attention": True,
        "recompute": True,
        "recompute_granularity": "full",
    }
    if job.config.min_pixels or job.config.max_pixels:
        settings |= {
            "variable_resolution": True,
            "min_pixels": job.config.min_pixels,
            "max_pixels": job.config.max_pixels,
        }
        settings = {key: value for key, value in settings.items() if value is not None}
    return settings


def _data(job: TrainingJob) -> dict[str, Any]:
    return {
        "train_dataset_path": str(job.rows),
        "train_dataset_prob": "1.0",  # unset: float("None")
        "max_seq_len": job.config.max_seq_len,
        "packing": True,
        "packing_size": job.plan.batch,  # B
        "padding": False,  # default True pads every pack to max_seq_len
        "chat_template": "ernie_vl",
        "use_pic_id": False,  # default True puts "Picture 1:" into the prompt
        "sft_replace_ids": True,  # default False: the answer would not end in </s>
        "sft_image_rescale": True,  # default False feeds 0..255
        "sft_image_normalize": True,
        "image_dtype": "float32",
        "drop_untrainble_sample": True,  # default False: such a row kills the run (the key is spelt like this)
        # every worker needs at least one sample, or it waits for ever
        "dataloader_num_workers": min(
            job.config.workers, max(0, job.plan.samples // (job.plan.gpus * job.plan.batch) - 1)
        ),
        "prefetch_factor": 10,
    }


def _schedule(job: TrainingJob) -> dict[str, Any]:
    plan = job.plan
    return {
        "do_train": True,  # default False: ends with exit 0 and no training
        "do_eval": False,  # v1.4 has no evaluation data and dies at the first step of it
        "evaluation_strategy": "no",
        "max_steps": plan.max_steps,
        "batch_size": 1,  # packs per micro-step; B is packing_size
        "gradient_accumulation_steps": plan.accum,  # A
        "learning_rate": plan.learning_rate,
        "min_lr": plan.min_learning_rate,
        "lr_scheduler": "cosine",  # not lr_scheduler_type
        "warmup_steps": plan.warmup_steps,
        "weight_decay": 0.1,
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "adam_epsilon": 1e-8,
        "max_grad_norm": 1.0,
        "seed": job.config.seed,
    }


def _compute(job: TrainingJob) -> dict[str, Any]:
    return {
        "device": job.config.device,
        "compute_type": "bf16",
        "fp16_opt_level": "O2",
        "amp_master_grad": True,
        "tensor_parallel_degree": 1,  # with pipelines it is the only layout this stage supports
        "pipeline_parallel_degree": 1,
        "sharding_parallel_degree": 1,
        "sharding": "stage1",
        "unified_checkpoint": True,  # several GPUs need it; also the file layout of checkpoints
        "disable_ckpt_quant": True,  # default False quantises the optimizer state
        "save_to_hf": True,
    }


def _files(job: TrainingJob) -> dict[str, Any]:
    return {
        "output_dir": str(job.output_dir),
        "logging_dir": str(job.tensorboard_dir),
        "overwrite_output_dir": False,
        "logging_steps": job.plan.logging_steps,
        "save_steps": job.save_steps,
        "save_total_limit": 3,
        "report_to": "none",  # ERNIEKit's own TensorBoard writer is always on; this leaves VisualDL out
        "disable_tqdm": True,
    }
