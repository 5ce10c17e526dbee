"""A set: found by name, fetched, counted, held out, split, mixed, cleared of duplicates; every row is accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.datasets import holdout, locate
    from sft.datasets.card import load_card
    from sft.datasets.curate import SplitRules, dedupe_set, mix_sets, split_set
    from sft.datasets.fetch import account, fetch_dataset
    from sft.datasets.index import Keys
    from sft.datasets.locate import fingerprint
    from sft.datasets.mix import MixInput
    from sft.datasets.split import few_groups_warning
    from sft.datasets.stats import MEASURES, QUANTILES, Stats, gather
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "MEASURES",
    "QUANTILES",
    "Keys",
    "MixInput",
    "SplitRules",
    "Stats",
    "account",
    "dedupe_set",
    "fetch_dataset",
    "few_groups_warning",
    "fingerprint",
    "gather",
    "holdout",
    "load_card",
    "locate",
    "mix_sets",
    "split_set",
]
