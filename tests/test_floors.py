"""The floors of the package: a module imports from its own floor or a lower one, and the command line starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS: dict[str, int] = {
    name: floor
    for floor, names in {
        0: "errors sft types",
        1: (
            "config crops headers images jsonl looks manifest markup markup.celltext markup.chart markup.errors"
            " markup.grid markup.html markup.html_cells markup.html_fast markup.html_hidden markup.html_rows"
            " markup.html_styles markup.html_tokens markup.markdown markup.mathml markup.latex markup.latex_check"
            " markup.latex_inline markup.latex_scoring markup.latex_tokens markup.number_dates markup.number_digits"
            " markup.number_format markup.numbers markup.otsl markup.otsl_lenient markup.pipeline markup.scripts"
            " markup.sheets markup.table markup.text markup.xlsx markup.xlsx_layout models reasons safetensors_io"
            " schema shards shards_ray tokens work yaml_plain"
        ),
        2: (
            "checks checks_images checks_row checks_set checks_shard checks_target engines engines.base"
            " engines.erniekit engines.logs engines.paddleformers fast_latex fast_markup fast_text fastpath formats"
            " formats.alto formats.base formats.chartqa formats.chat formats.chat_parse formats.delimited"
            " formats.delimited_rows formats.docling formats.docling_labels formats.erniekit formats.gt_pairs"
            " formats.hf formats.hf_configs formats.hf_files formats.hf_library formats.hme100k formats.hocr"
            " formats.icdar formats.im2latex formats.json_decode formats.json_stream formats.label_studio formats.llava"
            " formats.lmdb_pages formats.lmdb_rec formats.messages formats.omnidocbench formats.otsl_parquet"
            " formats.paddleocr_rec formats.page_xml formats.parquet formats.plotqa formats.ppocrlabel"
            " formats.pubtabnet formats.regions formats.rows formats.targets formats.unimer formats.webdataset"
            " formats.xlsx formats.xml_safe metrics metrics.answers metrics.cdm metrics.cdm_dvi metrics.cdm_grid"
            " metrics.cdm_latex metrics.cdm_match metrics.cdm_render metrics.cdm_signs metrics.cdm_symbols"
            " metrics.cells metrics.chart metrics.formula metrics.grits metrics.health metrics.normalise metrics.scrm"
            " metrics.table metrics.text metrics.tree_distance pictures plan rejected repair validate"
        ),
        3: (
            "beside cards container convert convert_unit convert_warnings data download environments evaluation"
            " evaluation.cache evaluation.client evaluation.compare evaluation.gates evaluation.limit evaluation.bounds"
            " evaluation.measure evaluation.outputs evaluation.pool evaluation.predict evaluation.report"
            " evaluation.report_data evaluation.report_diff evaluation.report_files evaluation.report_images"
            " evaluation.report_plots evaluation.report_samples evaluation.report_tables evaluation.report_tensorboard"
            " evaluation.report_words evaluation.results evaluation.sample_scores evaluation.score evaluation.servers"
            " evaluation.slices evaluation.statistics evaluation.suites evaluation.wires export fetch_data fetch_model"
            " job launch loop pages pages.data pages.render runs scoring seen serve sets sets.dedupe sets.index"
            " sets.mix sets.near sets.rows sets.split sets.verbs stats store synth synth.axes synth.base synth.bengali"
            " synth.chart_plan synth.charts synth.degrade synth.formulas synth.given synth.grids synth.layout"
            " synth.shaping synth.tables synth.tex synth.text synth.typefaces synth.words synth.write tiny train ui"
            " workers workers.leash workers.tiny_model workers.transformers_answers checkpoints curve evaluation.best"
            " run_export evaluation.extras evaluation.conditions evaluation.pairing evaluation.report_findings"
            " evaluation.report_fonts evaluation.report_summary"
        ),
        4: (
            "__main__ cli cli.checking cli.common cli.comparing cli.convert cli.curve cli.data cli.drawing cli.looking"
            " cli.models cli.planning cli.serving cli.sets cli.setup cli.training"
        ),
    }.items()
    for name in names.split()
}
HEAVY = ("numpy", "cv2", "pydantic", "jsonschema", "huggingface_hub", "tokenizers", "httpx", "PIL")


def module_name(path: Path) -> str:
    """sft/training/engines/base.py → engines.base; sft/__init__.py → sft."""
    parts = path.relative_to(ROOT / "sft").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "sft"


MODULES = {module_name(path): path for path in sorted((ROOT / "sft").rglob("*.py"))}


def short(name: str) -> str:
    return name.removeprefix("sft.")


def imports(source: str) -> set[str]:
    """The modules of the package that a text imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {short(alias.name) for alias in node.names if alias.name.split(".")[0] == "sft"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written with the whole name"
            if node.module and node.module.split(".")[0] == "sft":
                inner = {short(f"{node.module}.{alias.name}") for alias in node.names} & set(MODULES)
                found |= inner or {short(node.module)}
    return found


def test_every_module_has_a_floor() -> None:
    missing, gone = sorted(MODULES.keys() - FLOORS.keys()), sorted(FLOORS.keys() - MODULES.keys())
    assert not missing, f"give these modules a floor in {Path(__file__).name}: {', '.join(missing)}"
    assert not gone, f"these modules are gone, take them out of {Path(__file__).name}: {', '.join(gone)}"
    assert len(MODULES) > 40


@pytest.mark.parametrize("name", sorted(FLOORS))
def test_imports_stay_on_their_floor_or_below(name: str) -> None:
    wrong = [
        f"{name} (floor {FLOORS[name]}) imports {other} (floor {FLOORS[other]})"
        for other in sorted(imports(MODULES[name].read_text("utf-8")))
        if FLOORS[other] > FLOORS[name]
    ]
    assert not wrong, "; ".join(wrong)


def test_imports_are_seen() -> None:
    """The reader of imports above finds every form, or the test above would say nothing."""
    text = (
        "import sft.training.plan\nfrom sft import jsonl, models as m\nfrom sft.training.engines.base import Job\nfrom"
        " sft.training.engines import logs\nfrom sft import __version__\ndef f():\n  from sft.training.trainer import"
        " train\n"
    )
    assert imports(text) == {"plan", "jsonl", "models", "engines.base", "engines.logs", "sft", "train"}
    assert imports(MODULES["validate"].read_text("utf-8")) >= {"checks", "checks_shard", "jsonl"}
    assert "engines" in imports(MODULES["job"].read_text("utf-8"))


def test_workers_import_nothing_of_the_package() -> None:
    workers = [name for name in MODULES if name.startswith("workers.")]
    assert len(workers) >= 3
    for name in workers:
        assert not imports(MODULES[name].read_text("utf-8")), name


def test_command_line_starts_light() -> None:
    program = f"import sys, sft.cli; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


def test_heavy_libraries_are_there_to_be_loaded() -> None:
    program = f"import sys, importlib; [importlib.import_module(name) for name in {HEAVY}]; print(len({HEAVY}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [str(len(HEAVY))]
