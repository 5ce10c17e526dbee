"""Runs inside the trainer's environment: PaddleFormers' own data set over a file of rows, asked for what it yields.

Input, JSON on stdin: template (file), name (of the template), model (directory), rows (JSONL), max_seq_len, seed, kind
(`map` or `iterable`), augment (false: pictures are left as they are), and what to do:
  lengths   {"repeat": R}: tokens of every row, R times, in the order of the file; null where it is skipped
  batches   {"batch", "workers", "epochs", "gpus"}: per epoch and rank, each batch of the real loader as
            [[number that the name of the first image is, tokens], …]
The last line of stdout is the answer as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle.io import DataLoader
from paddleformers.datasets.loader import create_dataset
from paddleformers.datasets.template.template import get_template_and_fix_tokenizer
from paddleformers.transformers import AutoProcessor, AutoTokenizer
from paddleformers.utils.batch_sampler import MappingBatchSampler, MappingDistributedBatchSampler


def data_set(job: dict[str, Any]) -> Any:
    spec: Any = importlib.util.spec_from_file_location("registered", job["template"])
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id
    config = {
        "tokenizer": tokenizer,
        "processor": AutoProcessor.from_pretrained(job["model"], use_fast=None),
        "max_seq_len": job["max_seq_len"],
        "random_seed": job["seed"],
        "num_replicas": 1,
        "rank": 0,
        "num_samples_each_epoch": 6000000,
        "random_shuffle": job.get("shuffle", True),
        "greedy_intokens": True,
        "packing": False,
        "mix_strategy": "concat",
        "encode_one_turn": True,
        "use_template": True,
        "is_pretraining": False,
        "truncate_packing": False,
        "stage": "VL-SFT",
        "template_backend": "custom",
        "split_multi_turn": False,
        "dataset_type": job["kind"],
        "dtype": "float32",
        "dataset_num_proc": 1,
        "binpacking": True,
        "packing_interval": 1000,
        "dataloader_num_workers": job.get("workers", 0),
        "template": job["name"],
        "tool_format": None,
        "default_system": None,
        "truncation_strategy": "delete",
    }
    config["template_instance"] = get_template_and_fix_tokenizer(config)
    if not job["augment"]:
        config["template_instance"].mm_plugin.image_augmentation = lambda image: image
    return create_dataset(task_group=job["rows"], task_group_prob="1.0", sub_dataset_type="messages", **config)


def lengths(job: dict[str, Any], rows: Any) -> list[int | None]:
    """Tokens of every row, as the data set's own function makes them."""
    result: list[int | None] = []
    for example in rows.mix_datasets.data:  # in the order of the file
        for _ in range(job.get("repeat", 1)):
            try:
                made = rows._process_sft_sequence(example, 1)
            except Exception:
                made = None
            result.append(None if made is None else len(made.token_ids))
    return result


def passes(job: dict[str, Any], rows: Any) -> list[Any]:
    """What the trainer's loader hands out: of Trainer.get_train_dataloader and _get_train_sampler."""

    def collate(batch: list[Any]) -> Any:
        pairs = [(int(Path(one.images[0]).stem), len(one.token_ids)) for example in batch for one in example]
        return np.array(pairs, np.int64)  # the loader hands out arrays only

    if job["kind"] != "map":
        loader = DataLoader(rows, batch_size=job["batch"], collate_fn=collate, num_workers=job["workers"])
        stream = iter(loader)
        return [next(stream).tolist() for _ in range(job["batches"])]
    result = []
    for epoch in range(job["epochs"]):
        ranks = []
        for rank in range(job["gpus"]):
            options = {"batch_size": job["batch"], "shuffle": True, "drop_last": False, "data_seed": job["seed"]}
            if job["gpus"] == 1:
                sampler = MappingBatchSampler(dataset=rows, **options)
            else:
                sampler = MappingDistributedBatchSampler(rows, num_replicas=job["gpus"], rank=rank, **options)
            loader = DataLoader(rows, batch_sampler=sampler, collate_fn=collate, num_workers=job["workers"])
            sampler.set_epoch(epoch)
            ranks.append([batch.tolist() for batch in loader])
        result.append(ranks)
    return result


def main() -> None:
    job = json.load(sys.stdin)
    random.seed(job["seed"])
    np.random.seed(job["seed"])
    paddle.seed(job["seed"])
    rows = data_set(job)
    answer = lengths(job, rows) if job["what"] == "lengths" else passes(job, rows)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
