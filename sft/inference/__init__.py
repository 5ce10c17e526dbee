"""Ask a served model for every sample: client, protocols, concurrency, answers kept as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.inference import client, predict, scheduler
    from sft.inference.answer_cache import AnswerCache, PreparedSample, content_hash, prepare
    from sft.inference.client import LOST, EndpointKind, Sampling, shown
    from sft.inference.endpoints import Served, Server, probe_servers
    from sft.inference.predict import read_predictions
    from sft.inference.protocols import data_uri
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "LOST",
    "AnswerCache",
    "EndpointKind",
    "PreparedSample",
    "Sampling",
    "Served",
    "Server",
    "client",
    "content_hash",
    "data_uri",
    "predict",
    "prepare",
    "probe_servers",
    "read_predictions",
    "scheduler",
    "shown",
]
