"""Without a terminal, long work prints a line now and then, wherever it is; short work prints none."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import sys
import termios
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from asr_transfer import cli, progress
from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.progress import Work, tracked
from asr_transfer.runs.workers import run_all
from asr_transfer.training.streams import Output
from asr_transfer.training.trainer import Trainer
from tests.small import Recorder, ToySpeech, in_child, settings, small_model, speech_task


@dataclass(frozen=True)
class _Nothing:
    """Settings of a recipe that has none."""


class _Log(io.StringIO):
    """A log file that says when a line with some words in it has come."""

    def __init__(self, wanted: str = "", encoding: str = "utf-8") -> None:
        super().__init__()
        self.wanted, self.come, self._encoding = wanted, threading.Event(), encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def write(self, text: str) -> int:
        text.encode(self._encoding)
        if self.wanted in text:
            self.come.set()
        return super().write(text)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock that the test sets."""
    time = [100.0]
    monkeypatch.setattr(progress, "now", lambda: time[0])
    return time


def test_a_line_comes_at_least_every_half_minute() -> None:
    assert progress.EVERY < 30 and progress.REPORTED < progress.EVERY


def test_a_single_step_that_takes_long_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log("reading")
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress, "EVERY", 0.01)
    with Work("preparing"), Work("reading", 3, "file"):
        assert log.come.wait(10), "nothing came while the only step was under way"
    assert " s: preparing | reading: file 0 of 3\n" in log.getvalue()


def test_short_work_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log()
    monkeypatch.setattr(sys, "stderr", log)
    for _ in tracked(range(1000), "counting", 1000):
        pass
    with Work("once"):
        pass
    assert log.getvalue() == "" and progress.told() == ""


def test_much_short_work_within_a_command_is_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log("part")
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress, "EVERY", 0.05)
    with Work("command"):
        for _ in range(100_000):
            with Work("part"):
                if log.come.wait(0.002):
                    break
    assert log.come.is_set()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_log_of_any_encoding_takes_any_name(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    log = _Log("again", encoding)
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress, "EVERY", 0.01)
    with Work("речь"), Work("again"):
        assert log.come.wait(10)


def test_a_broken_pipe_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    class Broken(_Log):
        def write(self, text: str) -> int:
            tried.set()
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Broken())
    monkeypatch.setattr(progress, "EVERY", 0.01)
    with Work("working"):
        assert tried.wait(10)


def test_count_speed_and_time_left_are_told(clock: list[float]) -> None:
    with Work("train"), Work("training", 2000, "step", lambda: "loss 0.500") as work:
        work.begin_at(500)
        clock[0] += 100
        work.advance(250)
        assert progress.told() == "100 s: train | training: step 750 of 2000, loss 0.500, 2.5 steps/s, 8 min left"
        clock[0] += 150
        assert "step 750 of 2000, loss 0.500, 1 steps/s, 21 min left" in progress.told()
        work.advance(1250)
        assert progress.told().endswith("step 2000 of 2000, loss 0.500, 6 steps/s")
    assert progress.told() == ""
    assert [progress.duration(s) for s in (0, 59.4, 119, 121, 3599, 3 * 3600 + 1250)] == [
        "0 s", "59 s", "119 s", "2 min", "1 h 0 min", "3 h 21 min",
    ]  # fmt: skip


