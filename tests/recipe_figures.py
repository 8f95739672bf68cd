"""What a recipe came to on generated speech, against the figures that are expected of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_transfer.runs.record import read_record
from tests.real_runs import ROOT, load

EXPECTED = ROOT / "tests" / "data" / "recipes"


def run_recipe(path: str, *arguments: object) -> dict[str, Any]:
    """Run a recipe, `FOLDER/NAME`, which must succeed, and return the record of its run folder, the last argument."""
    recipe = load(ROOT / "recipes" / f"{path}.py")
    given = [*map(str, arguments[:-1]), "--out", str(arguments[-1])]
    assert recipe.script(recipe.Recipe, recipe.run, given) == 0
    return read_record(Path(str(arguments[-1])))


def of_data(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return utterances and speakers of all data that a run noted."""
    return {name: [own["utterances"], own["speakers"]] for name, own in sorted(record["data"].items())}


def check(name: str, exact: Mapping[str, Any], rates: Mapping[str, float]) -> None:
    """Compare figures with `tests/data/recipes/NAME.json`.

    Counts, names and steps are `exact`. Error rates are shares `between` two bounds, wide enough for any rounding of
    trained weights and narrow enough to tell a model that learnt from one that did not; pairs in `less` keep an order.
    """
    expected = json.loads((EXPECTED / f"{name}.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(exact)) == expected["exact"]
    assert sorted(rates) == sorted(expected["between"])
    wrong = {key: rates[key] for key, (low, high) in expected["between"].items() if not low <= rates[key] <= high}
    assert not wrong, f"outside of {[expected['between'][key] for key in wrong]}: {wrong}"
    turned = [(low, high) for low, high in expected["less"] if not rates[low] < rates[high]]
    assert not turned, f"the first of each should err less than the second: {turned} in {rates}"
