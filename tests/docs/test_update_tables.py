"""Tables of the pages: what stands in them, of newer and older records, and what does not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.errors import DataError
from asr_transfer.experiments.core.tables import Table
from asr_transfer.runs.resuming import plain
from docs import records
from docs.inline_numbers import figure, fill_figures
from docs.tables import brief, ideas, searches, table, training
from docs.tables_headline import headline, hindsight

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    return tmp_path


def _row(method: str, amount: int, errors: tuple[int, ...], **more: Any) -> dict[str, Any]:
    """Return a row of as many speakers as there are errors, of twenty in a hundred words before."""
    before, after = 20 * len(errors), sum(errors)
    return {
        "method": method, "amount": amount, "speakers": len(errors), "draws": 2, "wer": after / (100 * len(errors)),
        "reduction": 1 - after / before, "low": 0.1, "high": 0.9, "draw_spread": 0.0, "harmed": 0.0, "others": 0.05,
        "others_before": 0.04, "cpu_seconds": 2.0, "learning_rates": [],
        "by_speaker": {name: [20, own, 100] for name, own in zip(SPEAKERS, errors, strict=False)}, **more,
    }  # fmt: skip


def _write(folder: Path, name: str, rows: list[dict[str, Any]], **more: Any) -> None:
    shipped = plain({"choice": asdict(ChoiceConfig()), "adapt": asdict(AdaptConfig())})
    config = {**shipped, "protocol": {"draws": 2, "seed": 0}, "source": {"trainer": {"seed": 0}}}
    attempt = {"command": "run.py --out runs/a", "commit": "0123456789ab", "changes": None}
    values = {"command": "run.py --out runs/a", "attempts": [attempt], "config": config, "scores": {"rows": rows}}
    (folder / f"{name}.json").write_text(json.dumps({**values, **more}), encoding="utf-8")


def _cells(table: str, start: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_front_page_shows_auto_alone_and_names_where_it_was_not_run(results: Path) -> None:
    automatic = [_row("auto", 5, (2, 2, 10, 10, 10, 10)), _row("auto", 9, (5,) * 6)]
    _write(results, "fsdd", [_row("kld", 5, (1,) * 6), *automatic])
    _write(results, "an4", [_row("kld", 5, (1,) * 4)])
    _write(results, "whisper_tiny_fillets", [_row("auto", 5, (10,))])
    text = headline()
    first, second = _cells(text, "spoken digits (FSDD) |")
    assert first[:7] == ["spoken digits (FSDD)", "6", "5", "words", "20.0", "7.3", "63 % (10 … 90)"]
    assert second[2] == "9"
    ((*_, voice, others, _),) = _cells(text, "a game's voice")
    assert (voice, others) == ("50 % (–)", "4.0 → 5.0"), "one speaker has no interval"
    assert "Not run with `auto` yet: synthetic voices; AN4, all speakers; AN4 on Whisper-tiny" in text
    assert "kld" not in text and "older" not in text
    assert "chosen on george and jackson, with other draws; fewer errors without them: auto 5: 50 %, auto 9" in text


def test_seconds_beside_a_gpu_are_marked(results: Path) -> None:
    _write(results, "fsdd", [_row("auto", 5, (2,) * 6)], precision={"taken": "bf16", "processor": "NVIDIA H200"})
    _write(results, "an4_folds", [_row("auto", 5, (2,) * 6)], precision={"taken": "bf16", "processor": "AMD EPYC 1"})
    text = headline()
    assert _cells(text, "spoken digits")[0][-1].endswith(" ‡") and "- ‡ beside NVIDIA H200." in text
    assert "‡" not in _cells(text, "AN4, all speakers")[0][-1]


def test_older_runs_and_other_settings_than_those_shipped_are_said(results: Path) -> None:
    own = plain({"choice": {**asdict(ChoiceConfig()), "folds": 3}, "adapt": asdict(AdaptConfig())})
    row = {name: value for name, value in _row("auto", 5, (2,) * 6).items() if name != "by_speaker"}
    _write(results, "fsdd", [row], config=own)
    text = headline()
    assert "| spoken digits (FSDD) † |" in text
    assert "†: not `auto` as it is shipped, which has other `choice.folds`." in text
    assert "without them: not known, the record holds no figures by speaker." in text
    values = json.loads((results / "fsdd.json").read_text(encoding="utf-8"))
    del values["attempts"]
    (results / "fsdd.json").write_text(json.dumps({**values, "commit": "0123456789ab+"}), encoding="utf-8")
    assert "†: older run, to be repeated; not `auto` as it is shipped" in headline()
    assert _cells(hindsight(), "spoken digits") == []


def test_the_best_in_hindsight_is_corrected_where_figures_by_speaker_are_known(results: Path) -> None:
    rows = [_row("none", 0, (20,) * 3), _row("steady", 5, (14, 14, 14)), _row("lucky", 5, (0, 18, 18))]
    rows += [_row("auto", 5, (15,) * 3), _row("auto-without-source", 5, (0,) * 3), _row("kld", 9, (10,) * 3)]
    _write(results, "fsdd", rows)
    first, second = _cells(hindsight(), "spoken digits")
    assert first[1:] == ["3", "5", "25", "lucky", "40", "17"], "of 14, 18 and 18 errors that the others' choices leave"
    assert second[1:] == ["3", "9", "–", "kld", "50", "the only one"]
    _write(results, "fsdd", [_row("one", 5, (1,)), _row("two", 5, (2,))])
    assert _cells(hindsight(), "spoken")[0][-1] == "not corrected: one speaker"
    _write(results, "fsdd", [{**row, "by_speaker": {}} for row in rows])
    assert _cells(hindsight(), "spoken")[0][-1] == "not corrected: no figures by speaker"


def test_tables_say_commit_command_precision_and_resuming(results: Path) -> None:
    attempts = [{"command": "", "commit": commit, "changes": None} for commit in ("0123456789ab", "ba9876543210")]
    noted = {"taken": "bf16", "processor": "Some CPU"}
    kept = {"adaptation": [Table(("utterances", "method"), (("5", "kld"),)).to_plain()]}
    _write(results, "an4", [], attempts=attempts, precision=noted, tables=kept)
    text = table("adaptation an4")
    assert text.startswith("| utterances | method |\n|---|---|\n| 5 | kld |\n\n")
    assert (
        "Made by `python recipes/speaker_adaptation/run.py --out runs/a` at commit `0123456789ab`, resumed once up "
        "to `ba9876543210`, in bf16 on Some CPU; draws per speaker: 2" in text
    )
    score = {"test": {"wer": 0.07, "cer": 0.03}}
    more = {"training": {"cpu_seconds": 9.0, "audio_seconds_per_cpu_second": 3.0}, "config": {"trainer": {"seed": 0}}}
    _write(results, "an4-scratch-0", [], command="cli.py train --out runs/b", scores=score, **more)
    assert "- Made by `asr-transfer train --out runs/b` at commit `0123456789ab`." in training("an4-scratch-0")


def test_searches_of_several_models_have_a_mean(results: Path) -> None:
    plain: dict[str, object] = {"lexicon": None, "lm": None, "sentences": False}
    letters, words = {**plain, "lm": "runs/l.arpa"}, {**plain, "lexicon": "runs/w.txt", "sentences": True}
    for name, config, wer in (("a", plain, 0.3), ("b", letters, 0.2), ("c", words, 0.1)):
        made_by = {
            "command": f"asr-transfer evaluate --out runs/{name}",
            "scores": {"test": {"wer": wer, "cer": wer / 2}},
        }
        _write(results, name, [], config={**config, "model": f"runs/of-{name}"}, **made_by)
    rows = [line for line in searches("a", "b", "c").splitlines() if line.startswith("|")][2:]
    assert rows == [
        "| `of-a` | the likeliest letters | 30.00 | 15.00 |",
        "| `of-b` | any words, `l.arpa` | 20.00 | 10.00 |",
        "| `of-c` | sentences of a lexicon | 10.00 | 5.00 |",
        "| mean | | 20.00 | 10.00 |",
    ]
    _write(results, "b", [], config={**letters, "model": "runs/of-a"}, **made_by)
    text = searches("a", "b", "none")
    assert "mean" not in text and "- Made by `asr-transfer evaluate --out runs/c` at commit" in text


def test_experiments_without_a_record_are_named(results: Path) -> None:
    figures = Table(("figure", "number", "%", "95 % interval"), (("words never trained on found", "3", "50.0", "–"),))
    _write(results, "words_a", [], config={"seeds": [0], "lexicon_sizes": []}, tables={"figures": [figures.to_plain()]})
    text = ideas("words_a", "words_b")
    assert "| `words_a` | 50.0 | – | – | – |" in text and "- `words_b`: not measured" in text
    assert "- `words_a`: made by `python recipes/zero_shot_words/run.py --out runs/a` at commit" in text


def test_a_table_that_a_record_does_not_keep_is_named(results: Path) -> None:
    _write(results, "an4", [], tables={"words": [Table(("a",), ()).to_plain()]})
    with pytest.raises(DataError, match="the record an4 keeps no table 'adaptation', only words"):
        table("adaptation an4")
    with pytest.raises(DataError, match="no kind of table 'words' of 2 records"):
        table("words an4 an4")
    _write(results, "an4", [], tables={"adaptation": ["a"]})
    with pytest.raises(DataError, match="`tables` holds something that is no table"):
        table("adaptation an4")
    assert table("adaptation none") == "Not measured: there is no record of a run.\n"


def test_the_brief_table_has_each_amount_once(results: Path) -> None:
    headings = ("minutes", "system", "error %", "fewer errors %", "95 % interval", "than", "95 % interval")
    rows = (
        ("5", "scratch", "60.0", "–", "–", "–", "x"),
        ("5", "scratch-long", "50.0", "–", "–", "–", "x"),
        ("5", "transfer", "25.0", "50", "40 … 60", "`scratch-long`", "x"),
        ("40", "transfer", "10.0", "–", "–", "–", "x"),
    )
    tables = [Table(headings, rows, "Test set `words`:"), Table(("system", "error %"), (("transfer", "1"),))]
    trainer = {"trainer": {"steps": 3}}
    config = {"seeds": [0], "source": trainer, "learn": trainer}
    _write(results, "curve", [], config=config, tables={"curve": [one.to_plain() for one in tables]})
    lines = brief("curve").splitlines()
    assert lines[0] == "| minutes | words: from scratch % | words: `transfer` % | fewer errors (95 %) |"
    assert lines[2:4] == ["| 5 | 50.0 | 25.0 | 50 % (40 … 60) |", "| 40 | – | 10.0 | – |"]
    assert lines[-1].endswith("; seeds 0; 3 steps on the source languages, 3 on the target.")


def test_figures_in_sentences_are_found_by_their_place(results: Path) -> None:
    _write(results, "fsdd", [_row("auto", 5, (5,)), _row("a, b", 5, (10,))])
    assert figure("fsdd", "scores.rows[method=auto,amount=5].reduction") == "75.0"
    assert figure("fsdd", 'scores.rows[method="a, b"].reduction', ".0%") == "50"
    assert figure("fsdd", "scores.rows.1.cpu_seconds", ".2f") == "2.00"
    assert figure("fsdd", "scores.rows[method=auto,cpu_seconds=2].reduction") == "75.0", "2.0 is 2"
    assert figure("fsdd", "-scores.rows.0.reduction", ".0%") == "-75"
    text = "It takes <!-- figure fsdd scores.rows[method=auto].reduction .0% -->1<!-- end --> % away."
    assert fill_figures(text) == text.replace(">1<", ">75<")
    for path, wrong in (("scores.rows[method=kld].wer", r"nothing at '\[method=kld\]'"), ("scores.row", "'.row'"),
                        ("scores.rows[amount=5].wer", "nothing at"), ("command", "no number")):  # fmt: skip
        with pytest.raises(DataError, match=wrong):
            figure("fsdd", path)
    with pytest.raises(DataError, match="'oops' is no format"):
        figure("fsdd", "scores.rows.0.wer", "oops")
