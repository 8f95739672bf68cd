"""Comparing runs of items with classes: marks, what is refused, and reports that speak of classes alone."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.class_comparison import ComparedClasses, compare_classes
from asr_transfer.evaluation.class_report import HARDEST, write_class_report
from asr_transfer.evaluation.class_runs import have_classes, load_classes
from asr_transfer.evaluation.class_table import columns, reading, verdict
from asr_transfer.evaluation.classes import Prediction, change, score
from asr_transfer.evaluation.significance import holm
from tests.made_classes import CLASSES, confused, right, write_class_run
from tests.made_runs import utterances, write_run

PERFECT = right(400)
SPEECH = re.compile(
    r"\b(WER|CER|words?|utterances?|speakers?|languages?|recogni[sz]\w*|recordings?|hypothes\w*|said|heard)\b", re.I
)
"""Words of speech that nothing about classes may use."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return run folders: a baseline, a better, a worse, an equally good one, and one with the same errors."""
    folder = tmp_path_factory.mktemp("runs")
    base = confused(PERFECT, 0.2, 1)
    twin = [replace(own, predicted="unknown") if own.wrong else own for own in base]
    made = {
        "base": base,
        "better": confused(PERFECT, 0.08, 2),
        "worse": confused(PERFECT, 0.4, 3),
        "alike": confused(PERFECT, 0.2, 4),
        "twin": twin,
    }
    return {name: write_class_run(folder / name, own) for name, own in made.items()}


def compared(runs: dict[str, Path], *names: str, baseline: str | None = None) -> ComparedClasses:
    """Compare some of the runs."""
    return compare_classes(load_classes([str(runs[name]) for name in names]), baseline)


def test_marks_follow_the_corrected_test(runs: dict[str, Path]) -> None:
    result = compared(runs, *runs)
    marks = {entry.name: entry.mark for entry in result.entries}
    assert marks == {"base": "base", "better": "better", "worse": "worse", "alike": "open", "twin": "same"}
    tests = [entry.test for entry in result.entries if entry.test]
    assert [t.p_change for t in tests] == holm([t.change.p for t in tests])
    base, better = result.entries[:2]
    assert tests[0].change == change(base.system.predictions, better.system.predictions)
    assert base.counts == score(base.system.predictions)
    told = " ".join(verdict(result))
    assert re.search(r"Lowest error: better with [\d.]+ % \(95 % interval [\d.]+ to [\d.]+, over 400 items\)\.", told)
    assert "Fewer errors than base beyond chance: better." in told and "The same errors as base: twin." in told
    assert "bootstrap over 400 items" in " ".join(reading(result))


def test_another_baseline_turns_the_difference_around(runs: dict[str, Path]) -> None:
    forth = compared(runs, "base", "better").entries[1].test
    back = compared(runs, "base", "better", baseline="better").entries[0].test
    assert forth is not None and back is not None and forth.change.low is not None
    assert back.change.high == -forth.change.low and back.change.p == forth.change.p
    with pytest.raises(ConfigError, match="no system 'bettr'. Did you mean 'better'"):
        compared(runs, "base", "better", baseline="bettr")


def test_a_report_speaks_of_classes_and_of_no_words(runs: dict[str, Path], tmp_path: Path) -> None:
    result = compared(runs, "base", "better", "alike")
    page = write_class_report(tmp_path / "report", result, "compare base better alike")
    shown = re.sub(r"<(style|script)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    shown = unescape(re.sub(r"base64,[^\"]*", "", shown))
    texts = [shown, *((tmp_path / "report" / name).read_text(encoding="utf-8") for name in ("report.md", "report.csv"))]
    for text in [*texts, (tmp_path / "report" / "systems.svg").read_text(encoding="utf-8")]:
        assert not SPEECH.search(text), SPEECH.search(text)
    for text in texts[:2]:
        for part in ("error %", "per-class accuracy %", "400", "Error % by class", "Most frequent confusions of base"):
            assert part in text, part
    table = list(csv.DictReader(io.StringIO(texts[2])))
    assert float(table[1]["error"]) == result.entries[1].counts.rate
    assert float(table[1]["per_class_accuracy"]) == result.entries[1].counts.per_class_accuracy
    assert [table[1][name] for name in ("items", "classes", "verdict")] == ["400", "5", "better"]


def test_the_page_escapes_names_and_shows_the_hardest_items_first(tmp_path: Path) -> None:
    hostile = "</script><script>window.pwned=1</script>"
    made = [
        Prediction(f"{n}{hostile}", hostile, hostile if n % 2 else "<b>", "<i>" if n % 4 else "d") for n in range(600)
    ]
    run = write_class_run(tmp_path / "run", made, command=hostile)
    other = write_class_run(tmp_path / "other", [replace(made[0], predicted=hostile), *made[1:]])
    result = compare_classes(load_classes([str(run), str(other)]))
    page = write_class_report(tmp_path / "report", result, hostile).read_text(encoding="utf-8")
    assert "<script>window" not in page and "<b>" not in page and "<i>" not in page
    assert f"Items that a system has wrong, {HARDEST} of 300" in page
    items = page[page.index('id="items"') : page.index('id="confusions"')]
    assert items.count("<tr>") == HARDEST + 1
    counts = re.findall(r'data-value="\d+">(\d)</td>', items)
    assert counts[:2] == ["2", "2"] and "1" not in counts  # the one that only `run` has wrong is beyond the first 200
    assert "Error % by domain" in page


