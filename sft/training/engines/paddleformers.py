"""PaddleFormers 1.2.0, stage VL-SFT: the successor of ERNIEKit, for all three versions, and the one that runs on a CPU.

A data row:

    {"messages": [{"role": "user", "content": "<image>OCR:"}, {"role": "assistant", "content": "৪৫টি"}],
     "images": ["/data/images/0.png"]}

Its built-in template ends the prompt as version 0.9B does; here the template is written from the model record instead,
and registered through `custom_register_path`, so that what is trained is what is served.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from sft.errors import UsageError
from sft.models import BEGIN, EOS, IMAGE_TOKEN
from sft.training.engines.base import Checkpoint, TrainingJob, check_keys, complete_checkpoints, visible_cards
from sft.training.engines.logs import read_progress
from sft.types import Progress, Sample

IMAGE_MARK = "<image>"  # where an image stands in the text of a message
TEMPLATE_NAME = "paddleocr_vl_record"
TEMPLATE_FILE = "template.py"
CHECKPOINT_FILES = (
    "model*.safetensors",
    "optimizer*.safetensors",
    "trainer_state.*",
    "scheduler.pdparams",
    "training_args.bin",
)

_TEMPLATE = '''"""The prompt of PaddleOCR-VL {version}, registered with the trainer; generated from the model record."""

from paddleformers.datasets.SFTDataset import MapSFTDataset
from paddleformers.datasets.template.formatter import EmptyFormatter, StringFormatter
from paddleformers.datasets.template.mm_plugin import get_mm_plugin
from paddleformers.datasets.template.template import register_template

register_template(
    name={name!r},
    format_user=StringFormatter(slots=[{user!r}]),
    format_assistant=StringFormatter(slots=["{{{{content}}}}"]),
    format_system=StringFormatter(slots=["{{{{content}}}}\\n"]),
    format_prefix=EmptyFormatter(slots=[{begin!r}]),
    chat_sep={answer_end!r},
    mm_plugin=get_mm_plugin(name="paddleocr_vl", image_token={image_token!r}),
)


def name_faults(make):
    """Every row that cannot be used is printed: the data set takes another one for it and prints ten of them only."""

    def process(self, example, count):
        try:
            return make(self, example, count)
        except Exception as error:
            line = f"Warning: Error processing example, skipping. Error: {{error!r}}; images {{example.get('images')}}"
            print(line.replace("\\n", " "), flush=True)
            raise

    return process


MapSFTDataset._process_sft_sequence = name_faults(MapSFTDataset._process_sft_sequence)
'''


@cache
def known_keys() -> dict[str, str]:
    """The fields PaddleFormers' `train` reads, name → type."""
    keys: dict[str, str] = json.loads(
        resources.files("sft.training.engines").joinpath("paddleformers-1.2.0-keys.json").read_text("utf-8")
    )
    return keys


