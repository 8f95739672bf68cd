"""Jobs run once, in the order of what they need, and go on where they were stopped; so do tasks of a line each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.core.jobs import Job, run_job, run_jobs, run_tasks
from asr_transfer.experiments.core.ledger import Data, Lines, read_finished
from asr_transfer.runs.record import RunRecord

SAID = tuple(Utterance(f"u{n}", f"{n}.wav", 1.0, "abc", "ann", "en") for n in range(3))


@dataclass(frozen=True)
class Write(Job):
    """Writes what jobs before it wrote, and its own name."""

    place: str
    after: tuple[str, ...] = ()
    steps: int = 1
    said: tuple[Utterance, ...] = SAID
    broken: bool = False

    @property
    def name(self) -> str:
        return f"parts/{self.place}"

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(f"parts/{name}" for name in self.after)

    def settings(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def data(self) -> Data:
        return {"train": ("subset", self.said)}

    def run(self, record: RunRecord, data: Data) -> None:
        if self.broken:
            raise KeyboardInterrupt
        read = [read_finished(record.folder.parents[1] / name)["text"] for name in self.needs]
        record.finish(text=" ".join([*read, self.place]), heard=len(data["train"][1]))


def _stamps(folder: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("parts/*/run.json")}


def test_jobs_wait_for_what_they_need_and_finished_ones_are_skipped(tmp_path: Path) -> None:
    jobs = [Write("a"), Write("b", ("a",)), Write("c", ("a", "b"))]
    first = list(run_jobs(tmp_path, jobs, 1, "parts"))
    assert first == ["parts/a", "parts/b", "parts/c"]
    assert read_finished(tmp_path / "parts" / "c")["text"] == "a a b c"
    before = _stamps(tmp_path)
    assert list(run_jobs(tmp_path, jobs, 1, "parts")) == first and _stamps(tmp_path) == before
    with pytest.raises(ValueError, match=r"job 0 needs \[1\]; give it those before it alone"):
        list(run_jobs(tmp_path, [jobs[1], jobs[0]], 1, "parts"))
    # One that is not among them is there already.
    list(run_jobs(tmp_path, [Write("d", ("c",))], 1, "parts"))
    assert read_finished(tmp_path / "parts" / "d")["text"] == "a a b c d"


def test_a_stopped_job_goes_on_and_the_finished_ones_stay(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(tmp_path, [Write("a"), Write("b", ("a",), broken=True)], 1, "parts"))
    before = _stamps(tmp_path)
    assert set(before) == {"a", "b"}
    list(run_jobs(tmp_path, [Write("a"), Write("b", ("a",))], 1, "parts"))
    after = _stamps(tmp_path)
    assert before["a"] == after["a"] and before["b"] != after["b"]
    assert read_finished(tmp_path / "parts" / "b")["heard"] == 3


def test_jobs_of_other_settings_or_data_are_refused(tmp_path: Path) -> None:
    run_job(tmp_path, Write("a"))
    with pytest.raises(ConfigError, match="parts/a: cannot be resumed, for `steps` was 1 and is now 2"):
        run_job(tmp_path, Write("a", steps=2))
    with pytest.raises(ConfigError, match="parts/a: cannot be resumed, for the content of `train` has changed"):
        run_job(tmp_path, Write("a", said=SAID[:2]))


def _square(number: int) -> list[int]:
    return [number, number**2]


def test_tasks_that_have_their_line_are_not_done_again(tmp_path: Path) -> None:
    def lines() -> Lines[list[int]]:
        return Lines(tmp_path / "squares.jsonl", "square", list, lambda pair: (pair[0],))

    assert list(run_tasks(lines(), {(n,): n for n in (1, 2)}, _square, 1, "squares")) == [[1, 1], [2, 4]]
    assert list(run_tasks(lines(), {(n,): n for n in (1, 2, 3)}, _square, 1, "squares")) == [[3, 9]]
    assert sorted(lines()) == [[1, 1], [2, 4], [3, 9]]
