"""No experiment writes its own resume, table or bootstrap: these are the core's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_runs import ROOT

FOLDER = ROOT / "asr_transfer" / "experiments"
CORE = FOLDER / "core"
ELSEWHERE = ("RunRecord", "Ledger", "rmtree", "given_files", "require_same_settings", "require_same_content", "empty")
"""Functions that begin, compare or delete run folders; a ledger is opened by the options that all share."""
RESAMPLING = ("percentile", "nanpercentile", "quantile", "nanquantile", "bootstrap", "resample", "ppf", "choices")
ROW_ENDS = ("| ", " |")
"""What opens and closes a row; a bare `|` is also what patterns and keys are joined by."""
RECORDS = ("run.json", "finished", "running")
SOURCES = [
    *(path for path in sorted(FOLDER.rglob("*.py")) if not path.is_relative_to(CORE)),
    *sorted((ROOT / "recipes").rglob("*.py")),
]


def faults(source: str) -> Iterator[str]:
    """Yield what a module does that is the core's."""
    tree = ast.parse(source)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            if "|---" in node.value or "---|" in node.value or node.value in ROW_ENDS:
                yield f"line {node.lineno}: builds Markdown of its own"
            if node.value in RECORDS:
                yield f"line {node.lineno}: asks what a run folder holds"
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ELSEWHERE:
                yield f"line {node.lineno}: {name} begins or deletes run folders"
            if name in RESAMPLING:
                yield f"line {node.lineno}: {name} makes intervals of its own"
            if any(keyword.arg == "replace" and getattr(keyword.value, "value", None) for keyword in node.keywords):
                yield f"line {node.lineno}: draws with replacement"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich"):
            yield f"line {node.lineno}: prints a table of its own"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_experiment_leaves_resuming_tables_and_intervals_to_the_core(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ('"|" + "---|" * 3', "builds Markdown"),
        ('f"| {name} | {value} |"', "builds Markdown"),
        ('record = RunRecord(path, {}, resume=(path / "x").is_file())', "begins or deletes"),
        ("shutil.rmtree(folder)", "begins or deletes"),
        ('(folder / "run.json").is_file()', "asks what a run folder holds"),
        ('record["status"] == "finished"', "asks what a run folder holds"),
        ("low, high = np.percentile(shares, [2.5, 97.5])", "intervals of its own"),
        ("random.choice(10, 10, replace=True)", "with replacement"),
        ("from rich.table import Table", "table of its own"),
    ],
)
def test_the_search_finds_what_it_looks_for(source: str, what: str) -> None:
    assert [fault for fault in faults(source) if what in fault]