class _Telling(Recorder):
    """An objective that notes at each step what is told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        self.lines.append(progress.told())
        return torch.zeros(())


def test_training_tells_step_loss_and_the_last_validation(tmp_path: Path) -> None:
    def train(steps: int) -> list[str]:
        telling = _Telling()
        config = settings(steps=8, validate_every=2, checkpoint_every=1, patience=0)
        check = speech_task(ToySpeech(5, seed=3))
        trainer = Trainer(
            small_model(1), [speech_task()], [(1.0, telling)], config=config, validation=[check], folder=tmp_path
        )
        if steps < 8:
            telling.forward = lambda *a: _stop_at(telling, steps)  # type: ignore[method-assign]
            with pytest.raises(KeyboardInterrupt):
                trainer.train()
        else:
            trainer.train()
        return telling.lines

    def _stop_at(telling: _Telling, step: int) -> torch.Tensor:
        if len(telling.lines) == step:
            raise KeyboardInterrupt
        telling.lines.append(progress.told())
        return torch.zeros(())

    lines = train(5)
    assert "training: step 0 of 8" in lines[0] and "loss" not in lines[0]
    assert "training: step 3 of 8, loss " in lines[3] and "at the last validation" in lines[3]
    assert "steps/s" in lines[3] or "per step" in lines[3]
    again = train(8)
    assert "training: step 5 of 8" in again[0], "a resumed run goes on counting where it was"


def test_a_whole_command_is_told_of_wherever_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = _Log("show")
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress, "EVERY", 0.01)
    waiting = replace(cli.load_command("show"), run=lambda arguments: 0 if log.come.wait(10) else 1)
    monkeypatch.setattr(cli, "load_command", lambda name: waiting)
    assert cli.main(["show", str(tmp_path)]) == 0


def test_features_and_recognition_are_counted(tmp_path: Path, make_audio: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    advance = Work.advance

    def telling(work: Work, units: int = 1) -> None:
        advance(work, units)
        lines.append(progress.told())

    monkeypatch.setattr(Work, "advance", telling)
    made = [make_audio(tmp_path / f"{'a' * n}.wav", 0.3) for n in (1, 2, 3)]
    utterances = [Utterance(f"u{n}", str(path), 0.3, "", "s", "en") for n, path in enumerate(made)]
    store = build_store(utterances, FeatureConfig(mels=8), cache=tmp_path / "cache")
    assert "features: utterance 2 of 3" in lines[1]
    recogniser = Recogniser(small_model(), Tokens(["a", "b", "c", " "]), "main", {})
    recogniser.listen(Spoken(utterances, store))
    assert "recognising: piece 3 of 3" in lines[-1]


def _work_for_another(folder: Path) -> None:
    """Work until the other process has seen it, and print nothing."""
    sys.stderr = log = _Log()
    progress.REPORTED = 0.01
    progress.report_to(folder / "1")
    with Work("point es-5"), Work("training", 2000, "step"):
        seen = threading.Event()
        while not (folder / "seen").exists():
            seen.wait(0.005)
    assert log.getvalue() == ""


def test_a_worker_prints_nothing_and_the_parent_says_what_it_is_at(tmp_path: Path) -> None:
    child = in_child(_work_for_another, tmp_path)
    waiting = threading.Event()
    for _ in range(2000):
        found = progress.reports(tmp_path)
        if found:
            break
        waiting.wait(0.005)
    (tmp_path / "seen").touch()
    child.join()
    assert child.exitcode == 0
    assert [line.partition(": ")[2] for line in found] == ["point es-5 | training: step 0 of 2000"]
    assert not (tmp_path / "1").exists(), "what is done is not at work"


def _tell(number: int) -> str:
    with Work(f"job {number}", bar=False):
        return progress.told()


def test_jobs_are_counted_where_they_run_in_this_process() -> None:
    lines = list(run_all(_tell, [1, 2, 3], 1, "models"))
    assert "models: 0 of 3 | job 1" in lines[0] and "models: 2 of 3" in lines[2] and lines[2].endswith("| job 3")


def test_what_processes_are_at_stands_in_the_parent_s_line(tmp_path: Path) -> None:
    from asr_transfer.runs.workers import _told

    (tmp_path / "17").write_text("3 min: point es-5 | training: step 9 of 20", encoding="utf-8")
    results = _told(iter([1, 2]), "models", 7, tmp_path)
    next(results)
    assert "models: 1 of 7, at work: 3 min: point es-5 | training: step 9 of 20" in progress.told()
    results.close()


def test_a_forked_process_tells_of_its_own_work_alone(tmp_path: Path) -> None:
    with Work("outer"):
        child = in_child(_check_alone)
        child.join()
    assert child.exitcode == 0


def _check_alone() -> None:
    assert progress.told() == ""
    log = _Log("inner")
    sys.stderr, progress.EVERY = log, 0.01
    with Work("inner"):
        assert log.come.wait(10)
    assert "outer" not in log.getvalue()


@pytest.mark.parametrize(
    ("file", "name"),
    [("recipes/speaker_adaptation/run.py", "speaker adaptation"), ("recipes/zero_shot_words/run.py", "zero shot words"),
     ("recipes/multilingual/transfer_table.py", "transfer table")],
)  # fmt: skip
def test_a_recipe_is_called_by_a_name_that_tells_which(monkeypatch: pytest.MonkeyPatch, file: str, name: str) -> None:
    told: list[str] = []
    monkeypatch.setattr(sys, "argv", [file])
    assert cli.script(_Nothing, lambda _: told.append(progress.told()), []) == 0
    assert told[0].partition(": ")[2] == name


@pytest.mark.parametrize("columns", [0, 80])
def test_a_terminal_of_no_width_has_lines_as_a_log_has(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    keyboard, screen = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24 * bool(columns), columns, 0, 0))
    with os.fdopen(keyboard, "rb"), os.fdopen(screen, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert progress._teller.on_terminal() == bool(columns)


def test_a_terminal_has_bars_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log()
    monkeypatch.setattr(log, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress, "SHORT", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.001)
    for _ in tracked(np.arange(3).tolist(), "counting", 3):
        threading.Event().wait(0.005)
    assert "counting" in log.getvalue() and "\n" not in log.getvalue()
