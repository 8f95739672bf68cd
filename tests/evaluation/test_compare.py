"""Comparing runs: figures and marks, what is refused, the command, and recipes' rows as systems."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.cli import main
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.compare import Compared, compare_systems, load
from asr_transfer.evaluation.comparison_plots import factors, plots
from asr_transfer.evaluation.comparison_table import columns, reading, verdict
from asr_transfer.evaluation.scoring import Hypothesis
from asr_transfer.evaluation.significance import holm
from asr_transfer.experiments.speakers.protocol import Draw, Fold
from asr_transfer.experiments.speakers.systems import write_systems
from asr_transfer.experiments.speakers.trials import Trial
from tests.made_runs import garbled, utterances, write_recipe, write_run

PERFECT = utterances(120)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return run folders: a baseline, a better, a worse, an equally good and an identical one."""
    folder = tmp_path_factory.mktemp("runs")
    base = garbled(PERFECT, 0.2, 1)
    made = {
        "base": base,
        "better": garbled(PERFECT, 0.05, 2),
        "worse": garbled(PERFECT, 0.4, 3),
        "alike": garbled(PERFECT, 0.2, 4),
        "twin": base,
    }
    return {name: write_run(folder / name, entries) for name, entries in made.items()}


def compared(paths: dict[str, Path], *names: str, baseline: str | None = None) -> Compared:
    """Compare some of the runs."""
    systems, notes = load([str(paths[name]) for name in names])
    return compare_systems(systems, baseline, notes=notes)


def test_marks_follow_the_corrected_test(runs: dict[str, Path]) -> None:
    result = compared(runs, *runs)
    marks = {entry.name: entry.mark for entry in result.entries}
    assert marks == {"base": "base", "better": "better", "worse": "worse", "alike": "open", "twin": "same"}
    tests = [entry.test for entry in result.entries if entry.test]
    assert [t.p_change for t in tests] == holm([t.change.p for t in tests])
    twin = result.entries[-1].test
    assert twin is not None and twin.change.difference == 0 and twin.change.p == 1 and twin.p_change == 1
    told = " ".join(verdict(result))
    assert "Lowest WER: better" in told and "Fewer errors than base beyond chance: better." in told
    assert "More errors than base beyond chance: worse." in told and "not to say there is none: alike." in told


def test_exchanging_baseline_and_system_turns_the_difference_around(runs: dict[str, Path]) -> None:
    forth = compared(runs, "base", "better").entries[1].test
    back = compared(runs, "base", "better", baseline="better").entries[0].test
    assert forth is not None and back is not None
    assert forth.change.difference == -(back.change.difference or 0)
    assert forth.change.low == -(back.change.high or 0) and forth.change.p == back.change.p


def test_the_interval_of_a_rate_holds_the_rate(runs: dict[str, Path]) -> None:
    for entry in compared(runs, *runs).entries:
        assert entry.interval is not None and entry.interval[0] < entry.counts.rate < entry.interval[1]
        assert entry.worst is not None and entry.worst >= entry.counts.rate


def test_what_no_test_can_show_is_said(tmp_path: Path) -> None:
    systems, _ = load([str(write_recipe(tmp_path / "demo", PERFECT))])
    of_nine = compare_systems(systems)
    assert {entry.mark for entry in of_nine.entries} == {"base", "open"}, "9 × 2⁻⁷ is above 0.05"
    assert any("with 8 speakers and 9 comparisons p (Holm) cannot be below 0.05" in note for note in of_nine.notes)
    of_six = compare_systems(systems[:7])
    assert not any("cannot be below" in note for note in of_six.notes)
    assert "better" in {entry.mark for entry in of_six.entries}, "6 × 2⁻⁷ is below it"


def test_intervals_say_over_how_many_they_are(runs: dict[str, Path]) -> None:
    result = compared(runs, "base", "better")
    assert result.over == "8 speakers"
    for told in (verdict(result)[0], reading(result)[0], plots(result)[0].caption):
        assert "over 8 speakers" in told


def test_one_run_alone_is_shown_without_a_test(runs: dict[str, Path]) -> None:
    result = compared(runs, "base")
    assert [c.label for c in columns(result, wide=False)] == ["system", "WER %", "95 % interval", "CER %", "CPU-s"]
    assert len(plots(result)) == 1 and len(verdict(result)) == 1


