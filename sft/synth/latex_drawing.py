"""Formulas through an installed LaTeX: one page a formula, dvipng makes it a grey picture."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

from sft.errors import EngineError
from sft.synth.base import Coverage, Unfit

PROGRAMS = ("latex", "dvipng")
SECONDS = 60  # of the processor, that one formula may take
PATIENCE = 1800.0  # seconds on the clock, for a machine that does much else: LaTeX waits for nothing
POINTS = 10.0  # the size of LaTeX's letters at 72.27 points an inch
REFUSED = (
    "\\input",
    "\\include",
    "\\openin",
    "\\openout",
    "\\read",
    "\\write",
    "\\special",
    "\\csname",
    "\\catcode",
    "\\usepackage",
    "\\Require",
    "\\Load",
    "\\InputIf",
    "\\pdf",
    "\\scantokens",
    "\\end{document}",
    "^^",
    "\\def",
    "\\gdef",
    "\\edef",
    "\\xdef",
    "\\let",
    "\\repeat",
    "\\newcommand",
    "\\renewcommand",
)
PARANOID = {"openin_any": "p", "openout_any": "p"}  # LaTeX may read and write files of its own folder only
PAGE = r"""\documentclass[10pt]{article}
\usepackage{amsmath,amssymb}
\begin{document}
\setbox0\hbox{$\displaystyle %s$}\shipout\box0
\end{document}
"""


def require() -> None:
    """Raise EngineError (exit code 3) where a program is missing."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise EngineError(
            f"--latex needs {' and '.join(missing)}, which cannot be found",
            hint="apt install texlive-latex-base dvipng, or leave --latex out: matplotlib renders formulas too",
        )


def render(latex: str, em: float) -> Coverage:
    """Ink of a formula (without delimiters); `em` in pixels. `Unfit` where LaTeX refuses it."""
    if any(word in latex for word in REFUSED) or "$" in latex:
        raise Unfit("target.latex", "a formula with commands that read, write or end the document is not drawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "f.tex").write_text(PAGE % latex, "utf-8")
        done = _call(["latex", "-no-shell-escape", "-interaction=batchmode", "-halt-on-error", "f.tex"], folder)
        if done.returncode or not (folder / "f.dvi").is_file():
            reason = _reason(folder / "f.log")
            if ".sty' not found" in reason:  # so it would be with every formula
                raise EngineError(
                    f"LaTeX lacks a package{reason}",
                    hint="apt install texlive-latex-base, or leave --latex out: matplotlib renders formulas too",
                )
            raise Unfit("target.latex", f"LaTeX cannot draw this{reason}")
        done = _call(
            [
                "dvipng",
                "-q",
                "-T",
                "tight",
                "-D",
                str(round(em / POINTS * 72.27)),
                "-bg",
                "White",
                "-o",
                "f.png",
                "f.dvi",
            ],
            folder,
        )
        picture = cv2.imread(str(folder / "f.png"), cv2.IMREAD_GRAYSCALE) if (folder / "f.png").is_file() else None
    if picture is None or picture.min() == 255:
        raise Unfit("target.latex", "LaTeX draws nothing for this formula")
    return 1 - picture.astype(np.float32) / np.float32(255)


def _call(command: list[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    def limit() -> None:
        """In the child: the work that it may do before SIGXCPU."""
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(
            resource.RLIMIT_CPU, (SECONDS if most == resource.RLIM_INFINITY else min(SECONDS, most), most)
        )

    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **PARANOID},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            preexec_fn=limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"{command[0]} did not end in {PATIENCE:.0f} s", hint="the machine or its disk hangs"
        ) from error
    except OSError as error:
        raise EngineError(
            f"{command[0]} cannot be started ({error.strerror})",
            hint="leave --latex out: matplotlib renders formulas too",
        ) from error
    if done.returncode == -signal.SIGXCPU:
        raise Unfit("target.latex", f"{command[0]} did not finish this formula in {SECONDS} s")
    return done


def _reason(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
    return next(
        (f": {line[2:200]}" for line in lines if line.startswith("! ")),
        "",
    )
