"""`asr-transfer compare` on bad input: one sentence and status 1, or what was done about it is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.cli import main
from asr_transfer.data.manifest import Utterance, checksum, write_manifest
from asr_transfer.errors import AsrTransferError
from asr_transfer.evaluation.compare import compare_systems, load
from asr_transfer.evaluation.comparison_plots import plots
from asr_transfer.evaluation.report import html
from tests.made_runs import garbled, utterances, write_run

PERFECT = utterances(24)


def _pair(folder: Path) -> tuple[Path, Path]:
    """Return two run folders over the same utterances."""
    return write_run(folder / "a", garbled(PERFECT, 0.2, 1)), write_run(folder / "b", garbled(PERFECT, 0.3, 2))


def _fewer(run: Path) -> None:
    write_run(run, garbled(PERFECT[:-4], 0.3, 2))


def _duplicate(run: Path) -> None:
    file = run / "hypotheses.jsonl"
    file.write_text(file.read_text("utf-8") + file.read_text("utf-8").splitlines()[0] + "\n", "utf-8")


def _other_normalisation(run: Path) -> None:
    write_run(run, garbled(PERFECT, 0.3, 2), profile="lower")


def _lost_with_their_manifest(run: Path) -> None:
    noted = {"path": "gone.jsonl", "utterances": 30, "checksum": "0"}
    write_run(run, garbled(PERFECT, 0.3, 2), data={"test": noted})


def _cut(run: Path) -> None:
    (run / "run.json").write_text((run / "run.json").read_text("utf-8")[:200], "utf-8")


def _field(*path: str, value: Any) -> Callable[[Path], None]:
    """Return a function that puts a value into a run's record."""

    def damage(run: Path) -> None:
        record = json.loads((run / "run.json").read_text("utf-8"))
        place = record
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
        (run / "run.json").write_text(json.dumps(record), "utf-8")

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_fewer, "only in 'a': eve-0020, fay-0021, gus-0022, hal-0023"),
        (_duplicate, "hypotheses.jsonl line 25: the id 'ann-0000' was already used on line 1"),
        (_other_normalisation, "(a: 'none', b: 'lower'); score all under one with --normalisation"),
        (_lost_with_their_manifest, "holds 24 utterances, but `data.test.utterances` in run.json is 30"),
        (_cut, "run.json: is not JSON"),
        (_field("format", value=9), "`format` must be 1"),
        (_field("scores", value=[]), "`scores` must be an object"),
        (_field("config", value="x"), "`config` must be an object"),
        (_field("data", "test", value=[]), "`data.test.path` must be text"),
        (_field("config", "amount", value=-5), "`config.amount` cannot be -5"),
        (_field("scores", "test", "profile", value=["none"]), "`scores.test.profile` is ['none']"),
        (_field("scores", "others", value=3), "`scores.others` cannot be 3"),
        (_field("scores", "others", "after", value=3), "`scores.others.after` cannot be 3"),
        (_field("scores", "others", "pairs", value=[{"speaker": "x"}]), "`scores.others.pairs` cannot be"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence(
    damage: Callable[[Path], None], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = _pair(tmp_path)
    damage(runs[1])
    assert main(["compare", *map(str, runs), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("asr-transfer: ")
    assert not (tmp_path / "out").exists()


def test_missing_hypotheses_are_deletions_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = [Utterance(e.id, f"{e.id}.wav", 1.0, e.reference, e.speaker, e.language) for e in PERFECT]
    write_manifest(tmp_path / "test.jsonl", known)
    noted = {"path": str(tmp_path / "test.jsonl"), "utterances": len(known), "checksum": checksum(known)}
    write_run(tmp_path / "a", PERFECT, data={"test": noted})
    write_run(tmp_path / "b", PERFECT[2:], data={"test": noted})
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "b: 2 references without hypothesis, counted as deletions: ann-0000, bob-0001" in printed
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "2 references without hypothesis, counted as deletions" in page
    head, _, row = (tmp_path / "out" / "report.csv").read_text("utf-8").splitlines()
    values = dict(zip(head.split(","), row.split(","), strict=True))
    lost = sum(len(e.reference.split()) for e in PERFECT[:2])
    assert (values["missing_hypotheses"], values["deletions"]) == ("2", str(lost))


def test_one_speaker_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rate in (("a", 0.1), ("b", 0.4)):
        write_run(tmp_path / name, [replace(e, speaker="ann") for e in garbled(PERFECT, rate, 1)])
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "out")]) == 0
    said = "one speaker only: the intervals are over utterances, and say nothing of other speakers"
    assert said in capsys.readouterr().out and said in (tmp_path / "out" / "report.md").read_text("utf-8")


def test_identical_systems_differ_by_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, garbled(PERFECT, 0.2, 1))
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "out")]) == 0
    assert "The same errors as a: b." in capsys.readouterr().out
    head, _, row = (tmp_path / "out" / "report.csv").read_text("utf-8").splitlines()
    values = dict(zip(head.split(","), row.split(","), strict=True))
    assert [float(values[k]) for k in ("difference", "difference_low", "difference_high")] == [0, 0, 0]
    assert float(values["p"]) == float(values["p_holm"]) == float(values["p_mapsswe_holm"]) == 1
    assert values["verdict"] == "identical" and float(values["probability_of_improvement"]) == 0.5


def test_no_damage_to_a_record_ends_in_a_traceback(tmp_path: Path) -> None:
    """Every field of a record in turn is of another kind: either it is refused, or a report comes out."""
    pairs = [{"speaker": s, "before": 1, "after": 2, "words": 9} for s in ("x", "y")]
    part = {"wer": 0.1, "words": {"errors": 1, "reference": 10}}
    data = {"test": {"path": "x", "utterances": 24, "checksum": "y"}, "adapt": {"path": "x", "utterances": 5}}
    runs = _pair(tmp_path)
    write_run(runs[1], garbled(PERFECT, 0.3, 2), config={"method": "full", "amount": 5}, data=data)
    _field("scores", "others", value={"before": part, "after": part, "pairs": pairs})(runs[1])
    file = runs[1] / "run.json"
    good = json.loads(file.read_text("utf-8"))
    fields = [(key,) for key in good] + [(k, n) for k, v in good.items() if isinstance(v, dict) for n in v]
    fields += [("scores", "others", n) for n in ("before", "after", "pairs")] + [("scores", "test", "profile")]
    outcomes = set()
    for path in fields:
        for value in (7, "x", [1]):
            file.write_text(json.dumps(good), "utf-8")
            _field(*path, value=value)(runs[1])
            try:
                systems, notes = load([str(run) for run in runs])
                result = compare_systems(systems, notes=notes)
                assert [plot.name for plot in plots(result)] and html(result, [], {}, {}, [], "x")
                outcomes.add("report")
            except AsrTransferError as error:
                assert str(error).count("\n") == 0
                outcomes.add("refused")
    assert outcomes == {"report", "refused"}