class PaddleFormers:
    """The trainer for 1.5 and 1.6, and for rehearsals."""

    name = "paddleformers"

    def row(self, sample: Sample, images: Sequence[str]) -> bytes:
        """Turns as messages; each image becomes a mark in front of the text whose index it names."""
        order = sorted(
            range(len(sample.image_info)),
            key=lambda index: sample.image_info[index].matched_text_index,
        )
        messages = []
        for index, item in enumerate(sample.text_info):
            marks = sum(image.matched_text_index == index for image in sample.image_info)
            role = "user" if item.tag == "mask" else "assistant"
            messages.append(
                {
                    "role": role,
                    "content": IMAGE_MARK * marks + item.text.strip(),
                }
            )  # ERNIEKit strips too
        paths = [images[index] for index in order]
        return json.dumps({"messages": messages, "images": paths}, ensure_ascii=False).encode()

    def settings(self, job: TrainingJob) -> dict[str, Any]:
        """The complete YAML of a run; on a CPU without mixed precision and fused attention."""
        if job.config.min_pixels or job.config.max_pixels:
            raise UsageError(
                "PaddleFormers takes the pixel limits from the model directory and ignores min_pixels and max_pixels",
                hint=f"leave them out, and set them in a copy of {job.model_dir / 'preprocessor_config.json'}",
            )
        settings = {
            **_model(job),
            **_data(job),
            **_schedule(job),
            **(_cpu() if job.config.device == "cpu" else _gpu()),
            **_files(job),
        }
        known = {**known_keys(), "custom_register_path": "str"}
        check_keys(settings, known, "PaddleFormers 1.2.0")
        return settings

    def extra_files(self, job: TrainingJob) -> dict[str, str]:
        """The template with this version's prompt ending."""
        version = job.version
        text = _TEMPLATE.format(
            version=version.name,
            name=TEMPLATE_NAME,
            user=f"User: {{{{content}}}}{version.prompt_end}",
            begin=BEGIN,
            answer_end=EOS,  # of every answer, as in the served template; the built-in one trains no end but the last
            image_token=IMAGE_TOKEN,
        )
        return {TEMPLATE_FILE: text}

    def command(self, job: TrainingJob, python: str, resume: Checkpoint | None) -> list[str]:
        """On a GPU the front end; on a CPU the launcher module itself, since the front end insists on a GPU list."""
        last = [f"resume_from_checkpoint={resume.path}"] if resume else []
        if job.config.device == "cpu":
            return [python, "-m", "paddleformers.cli.launcher", "train", str(job.settings), *last]
        program = str(Path(python).with_name("paddleformers-cli")) if "/" in python else "paddleformers-cli"
        return [program, "train", str(job.settings), *last]

    def environment(self, job: TrainingJob) -> dict[str, str]:
        """UTF-8, unbuffered output, no look-ups on a hub, and the cores or cards to use."""
        common = {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
        if job.config.device == "cpu":
            return {**common, "OMP_NUM_THREADS": str(os.cpu_count() or 1), "CUDA_VISIBLE_DEVICES": ""}
        return {
            **common,
            "CUDA_VISIBLE_DEVICES": visible_cards(job.config.gpus),
            "PADDLEFORMERS_DIST_LOG": str(job.run_dir / "log" / "workers"),
        }

    def progress(self, line: str) -> Progress | None:
        """Step lines; the total is filled in by the caller's plan."""
        return read_progress(line, 0)

    def checkpoints(self, output_dir: Path) -> list[Checkpoint]:
        """Folders with weights, optimizer, scheduler and state, all whole."""
        return complete_checkpoints(output_dir, CHECKPOINT_FILES)


def _model(job: TrainingJob) -> dict[str, Any]:
    return {
        "model_name_or_path": str(job.model_dir),
        "stage": "VL-SFT",
        "fine_tuning": "full",
        "template": TEMPLATE_NAME,
        "template_backend": "custom",
        "custom_register_path": str(job.run_dir / TEMPLATE_FILE),
    }


def _data(job: TrainingJob) -> dict[str, Any]:
    return {
        "train_dataset_type": "messages",
        "train_dataset_path": str(job.rows),
        "train_dataset_prob": "1.0",
        "eval_dataset_type": "messages",  # opened even though do_eval is off
        "eval_dataset_path": str(job.rows),
        "eval_dataset_prob": "1.0",
        "max_seq_len": job.config.max_seq_len,
        "mix_strategy": "concat",
        "dataset_type": "map",  # every row once a pass; the default repeats the last row and draws with repeats
        "padding_free": True,
        "truncate_packing": False,
        "dataloader_num_workers": job.config.workers,
    }


def _schedule(job: TrainingJob) -> dict[str, Any]:
    plan = job.plan
    return {
        "do_train": True,
        "do_eval": False,
        "max_steps": plan.max_steps,
        "per_device_train_batch_size": plan.batch,
        "gradient_accumulation_steps": plan.accum,
        "learning_rate": plan.learning_rate,
        "min_lr": plan.min_learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": plan.warmup_steps,
        "weight_decay": 0.1,
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "seed": job.config.seed,
    }


def _cpu() -> dict[str, Any]:
    return {"device": "cpu", "bf16": False, "_attn_implementation": "eager"}


def _gpu() -> dict[str, Any]:
    return {
        "device": "gpu",
        "bf16": True,
        "fp16_opt_level": "O2",
        "amp_master_grad": True,
        "_attn_implementation": "flashmask",
        "recompute_granularity": "full",
        "recompute_method": "uniform",
        "recompute_num_layers": 1,
    }


def _files(job: TrainingJob) -> dict[str, Any]:
    return {
        "output_dir": str(job.output_dir),
        "logging_dir": str(job.tensorboard_dir),
        "logging_steps": job.plan.logging_steps,
        "save_strategy": "steps",
        "save_steps": job.save_steps,
        "save_total_limit": 3,
        "report_to": "tensorboard",
        "disable_tqdm": True,
        "tensor_model_parallel_size": 1,
        "pipeline_model_parallel_size": 1,
        # flex_checkpoint cannot be resumed on a CPU; unified_checkpoint holds ordinary safetensors
        "unified_checkpoint": True,
        "save_checkpoint_format": "unified_checkpoint",
        "load_checkpoint_format": "unified_checkpoint",
    }
