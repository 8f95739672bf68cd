"""The source × target table and its diagonal control."""

from __future__ import annotations

import json

import pytest

from asr_transfer.errors import DataError
from asr_transfer.evaluation.scoring import Alignments, Hypothesis, align
from asr_transfer.evaluation.transfer_table import shown, transfer_table


def _scored(target: str, wrong: int) -> Alignments:
    return align(
        [
            Hypothesis(f"{target}{s}-{n}", f"{target}{s}", target, "a", "b" if n < wrong else "a")
            for s in range(6)
            for n in range(10)
        ]
    )


def test_every_cell_stands_beside_its_targets_own_model() -> None:
    table = transfer_table(
        {("en", "en"): _scored("en", 1), ("fr", "fr"): _scored("fr", 2), ("en", "fr"): _scored("fr", 6)}
    )
    assert table.names == ("en", "fr")
    cell = table.cells["en", "fr"]
    # All six speakers err alike: the interval is as wide as that of 60 utterances.
    assert cell.rate == 0.6 and cell.low == pytest.approx(0.44, abs=0.02) and cell.high == pytest.approx(0.76, abs=0.02)
    assert cell.control is not None and cell.control.value == pytest.approx(0.4) and cell.p == cell.control.p
    assert table.cells["fr", "fr"].control is None and table.rows()[1][0] is None
    assert table.headings() == ["en (6 speakers)", "fr (6 speakers)"]
    assert shown(cell).startswith("60.0 (") and shown(cell).endswith(") *") and shown(None) == "–"
    plain = json.loads(json.dumps(table.to_plain(), allow_nan=False))
    assert len(plain["cells"]) == 3 and plain["cells"][0]["difference"] is None


def test_an_equal_model_does_not_differ_and_holm_counts_the_whole_table() -> None:
    names = ("a", "b", "c")
    table = transfer_table({(s, t): _scored(t, 2 if s != "c" else 3) for s in names for t in names})
    same, other = table.cells["a", "b"], table.cells["c", "b"]
    assert same.control is not None and (same.control.value, same.p) == (0, 1)
    assert other.control is not None and other.p is not None and other.p > other.control.p


def test_a_target_without_references_has_no_rate() -> None:
    nothing = align([Hypothesis("u", "s", "en", "", "x")])
    table = transfer_table({("en", "en"): nothing})
    assert table.cells["en", "en"].rate is None and shown(table.cells["en", "en"]) == "–"


def test_a_missing_control_and_other_utterances_are_refused() -> None:
    with pytest.raises(DataError, match="'fr' has no control"):
        transfer_table({("en", "en"): _scored("en", 1), ("en", "fr"): _scored("fr", 1)})
    with pytest.raises(DataError, match="different utterances"):
        transfer_table({("en", "en"): _scored("en", 1), ("fr", "en"): _scored("fr", 1)})
