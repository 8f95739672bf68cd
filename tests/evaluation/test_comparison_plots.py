"""From runs to figures: curves of several seeds, forgetting with its interval, sources by targets, unknown words."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.cli import main
from asr_transfer.evaluation.compare import Compared, compare_systems, load
from asr_transfer.evaluation.comparison_plots import _observations, factors, plots, transfer
from asr_transfer.evaluation.comparison_table import columns
from asr_transfer.evaluation.curves import curve
from asr_transfer.evaluation.scoring import Hypothesis
from tests.made_runs import garbled, utterances, write_run

PERFECT = utterances(96)
RATES = {("full", 5): 0.4, ("full", 20): 0.2, ("kld", 5): 0.25, ("kld", 20): 0.1}


def seeded(folder: Path, perfect: list[Hypothesis], seeds: int = 3) -> list[Path]:
    """Write a source model's run, and runs of two methods at two amounts with several seeds each."""
    runs = [write_run(folder / "source", garbled(perfect, 0.5, 99), config={"method": "none", "amount": 0})]
    for (method, amount), rate in RATES.items():
        for seed in range(seeds):
            runs.append(
                write_run(
                    folder / f"{method}-{amount}-{seed}",
                    garbled(perfect, rate, 10 * amount + seed),
                    config={"method": method, "seed": seed},
                    data={"adapt": {"path": "own.jsonl", "utterances": amount}},
                )
            )
    return runs


def compared(runs: list[Path]) -> Compared:
    """Compare runs."""
    systems, notes = load([str(run) for run in runs])
    return compare_systems(systems, notes=notes)


def test_seeded_runs_make_one_curve_for_each_method(tmp_path: Path) -> None:
    result = compared(seeded(tmp_path, PERFECT))
    found = _observations(result)
    assert set(found) == {"full", "kld"}
    for method, own in found.items():
        points = curve(own)
        assert [(p.amount, p.seeds, p.speakers, p.over) for p in points] == [
            (5, 3, 8, "speakers"), (20, 3, 8, "speakers"),
        ]  # fmt: skip
        for point in points:
            runs = [e for e in result.entries if (e.method, e.amount) == (method, point.amount)]
            rates = [e.counts.rate for e in runs]
            assert len(rates) == 3 and point.rate == pytest.approx(np.mean(rates))
            assert point.spread == pytest.approx(np.std(rates, ddof=1)) and point.spread > 0
            assert point.low is not None and point.high is not None and point.low < point.rate < point.high
    drawn = {plot.name: plot for plot in plots(result)}["curve"]
    start = 100 * result.base.counts.rate
    assert result.base.name == "source" and start > 20
    full, kld = (", ".join(f"{100 * p.rate:.1f} at {p.amount}" for p in curve(found[m])) for m in ("full", "kld"))
    assert f"full: {full}; kld: {kld}" in drawn.alt and "with 95 % intervals over 8 speakers" in drawn.caption
    factor = factors(result)
    assert factor is not None and factor[0] == "full" and set(factor[1]) == {"kld"}
    assert factor[1]["kld"].amount is not None and (factor[1]["kld"].factor or 0) > 1


def test_one_speakers_seeded_runs_have_an_interval_over_seeds(tmp_path: Path) -> None:
    result = compared(seeded(tmp_path, [replace(e, speaker="ann") for e in PERFECT], seeds=4))
    points = curve(_observations(result)["full"])
    assert [p.over for p in points] == ["seeds", "seeds"]
    assert all(p.low is not None and p.high is not None and p.low < p.rate < p.high for p in points)


def test_the_command_draws_the_curve_of_seeded_runs(tmp_path: Path) -> None:
    runs = [str(run) for run in seeded(tmp_path / "runs", PERFECT, seeds=2)]
    assert main(["compare", *runs, "--out", str(tmp_path / "out")]) == 0
    assert {"curve.svg", "curve.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert "Data for the same error as full" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_forgetting_has_an_interval_where_it_is_told_by_speaker(tmp_path: Path) -> None:
    pairs = [
        {"speaker": f"s{n}", "before": 5, "after": 5 + rise, "words": 100} for n, rise in enumerate([1, 4, 2, 3, 0, 2])
    ]
    others = {"before": {"wer": 0.05}, "after": {"wer": 0.07}}
    score = {"wer": 0.1, "utterances": len(PERFECT)}
    told = write_run(tmp_path / "told", PERFECT, scores={"test": score, "others": {**others, "pairs": pairs}})
    old = write_run(tmp_path / "old", PERFECT, scores={"test": score, "others": others})
    alone = write_run(tmp_path / "alone", PERFECT, scores={"test": score, "others": {**others, "pairs": pairs[:1]}})
    result = compared([told, old, alone])
    change = result.base.forgetting
    assert change is not None and change.value == pytest.approx(0.02) and change.clusters == 6
    assert change.low is not None and change.high is not None and 0 < change.low < 0.02 < change.high
    assert result.entries[1].others == (0.05, 0.07) and result.entries[1].forgetting is None
    column = next(c for c in columns(result) if c.label == "change on others")
    texts = [column.text(entry) for entry in result.entries]
    assert texts[0].startswith("+2.00 (+") and texts[0].endswith(", n = 6)") and texts[1:] == ["", "+1.00"]
    assert main(["compare", str(told), "--out", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "report.csv").open(encoding="utf-8", newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert (row["others_before"], row["others_after"]) == ("0.05", "0.07")
    assert float(row["others_change_low"]) == pytest.approx(change.low)


def test_models_of_the_test_sets_languages_make_a_transfer_table(tmp_path: Path) -> None:
    own = {language: [e for e in PERFECT if e.language == language] for language in ("en", "fr")}
    runs = []
    for name, rates in (("en", (0.05, 0.5)), ("french", (0.5, 0.05)), ("both", (0.1, 0.1))):
        entries = [h for language, rate in zip(own, rates, strict=True) for h in garbled(own[language], rate, 1)]
        config = {"source": "fr"} if name == "french" else {}
        runs.append(write_run(tmp_path / name, entries, config=config))
    found = transfer(compared(runs))
    assert found is not None and found[0] == "language" and found[1].names == ("en", "fr")
    assert len(found[1].cells) == 4 and found[1].cells["en", "fr"].p is not None
    assert transfer(compared([runs[0], runs[2]])) is None, "one source alone has nothing to be held against"
    assert main(["compare", *map(str, runs), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "by source (rows) and target language (columns)" in page
    cell = found[1].cells["en", "fr"]
    assert cell.rate is not None and f"{100 * cell.rate:.1f} (" in page
    assert "| en |" in (tmp_path / "out" / "report.md").read_text("utf-8")


def test_words_outside_a_vocabulary_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [Hypothesis("u", "s", "en", "one two three two", "one two three too")])
    words = tmp_path / "known.txt"
    words.write_text("one\nthree\n", encoding="utf-8")
    arguments = ["compare", str(run), "--out", str(tmp_path / "out"), "--vocabulary"]
    assert main([*arguments, str(words)]) == 0
    with (tmp_path / "out" / "report.csv").open(encoding="utf-8", newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert row["unknown_words_recall"] == "0.5" and row["word_list_recall"] == ""
    capsys.readouterr()
    assert main([*arguments, str(tmp_path / "gone.txt")]) == 1
    assert "gone.txt: there is no such file" in capsys.readouterr().err
