"""Plain values: dataclasses as YAML and JSON hold them, and JSON that every reader takes."""

from __future__ import annotations

import ast
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_transfer.plain import to_json, to_plain

ROOT = Path(__file__).resolve().parents[1]

NO_FILES = {
    "asr_transfer/plain.py": "is the one writer",
    "asr_transfer/training/precision.py": "makes a key",
    "asr_transfer/data/features.py": "makes a key",
    "asr_transfer/experiments/languages/points.py": "makes a key",
    "asr_transfer/runs/resuming.py": "makes a checksum",
    "asr_transfer/experiments/core/ledger.py": "keeps results of its own, of which settings may be infinite",
    "asr_transfer/data/manifest.py": "shows a value in a sentence",
    "asr_transfer/models/weight_files.py": "makes a checksum",
    "asr_transfer/models/speaker_space.py": "writes names and shapes into a file of tensors",
    "asr_transfer/data/synthesis.py": "talks to a process of its own",
    "asr_transfer/evaluation/classes.py": "writes many lines of texts alone, which `to_json` would walk through",
    "asr_transfer/runs/lock.py": "writes into an open, locked file, four known fields",
}
"""Files that may use `json.dumps`, and why."""


@dataclass(frozen=True)
class _Inner:
    place: Path
    rates: tuple[float, ...]


def test_dataclasses_become_dicts_lists_and_scalars_of_python() -> None:
    plain = to_plain(
        {
            "one": _Inner(Path("a/b"), (np.float32(0.5), 1)),
            2: np.int64(3),
            "no": None,
            "yes": np.True_,
            "all": np.arange(2),
        }
    )
    assert plain == {"one": {"place": "a/b", "rates": [0.5, 1]}, "2": 3, "no": None, "yes": True, "all": [0, 1]}
    assert type(plain["2"]) is int and plain["yes"] is True and type(plain["one"]["rates"][0]) is float


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("-inf"), np.float32("nan")])
def test_what_is_no_number_is_null_in_json(number: Any) -> None:
    text = to_json({"rows": [{"share": number, "errors": np.int64(2)}]})
    assert json.loads(text, parse_constant=pytest.fail) == {"rows": [{"share": None, "errors": 2}]}


def test_json_files_have_one_writer() -> None:
    found = set()
    for folder in ("asr_transfer", "data_prep", "recipes", "docs"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Attribute)
                    and node.attr in ("dump", "dumps")
                    and ast.unparse(node.value) == "json"
                ):
                    found.add(file.relative_to(ROOT).as_posix())
    assert found <= set(NO_FILES), "use `plain.to_json`, which writes no NaN"
