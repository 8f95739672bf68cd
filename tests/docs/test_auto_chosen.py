"""The package's table of what `auto` chose is what the records in `docs/results` say."""

from __future__ import annotations

from typing import Any

from asr_transfer.adaptation.auto_chosen import TABLE
from asr_transfer.textfiles import read_text
from docs.auto_chosen import chosen_in, chosen_table
from docs.records import measured, record


def _changed(values: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {**values, "config": {**values["config"], **config}}


def test_the_table_is_that_of_the_records() -> None:
    assert read_text(TABLE) == chosen_table(), "run `python -m docs.update_tables`"


def test_a_record_of_another_auto_or_of_a_model_given_ready_does_not_count() -> None:
    assert measured("fsdd")
    values = record("fsdd")
    found = list(chosen_in(values))
    assert [one.recordings for one in found if one.tried[0] == "first-layers+replay"] == [1, 3, 5, 10, 20, 50]
    assert not list(chosen_in(_changed(values, choice={**values["config"]["choice"], "folds": 3})))
    assert not list(chosen_in(_changed(values, model="a/folder")))
    assert not list(chosen_in({**values, "scores": {"test": {}}}))


def test_where_nothing_could_be_chosen_by_nothing_is_counted() -> None:
    values = record("synthetic")
    rows = [row for row in values["scores"]["rows"] if row["method"] == "auto"]
    rows = [{**row, "chosen": ["full+replay 2", "nothing 3", "none 1"]} for row in rows]
    for one in chosen_in({**values, "scores": {"rows": rows}}):
        assert one.chosen == {"full+replay": 2, "none": 1}
