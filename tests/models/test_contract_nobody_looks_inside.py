"""Nobody but the models' room names the acoustic model's class or reads its sizes: the contract is asked."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.real_runs import ROOT

OUTSIDE = [
    path
    for folder in ("asr_transfer", "data_prep", "recipes", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ROOT / "asr_transfer" / "models" not in path.parents
]
SETTINGS = ROOT / "asr_transfer" / "config.py"
"""Where sizes are declared and checked."""


LAYERS = ("encoder.layers", "frontend.")
READ = (
    "model.config",
    "base.config",
    ".frontend",
    ".encoder.layers",
    ".encoder.norm",
    ".encoder.projection",
    ".strides",
)


def _looks(path: Path) -> list[str]:
    """Return what a file does that only the models' room should, with its lines."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        what = ""
        if isinstance(node, ast.ImportFrom) and node.module == "asr_transfer.models.acoustic":
            what = "imports the acoustic model"
        elif isinstance(node, ast.Name) and node.id in ("AcousticModel", "ImageModel"):
            what = f"names {node.id}"
        elif isinstance(node, ast.Attribute) and (chain := ast.unparse(node)).endswith(READ) and path != SETTINGS:
            what = f"reads {chain}"
        elif isinstance(node, ast.Constant) and str(node.value).startswith(LAYERS) and " " not in str(node.value):
            what = f"names the layer '{node.value}'"
        if what:
            found.append(f"{path.relative_to(ROOT)} line {node.lineno}: {what}")  # type: ignore[attr-defined]
    return found


def test_models_are_asked_and_not_looked_into() -> None:
    assert len(OUTSIDE) > 150
    assert [look for path in OUTSIDE for look in _looks(path)] == []


def test_the_walk_finds_what_it_is_for() -> None:
    acoustic = _looks(ROOT / "asr_transfer" / "models" / "acoustic.py")
    for look in ("names AcousticModel", "reads self.strides", "reads model.config", "names the layer 'frontend.layers"):
        assert any(look in found for found in acoustic), look
    assert any(
        "imports the acoustic model" in found for found in _looks(ROOT / "tests" / "models" / "test_acoustic.py")
    )