def test_one_system_alone_has_no_test_and_perfect_ones_no_confusions(tmp_path: Path) -> None:
    run = write_class_run(tmp_path / "run", right(50))
    result = compare_classes(load_classes([str(run)]))
    assert [c.label for c in columns(result)] == [
        "system", "error %", "95 % interval", "per-class accuracy %", "errors", "items", "classes",
    ]  # fmt: skip
    page = write_class_report(tmp_path / "report", result, "").read_text(encoding="utf-8")
    assert "Results of run" in page and "Every item is right." in page and "Every system has every item right." in page


def test_episodes_are_what_intervals_are_over(tmp_path: Path) -> None:
    queries = [replace(own, episode=str(n // 8)) for n, own in enumerate(right(80))]
    made = [write_class_run(tmp_path / str(seed), confused(queries, 0.3, seed)) for seed in range(2)]
    result = compare_classes(load_classes([str(run) for run in made]))
    assert result.over == "10 episodes"
    assert "Intervals over 10 episodes are rather too narrow, for they are drawn from so few." in result.notes
    few = [replace(own, episode=str(n // 20)) for n, own in enumerate(right(80))]
    made = [write_class_run(tmp_path / f"few{seed}", confused(few, 0.3, seed)) for seed in range(2)]
    assert any(
        "with 4 episodes and 1 comparison p (Holm) cannot be below 0.12" in note
        for note in compare_classes(load_classes([str(run) for run in made])).notes
    )


def test_a_recipes_systems_are_compared_like_runs(tmp_path: Path) -> None:
    for amount, rate in ((10, 0.1), (5, 0.3)):
        write_class_run(tmp_path / "demo" / "systems" / f"own-{amount}", confused(PERFECT, rate, amount))
    (tmp_path / "demo" / "run.json").write_text(
        json.dumps({"format": 1, "status": "finished", "command": "run.py", "config": {}, "scores": {}}),
        encoding="utf-8",
    )
    assert have_classes([str(tmp_path / "demo")])
    assert [system.name for system in load_classes([str(tmp_path / "demo")])] == ["own-5", "own-10"]
    twice = load_classes([str(tmp_path / "demo"), str(tmp_path / "demo" / "systems" / "own-5" / "predictions.jsonl")])
    assert [system.name for system in twice] == ["own-5", "own-10", "predictions"]


def test_classes_and_texts_are_refused_together_in_a_sentence(runs: dict[str, Path], tmp_path: Path) -> None:
    speech = write_run(tmp_path / "speech", utterances(5))
    with pytest.raises(DataError, match="base holds classes of items and .*speech texts of speech.*like") as told:
        have_classes([str(speech), str(runs["base"])])
    assert "\n" not in str(told.value)
    assert not have_classes([str(speech)]) and have_classes([str(runs["base"]), str(tmp_path / "none")])
    assert not have_classes(["ref.txt,hyp.txt"]) and not have_classes([str(speech / "hypotheses.jsonl")])
    write_class_run(speech, right(5))
    with pytest.raises(DataError, match=r"holds both predictions.jsonl and hypotheses.jsonl"):
        have_classes([str(speech)])


def test_other_items_and_other_classes_are_refused(tmp_path: Path) -> None:
    made = {
        "all": right(40),
        "fewer": right(30),
        "other": right(40, CLASSES[::-1]),
        "none": [Prediction("x", "cat", "cat")],
        "domain": right(40, domain="night"),
        "day": right(40, domain="day"),
    }
    paths = {name: str(write_class_run(tmp_path / name, own)) for name, own in made.items()}
    with pytest.raises(DataError, match="different items .only in 'all': item-30, .* and 5 more.*--intersection"):
        load_classes([paths["all"], paths["fewer"]])
    both = load_classes([paths["all"], paths["fewer"]], intersect=True)
    assert [len(own.predictions) for own in both] == [30, 30]
    assert both[0].notes == ["10 of 40 items left out, others lack them."] and not both[1].notes
    with pytest.raises(DataError, match="item 'item-0': its class is 'cat' in 'all' and 'truck' in 'other'"):
        load_classes([paths["all"], paths["other"]])
    with pytest.raises(DataError, match="its domain is 'night' in 'domain' and 'day' in 'day'"):
        load_classes([paths["domain"], paths["day"]])
    named = load_classes([paths["all"], paths["day"]])
    assert {own.domain for system in named for own in system.predictions} == {"day"}
    with pytest.raises(DataError, match="no item in common"):
        load_classes([paths["all"], paths["none"]], intersect=True)


def test_cut_files_and_empty_folders_are_named(runs: dict[str, Path], tmp_path: Path) -> None:
    run = write_class_run(tmp_path / "run", right(40))
    lines = (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (run / "predictions.jsonl").write_text("".join(lines[:30]), encoding="utf-8")
    with pytest.raises(DataError, match="holds 30 items, but `scores.test.items` in run.json is 40; run again"):
        load_classes([str(run)])
    with pytest.raises(DataError, match="there is no such run folder or file"):
        load_classes([str(runs["base"]), str(tmp_path / "none")])
    (run / "predictions.jsonl").unlink()
    with pytest.raises(DataError, match="holds neither predictions.jsonl nor systems"):
        load_classes([str(runs["base"]), str(run)])
    part = write_class_run(run / "systems" / "a", right(4))
    write_class_run(run / "systems" / "b", right(4))
    (part / "predictions.jsonl").unlink()
    with pytest.raises(DataError, match="systems/a: holds no predictions.jsonl; run the recipe again"):
        load_classes([str(run)])
