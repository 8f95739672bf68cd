"""What a page says that its record does not is named: figures, settings, commits, run folders, inputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.errors import ConfigError
from docs import evidence, history, prose, records, rerun
from docs.commands import printed, settings_of
from docs.update_tables import filled

COMMIT = "0123456789ab"
COMMAND = "run.py --config recipes/zero_shot_words/hparams/synthetic.yaml --out runs/made"
PAGE = f"""# A page

It finds <!-- figure made scores.rows[size=5000,group="never trained on"].first --><!-- end --> % of the words.

```sh
.venv/bin/python recipes/zero_shot_words/{COMMAND}
```

<!-- table words made -->
<!-- end -->
"""
REAL = [pytest.param(check, id=check.__name__) for check in evidence.CHECKS]


@pytest.mark.parametrize("check", REAL)
def test_the_pages_of_this_repository_agree_with_their_records(check: Callable[[], evidence.Check]) -> None:
    assert check().wrong == []


def test_front_page_and_recipes_have_tables_and_every_record_stands_on_a_page() -> None:
    pages = {page for page, _, _ in evidence._blocks()}
    assert pages >= {page for page in records.PAGES if page.name == "README.md"}
    assert evidence._shown() == records.names()


class World:
    """A page and a record of its own, which agree."""

    def __init__(self, folder: Path) -> None:
        self.page, self.results = folder / "docs" / "README.md", folder / "results"
        self.results.mkdir()
        self.page.parent.mkdir()
        self.page.write_text(PAGE, encoding="utf-8")

    def record(self, name: str = "made", base: str = "words_synthetic", **changes: Any) -> dict[str, Any]:
        """Write a record of today's settings, after one of this repository's, and return it."""
        values = json.loads((records.ROOT / "docs" / "results" / f"{base}.json").read_text(encoding="utf-8"))
        attempt = {"command": COMMAND, "commit": COMMIT, "changes": None, "status": "finished"}
        values |= {"command": COMMAND, "commit": COMMIT, "attempts": [attempt]}
        values |= {"time": {"wall_seconds": 9.0, "cpu_seconds": 5.0}, **changes}
        if "config" not in changes and base == "words_synthetic":
            values["config"] = dict(settings_of(printed(values)))
        return self.write(name, values)

    def write(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        (self.results / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
        return values

    def add(self, text: str) -> None:
        """Append to the page."""
        self.page.write_text(self.page.read_text(encoding="utf-8") + text, encoding="utf-8")

    def fill(self) -> str:
        """Fill the page in and return it."""
        self.page.write_text(filled(self.page.read_text(encoding="utf-8")), encoding="utf-8")
        return self.page.read_text(encoding="utf-8")

    def swap(self, old: str, new: str) -> None:
        """Change the page where one thing stands."""
        text = self.page.read_text(encoding="utf-8")
        assert text.count(old) == 1, text
        self.page.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(records, "RESULTS", made.results)
    monkeypatch.setattr(records, "PAGES", (made.page,))
    monkeypatch.setattr(prose, "FACTS", ())
    monkeypatch.setattr(history, "commits", lambda: frozenset({COMMIT.ljust(40, "0")}))
    made.record()
    made.fill()
    return made


def disagreements(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines that name a disagreement, after making sure that they make the command fail."""
    failed = evidence.main(["--without-rerun"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    found = [line for line in lines if not line.startswith(("ok ", "WRONG ", "(", "Nothing"))][: -1 if failed else None]
    assert failed == bool(found) == any(line.startswith("WRONG ") for line in lines)
    return found


def test_what_agrees_passes_with_a_line_per_check(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert evidence.main(["--without-rerun"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines] == ["ok"] * len(evidence.CHECKS) + ["No"]
    assert [int(line.rsplit(": ")[1]) for line in lines[:6]] == [1] * 6
    assert evidence.main(["--quick"]) == 2


def test_a_changed_figure_of_a_table_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.swap("| **5,000** | **never trained on** | **200** | **99.0** |",
               "| **5,000** | **never trained on** | **200** | **99.6** |")  # fmt: skip
    (line,) = disagreements(capsys)
    assert line.startswith("docs/README.md, table `words made`: **5,000** **never trained on**, found %: **99.6** on")
    assert "**99.0** in the record" in line


def test_a_changed_figure_of_a_sentence_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.swap("-->99.0<!-- end --> %", "-->99.9<!-- end --> %")
    (line,) = disagreements(capsys)
    assert line.startswith("docs/README.md, line 3, figure made scores.rows") and line.endswith(": 99.9, now 99.0.")


def test_figures_of_no_record_are_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.add("A gain of 3 to 4 %, and 2.5 times, with `--rate 0.5` in 20 steps.\n")
    world.add("It is <!-- figure none at -->1<!-- end --> %, <!-- figure made -->2<!-- end --> % or 7 %.\n")
    first, second, *found = disagreements(capsys)
    assert first.endswith("figure none at: there is no record of that name.")
    assert second == "docs/README.md: 1 figures are not written as docs/inline_numbers.py has it."
    assert [line.split(" is of no record")[0].split(": ")[-1] for line in found] == ["3", "4", "2.5", "2", "7"]


def test_a_fact_is_no_result_where_its_phrase_stands(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add("Intervals (95\n%) and 5 %.\n")
    monkeypatch.setattr(prose, "FACTS", ("Intervals (95 %)", "all of it"))
    wrong = evidence.check_figures().wrong
    assert len(wrong) == 2 and ": 5 is of no record" in wrong[0] and "'all of it' stands on no page" in wrong[1]


def test_a_changed_setting_of_a_record_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    values = records.record("made")
    values["config"]["false_rejection"] = 0.1
    world.write("made", values)
    found = disagreements(capsys)
    assert len(found) == 2 and all("`false_rejection` is 0.1 in the record, 0.05 today." in line for line in found)
    assert found[0].startswith("made, `python recipes/zero_shot_words/run.py --config")
    assert found[1].startswith("docs/README.md, `python recipes/") and "makes made" in found[1]


def test_precision_may_be_what_auto_took(world: World) -> None:
    values = records.record("made")
    values["config"]["learn.trainer.precision"] = "bf16"
    world.write("made", values)
    assert evidence.check_settings().wrong == []


def test_a_command_in_a_block_that_makes_another_experiment_is_named(world: World) -> None:
    world.swap("--out runs/made\n```", "--draws 2 --out runs/made\n```")
    (line,) = evidence.check_blocks().wrong
    assert line.endswith("`draws` is 5 in the record, 2 today.")
    world.swap("--draws 2 --out runs/made\n```", "--drawss 2 --out runs/made\n```")
    (line,) = evidence.check_blocks().wrong
    assert "refused today" in line and "drawss" in line


def test_a_commit_that_is_not_in_the_history_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    values = world.record()
    values["attempts"].append({**values["attempts"][0], "commit": "ba9876543210"})
    world.write("made", values)
    world.fill()
    assert disagreements(capsys) == ["made: its commit ba9876543210 is not in the history."]


def test_changes_that_are_in_no_commit_are_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    values = world.record()
    values["attempts"][0]["changes"] = "12ab"
    world.write("made", values)
    world.fill()
    assert disagreements(capsys) == ["made: was made by code that is in no commit; run it again."]


def test_two_tables_of_one_run_folder_are_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.record("again")
    world.add("\n<!-- table words again -->\n<!-- end -->\n")
    world.fill()
    (line,) = disagreements(capsys)
    assert line == "again and made print the same `--out runs/made`."


def test_models_that_no_command_makes_are_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{COMMAND.replace('runs/made', 'runs/scored')} --models '[runs/made/models/seed-0,runs/lost/models/a]'"
    world.record("scored", command=command)
    world.add("\n<!-- table words scored -->\n<!-- end -->\n")
    world.fill()
    (line,) = disagreements(capsys)
    assert line == "scored: begins with runs/lost/models/a, which no command on a page makes."


def test_places_of_one_machine_are_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.record(command=COMMAND.replace("runs/made", "/home/me/made"))
    world.fill()
    (line,) = disagreements(capsys)
    assert line.endswith("names a place of one machine.")
    world.record(data={"train": {"path": "/home/me/made/corpus/train.jsonl", "utterances": 9}})
    world.fill()
    (line,) = disagreements(capsys)
    assert line.endswith(": /home/me/made/corpus/train.jsonl is a place of one machine.")


def test_older_runs_are_excused_where_the_page_says_so(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    values = world.record(command=f"{COMMAND} --resume", commit=f"{COMMIT}+")
    del values["attempts"]
    values["config"]["draws"] = 4
    world.write("made", values)
    assert any("without saying so" in line for line in disagreements(capsys))
    text = world.fill()
    assert "older run, to be repeated" in text and "--resume" not in text and not disagreements(capsys)


def test_settings_that_have_changed_since_make_a_run_without_attempts_an_older_one(world: World) -> None:
    values = world.record()
    del values["attempts"]
    assert "older run" not in (world.write("made", values) and world.fill())
    values["config"]["draws"] = 4
    world.write("made", values)
    assert "(older run, to be repeated: its command has other settings today: `draws`)" in world.fill()


SCORES = {"rows": [{"group": "all", "size": 9, "first": 0.5, "low": 0.4, "high": 0.6, "sound": 0.7, "sound_low": 0.6,
                    "sound_high": 0.8, "cpu_seconds": 3.0}], "count": 7}  # fmt: skip


def test_figures_that_come_out_otherwise_are_named_with_their_intervals() -> None:
    now = json.loads(json.dumps(SCORES))
    now["rows"][0] |= {"first": 0.55, "sound": 0.9, "cpu_seconds": 4.0}
    first, second = rerun.compare(SCORES, now)
    assert (first.place, first.within) == ("scores.rows.0 (all, 9).first", True)
    assert (second.place, second.within) == ("scores.rows.0 (all, 9).sound", False)
    assert str(first) == "scores.rows.0 (all, 9).first: 0.5 in the record, 0.55 now, interval 0.4 … 0.6"
    assert list(rerun.compare(SCORES, json.loads(json.dumps(SCORES)))) == [] and rerun.count(SCORES) == 8
    assert [one.place for one in rerun.compare(SCORES, {"count": 7})] == ["scores.rows"]


@pytest.mark.parametrize(
    ("first", "processor", "wrong"),
    [(0.5, "a", 0), (0.55, "a", 1), (0.55, "b", 0), (0.65, "b", 1), (0.55, None, 0), (0.65, None, 1)],
)
def test_a_table_that_is_made_again_must_be_the_same_or_within_the_interval_elsewhere(
    world: World, monkeypatch: pytest.MonkeyPatch, first: float, processor: str | None, wrong: int
) -> None:
    world.record(scores=SCORES, precision={"taken": "fp32", "processor": "a"})
    now = json.loads(json.dumps({"scores": SCORES, "precision": {"taken": "fp32", "processor": processor}}))
    now["scores"]["rows"][0]["first"] = first
    monkeypatch.setattr(rerun, "run_again", lambda command, out: now)
    check = evidence.check_again()
    assert len(check.wrong) == wrong and check.count == 8
    assert any("first: 0.5 in the record" in line for line in (*check.wrong, *check.notes)) == (first != 0.5)


def test_the_cheapest_table_that_can_be_made_here_is_made_again(world: World) -> None:
    world.record("cheaper", time={"wall_seconds": 1.0, "cpu_seconds": 1.0}, command=f"{COMMAND} --models '[runs/lost]'")
    older = world.record("older", time={"wall_seconds": 1.0, "cpu_seconds": 1.0}, command=f"{COMMAND} --resume")
    del older["attempts"]
    world.write("older", older)
    world.record("dearer", time={"wall_seconds": 1.0, "cpu_seconds": 6.0})
    assert rerun.cheapest() == "made"
    for name in ("made", "dearer"):
        (world.results / f"{name}.json").unlink()
    assert rerun.cheapest() is None and "not done" in evidence.check_again().notes[0]


def test_a_printed_command_is_run_into_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "run.py").write_text(
        "import json, pathlib, sys\nout = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\nout.mkdir()\n"
        "(out / 'run.json').write_text(json.dumps({'format': 1, 'argv': sys.argv[1:]}))\n"
        "sys.exit('--fail' in sys.argv)\n"
    )
    monkeypatch.setattr(records, "ROOT", tmp_path)
    command = "python recipes/run.py --out runs/made --draws 2"
    found = rerun.run_again(command, tmp_path / "fresh")
    assert found["argv"] == ["--out", str(tmp_path / "fresh"), "--draws", "2"] and not (tmp_path / "runs").exists()
    with pytest.raises(ConfigError, match="ended with 1"):
        rerun.run_again(f"{command} --fail", tmp_path / "second")
    with pytest.raises(ConfigError, match="makes no table"):
        rerun.run_again("rm --out runs", tmp_path / "third")
