"""The benchmark of `auto` runs on short recordings, with those of others and without, and refuses other kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.adaptation.settings import ChoiceConfig
from asr_transfer.runs.record import read_record
from benchmarks import choosing
from benchmarks.choosing import Kind, main


def test_a_choice_is_measured_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ChoiceConfig(with_source=("lhuc+replay",), without_source=("lhuc",), folds=2, strengths=(1.0,))
    measure = choosing.measure
    monkeypatch.setitem(choosing.KINDS, "digits", Kind("four noises", 4, 0.5, 1e9))
    monkeypatch.setattr(choosing, "measure", lambda kind, steps, **given: measure(kind, steps, 3, few, **given))
    out = tmp_path / "run"
    main(kinds=("digits",), steps=1, out=out)
    values = read_record(out)
    rows = values["scores"]["rows"]
    assert [(row["kind"], row["others"]) for row in rows] == [("four noises", False), ("four noises", True)]
    for row in rows:
        assert row["total"] == pytest.approx(row["features"] + row["choosing"] + row["adapting"])
    (table,) = values["tables"]["choosing"]
    assert [cells[-1] for cells in table["rows"]] == ["yes", "yes"]


def test_a_trained_model_is_measured_on_recordings_of_its_own(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ChoiceConfig(with_source=("lhuc+replay",), without_source=("lhuc",), folds=2, strengths=(1.0,))
    measure = choosing.measure
    monkeypatch.setattr(choosing, "measure", lambda kind, steps, **given: measure(kind, steps, 3, few, **given))
    out = tmp_path / "run"
    main(model=tone_run, data=tone_corpus["test"], steps=1, out=out)
    rows = read_record(out)["scores"]["rows"]
    assert [row["others"] for row in rows] == [False, True] and {row["wanted"] for row in rows} == {25.0}
    assert all(row["kind"].startswith(f"ten of `{tone_corpus['test']}`, ") for row in rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ("digit",)}, "there is no 'digit', only digits"),
        ({"steps": 0}, "--steps 0: must be above 0"),
        ({"kinds": ("digits",), "model": Path("m"), "data": Path("d")}, "--kinds names kinds of noise"),
        ({"model": Path("m")}, "--model and --data belong together"),
        ({"model": Path("m"), "data": Path("none.jsonl")}, "none.jsonl: there is no such manifest"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        main(**options)  # type: ignore[arg-type]
