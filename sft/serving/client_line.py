"""What to paste to read with the PaddleOCR client, which by itself takes another version, other limits and a length
that a small server refuses: a tuned model then answers nonsense, or not at all, without a word.
"""

from __future__ import annotations

import shlex

from sft.models import ModelVersion

CLIENT_TOKENS = 4096  # longest answer that the client asks for by itself


def client_lines(version: ModelVersion, pixels: tuple[int, int], *, url: str, longest: int | None = None) -> list[str]:
    """A line of Python and one for a shell. pixels: (least, most) of the training; longest: tokens of the server's
    context, None: more than the client asks for.

    >>> from sft.models import get
    >>> print(*client_lines(get("1.5"), (112896, 1003520), url="http://h:8118/v1"), sep="\\n")  # doctest: +ELLIPSIS
    PaddleOCRVL(pipeline_version="v1.5", vl_rec_backend="vllm-server", ...
    paddleocr doc_parser -i page.png --pipeline_version v1.5 --vl_rec_backend vllm-server ...
    """
    low, high = pixels
    length = min(longest or CLIENT_TOKENS, CLIENT_TOKENS)
    made = f'pipeline_version="{version.pipeline_version}", vl_rec_backend="vllm-server", vl_rec_server_url="{url}"'
    limits = f"min_pixels={low}, max_pixels={high}, max_new_tokens={length}"
    words = ["paddleocr", "doc_parser", "-i", "page.png", "--pipeline_version", version.pipeline_version]
    words += ["--vl_rec_backend", "vllm-server", "--vl_rec_server_url", url]
    words += ["--min_pixels", str(low), "--max_pixels", str(high), "--max_new_tokens", str(length)]
    return [f'PaddleOCRVL({made}).predict("page.png", {limits})', shlex.join(words)]
