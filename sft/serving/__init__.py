"""Serve a model directory, and prove that Transformers and vLLM read alike with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.serving.bundle import API_PORT, BundleOptions, model_files, write_bundle
    from sft.serving.client_line import client_lines
    from sft.serving.parity import Parity, check_parity, keep_probabilities
    from sft.serving.server import (
        ANSWER_TOKENS,
        DEFAULT_PORT,
        ServerOptions,
        context_of,
        free_port,
        require_free_port,
        running,
        server_command,
        server_options,
        serving,
        version_of,
    )
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "ANSWER_TOKENS",
    "API_PORT",
    "DEFAULT_PORT",
    "BundleOptions",
    "Parity",
    "ServerOptions",
    "check_parity",
    "client_lines",
    "context_of",
    "free_port",
    "keep_probabilities",
    "model_files",
    "require_free_port",
    "running",
    "server_command",
    "server_options",
    "serving",
    "version_of",
    "write_bundle",
]