def test_one_speaker_is_said(tmp_path: Path) -> None:
    own = [replace(entry, speaker="ann", language="en") for entry in PERFECT]
    paths = {name: write_run(tmp_path / name, garbled(own, rate, 1)) for name, rate in (("a", 0.1), ("b", 0.3))}
    result = compared(paths, "a", "b")
    assert any("one speaker only" in note for note in result.notes)
    assert all(entry.harmed is None and entry.worst is None for entry in result.entries)
    assert any("one speaker only" in note for note in compared(paths, "a").notes)


def test_other_utterances_are_refused_and_compared_when_told_to(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "fewer", garbled(PERFECT[:100], 0.1, 5))
    arguments = ["compare", str(runs["base"]), str(tmp_path / "fewer"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "--intersection" in error and PERFECT[100].id in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--intersection"]) == 0
    assert "base: 20 of 120 utterances left out" in capsys.readouterr().out


def test_mixed_normalisation_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    write_run(tmp_path / "lower", PERFECT, profile="lower")
    given = [str(runs["base"]), str(tmp_path / "lower")]
    with pytest.raises(DataError, match="different normalisations.*'lower'"):
        load(given)
    systems, _ = load(given, profile="lower")
    assert compare_systems(systems).profile == "lower"


def test_an_unknown_baseline_names_the_nearest(runs: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="`baseline`: there is no system 'bettr'. Did you mean 'better'"):
        compared(runs, "base", "better", baseline="bettr")


def test_empty_references_are_in_no_rate(tmp_path: Path) -> None:
    extra = [Hypothesis("silence", "ann", "en", "", "noise")]
    result = compared({"a": write_run(tmp_path / "a", [*PERFECT, *extra])}, "a")
    assert result.base.counts.errors == 0 and any("1 utterances have an empty reference" in n for n in result.notes)
    nothing = compared({"b": write_run(tmp_path / "b", extra)}, "b")
    assert verdict(nothing) == ["No utterance has a reference; there is nothing to compare."] and not plots(nothing)


def test_mandarin_counts_characters(tmp_path: Path) -> None:
    entries = [Hypothesis("a", "s", "cmn", "你好 世界", "你好世間"), Hypothesis("b", "t", "cmn", "謝謝", "謝謝")]
    result = compared({"m": write_run(tmp_path / "m", entries, profile="mandarin")}, "m")
    assert result.rate == "CER" and result.base.counts.rate == 1 / 6 and result.base.characters is None


def test_a_recipe_gives_curves_and_data_factors(tmp_path: Path) -> None:
    systems, _ = load([str(write_recipe(tmp_path / "demo", PERFECT))])
    result = compare_systems(systems)
    assert result.base.name == "none-0" and result.entries[0] is result.base
    assert [entry.amount for entry in result.entries] == [0, 5, 5, 5, 10, 10, 10, 20, 20, 20]
    assert [plot.name for plot in plots(result)] == ["systems", "curve"]
    found = factors(result)
    assert found is not None and found[0] == "full" and set(found[1]) == {"kld", "last-layers"}
    assert found[1]["last-layers"].censored == "at most"


def test_plots_are_the_same_every_time_and_read_no_formulas(runs: dict[str, Path]) -> None:
    systems, _ = load([str(runs["base"]), str(runs["better"])])
    named = compare_systems([systems[0], replace(systems[1], name="$x_{$ <b> 语")])
    first, second = plots(named)[0].svg(), plots(named)[0].svg()
    assert first == second and "$x_{$ &lt;b&gt;" in first and "<b>" not in first
    assert plots(named)[0].png()[:4] == b"\x89PNG" and plots(named)[0].svg("dark") != first


def test_the_command_prints_the_table_and_writes_the_files(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("the\nyou\n", encoding="utf-8")
    names = [str(runs[name]) for name in ("base", "better", "worse")]
    assert main(["compare", *names, "--out", str(tmp_path / "out"), "--words", str(words)]) == 0
    printed = capsys.readouterr().out
    assert "▼ better" in printed and "▲ worse" in printed and "report.html: written" in printed
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"report.html", "report.md", "report.csv", "systems.svg", "systems.png"}
    with (tmp_path / "out" / "report.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["verdict"] for row in rows] == ["", "better", "worse"]
    record = json.loads((runs["better"] / "run.json").read_text(encoding="utf-8"))
    assert float(rows[1]["rate"]) == pytest.approx(record["scores"]["test"]["wer"])
    assert float(rows[1]["cer"]) == pytest.approx(record["scores"]["test"]["cer"])
    assert 0 < float(rows[1]["word_list_recall"]) < 1


def test_foreign_files_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, entries in (("one", garbled(PERFECT, 0.1, 1)), ("two", garbled(PERFECT, 0.3, 2))):
        for part, kind in (("ref", "reference"), (name, "hypothesis")):
            text = "".join(f"{e.id} {getattr(e, kind)}\n" for e in entries)
            (tmp_path / f"{part}.txt").write_text(text, encoding="utf-8")
    given = [f"{tmp_path}/ref.txt,{tmp_path}/{name}.txt" for name in ("one", "two")]
    assert main(["compare", *given, "--out", str(tmp_path / "out")]) == 0
    assert "More errors than one beyond chance: two." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere"], 1, "there is no such run folder or file"),
        ([], 2, "runs"),
        (["x", "--audio", "loud"], 2, "embed"),
        (["x", "--normalisation", "basik"], 1, "Did you mean 'basic'?"),
        (["x", "--basline", "y"], 2, "Did you mean 'baseline'?"),
    ],
)
def test_mistakes_get_one_sentence(
    arguments: list[str], status: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *arguments]) == status
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unfinished_run_and_an_unwritable_folder_are_named(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs["base"], tmp_path / "half")
    file = tmp_path / "half" / "run.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"finished",', '"running",', 1), encoding="utf-8")
    assert main(["compare", str(tmp_path / "half"), "--out", str(tmp_path / "out")]) == 1
    assert "`status` is 'running'" in capsys.readouterr().err
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    assert main(["compare", str(runs["base"]), "--out", str(tmp_path / "taken")]) == 1
    assert "give --out a folder" in capsys.readouterr().err


