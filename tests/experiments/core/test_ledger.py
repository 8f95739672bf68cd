"""The ledger: what is finished is not done again, and what is of other settings or data is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.core.ledger import Kept, Ledger, Lines, open_part, read_finished, write_finished
from asr_transfer.experiments.core.tables import Table
from asr_transfer.runs.record import read_record

SAID = [Utterance(f"u{n}", f"{n}.wav", 1.0, "abc", "ann", "en") for n in range(3)]
TABLE = Table(("a", "b"), (("1", "x"),))


@dataclass(frozen=True)
class Row:
    """A row of an experiment."""

    rate: float
    rates: tuple[float, ...]


def test_a_finished_experiment_keeps_scores_and_tables_and_prints_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(tmp_path / "run", {"steps": 1})
    ledger.publish({"rows": [Row(0.5, (1.0,))], "models": {"one": Row(0.1, ())}}, {"kind": [TABLE]}, words=3)
    record = read_record(tmp_path / "run")
    assert record["scores"] == {
        "rows": [{"rate": 0.5, "rates": [1.0]}],
        "models": {"one": {"rate": 0.1, "rates": []}},
    }
    assert record["status"] == "finished" and record["words"] == 3
    assert [Table.from_plain(own) for own in record["tables"]["kind"]] == [TABLE]
    assert (tmp_path / "run" / "table.md").read_text(encoding="utf-8") == "| a | b |\n|---|---|\n| 1 | x |\n"
    assert "┃ a ┃ b ┃" in capsys.readouterr().out
    assert Ledger(tmp_path / "run", {"steps": 1}, resume=True).tables() == [TABLE]


def test_an_experiment_is_neither_replaced_unasked_nor_resumed_with_others(tmp_path: Path) -> None:
    def open_run(steps: int = 1, said: list[Utterance] = SAID, **options: bool) -> Ledger:
        ledger = Ledger(tmp_path / "run", {"steps": steps}, **options)
        ledger.data("train", "train.jsonl", said)
        return ledger

    open_run()
    (tmp_path / "run" / "left.txt").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigError, match="already holds a run; give --resume to go on with it"):
        open_run()
    with pytest.raises(ConfigError, match="cannot be resumed, for `steps` was 1 and is now 2; give the same settings"):
        open_run(2, resume=True)
    with pytest.raises(ConfigError, match="cannot be resumed, for the content of `train` has changed"):
        open_run(said=[*SAID[:2], replace(SAID[2], text="abd")], resume=True)
    assert not open_run(resume=True).finished_before and (tmp_path / "run" / "left.txt").is_file()
    open_run(2, overwrite=True)
    assert not (tmp_path / "run" / "left.txt").exists() and read_record(tmp_path / "run")["config"] == {"steps": 2}


def test_a_part_goes_on_by_itself_and_is_held_to_what_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "one"
    with pytest.raises(DataError, match="is not a run folder"):
        read_finished(folder)
    open_part(folder, {"steps": 1}, {"train": ("subset", SAID)})
    with pytest.raises(DataError, match=r"one: is not finished; go on with --resume\."):
        read_finished(folder)
    again = open_part(folder, {"steps": 1}, {"train": ("subset", SAID)})
    assert not again.finished_before
    again.finish()
    assert open_part(folder, {"steps": 1}, {"train": ("subset", SAID)}).finished_before
    assert read_finished(folder)["status"] == "finished"
    with pytest.raises(ConfigError, match="`steps` was 1 and is now 2"):
        open_part(folder, {"steps": 2}, {})
    with pytest.raises(ConfigError, match="the content of `train` has changed"):
        open_part(folder, {"steps": 1}, {"train": ("subset", SAID[:2])})


def test_a_part_that_an_experiment_sums_up_says_who_made_it(tmp_path: Path) -> None:
    made = {"format": 1, "command": "run.py", "attempts": [], "history": [1], "scores": {"rows": []}}
    write_finished(tmp_path / "one", made, scores={"test": {}})
    assert read_finished(tmp_path / "one") == {
        "format": 1, "command": "run.py", "attempts": [], "status": "finished", "history": [], "scores": {"test": {}},
    }  # fmt: skip


def _lines(file: Path) -> Lines[Row]:
    return Lines(file, "row", lambda values: Row(values["rate"], tuple(values["rates"])), lambda row: (row.rate,))


def test_lines_are_kept_at_once_and_one_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "new" / "rows.jsonl"
    for rate in (0.1, 0.2):
        lines = _lines(file)
        lines.add(Row(rate, (1.0,)))
    assert list(_lines(file)) == [Row(0.1, (1.0,)), Row(0.2, (1.0,))] and (0.2,) in _lines(file)
    text = file.read_text(encoding="utf-8")
    file.write_text(text[:-5], encoding="utf-8")
    assert list(_lines(file)) == [Row(0.1, (1.0,))] and file.read_text(encoding="utf-8") == text.splitlines()[0] + "\n"
    file.write_text(json.dumps({"rat": 1}) + "\n" + text, encoding="utf-8")
    with pytest.raises(DataError, match=r"rows.jsonl line 1: is no row; remove the line, it will be run again\."):
        _lines(file)


def test_results_by_name_are_made_once(tmp_path: Path) -> None:
    made: list[str] = []

    def make() -> list[Row]:
        made.append("x")
        return [Row(0.1, (float("inf"),))]

    plain = [{"rate": 0.1, "rates": [float("inf")]}]
    for _ in range(2):
        assert Kept(tmp_path / "kept.jsonl").get("one, two", make) == plain and len(made) == 1
    assert Kept().get("one, two", make) == plain and len(made) == 2
    assert len(list(tmp_path.iterdir())) == 1