def test_a_recipes_rows_become_systems(tmp_path: Path) -> None:
    corpus = {f"u{n}": Utterance(f"u{n}", f"u{n}.wav", 1.0, "one two three", "amy", "en") for n in range(4)}
    texts = {"none": "one two", "full": "one two three"}
    trials = [
        Trial("si", speaker, draw, 0 if method == "none" else 5, method, rate, errors, 6, 1 + draw, 50, 2.0,
              {f"u{n}": text for n in (draw, draw + 1)})
        for speaker in ("dev", "amy")
        for draw in (0, 1)
        for method, rate, text, errors in (
            ("none", 0.0, texts["none"], 2), ("full", 0.1, texts["full"], 0), ("full", 0.9, "wrong", 6))
    ]  # fmt: skip
    fold = Fold("si", (), (), (Draw("dev", 0, (), ()),), (Draw("amy", 0, (), ()), Draw("amy", 1, (), ())))
    record = {"format": 1, "command": "run.py", "config": {"corpus": "x"}, "data": {}, "versions": {"python": "3"}}
    (tmp_path / "systems" / "old-5").mkdir(parents=True)
    written = write_systems(tmp_path, [fold], trials, corpus, record)
    assert [path.name for path in written] == ["none-0", "full-5"] and not (tmp_path / "systems" / "old-5").exists()
    values = json.loads((written[1] / "run.json").read_text(encoding="utf-8"))
    assert values["config"] == {"method": "full", "amount": 5, "learning_rates": [0.1], "corpus": "x"}
    assert values["scores"]["test"]["wer"] == 0 and values["scores"]["others"]["after"]["wer"] == 3 / 100
    (tmp_path / "run.json").write_text(json.dumps({**record, "status": "finished", "scores": {}}), encoding="utf-8")
    systems, _ = load([str(tmp_path)])
    assert [s.name for s in systems] == ["none-0", "full-5"]
    assert sorted(systems[1].ids) == ["u0#0", "u1#0", "u1#1", "u2#1"]
    result = compare_systems(systems)
    assert result.base.counts.rate == pytest.approx(1 / 3) and result.entries[1].others == (3 / 100, 3 / 100)
    with pytest.raises(DataError, match="'u0' is not in the corpus"):
        write_systems(tmp_path, [fold], trials, {}, record)


def test_intervals_over_speakers_are_wider_than_over_utterances(runs: dict[str, Path]) -> None:
    """Speakers differ in the made-up runs, so intervals that ignore them would be too narrow."""
    systems, _ = load([str(runs["worse"])])
    alone = [replace(u, speaker="all") for u in systems[0].utterances]
    clustered, loose = (
        compare_systems([s]).base.interval for s in (systems[0], replace(systems[0], utterances=alone))
    )  # fmt: skip
    assert clustered is not None and loose is not None
    assert np.diff(clustered)[0] > 1.5 * np.diff(loose)[0]
