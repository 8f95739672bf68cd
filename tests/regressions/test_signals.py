"""SIGTERM, SIGUSR1 and Ctrl-C end a training behind a checkpoint, with a status of their own, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer import cli, interruption
from asr_transfer.data.manifest import write_manifest
from asr_transfer.interruption import Stopped, heeding
from asr_transfer.runs.record import read_record
from asr_transfer.runs.workers import run_all
from asr_transfer.training.trainer import Trainer
from tests.small import ToySpeech, different, in_child, settings, small_model, snapshot, speech_task
from tests.tones import make_speaker
from tests.training.test_distributed import _two

KILLS = int(os.environ.get("ASR_TRANSFER_TEST_KILLS", "3"))
"""So many times the training of the long test is stopped."""

ORDERS = {signal.SIGTERM: 143, signal.SIGUSR1: 138, signal.SIGINT: 130}

MODEL = "--model.encoder tdnn --model.layers 1 --model.dim 24 --model.channels 24 --speeds [1.0] --keep_source 0"
TRAINER = "--trainer.validate_every 25 --trainer.learning_rate 0.01 --trainer.device cpu --trainer.batch_budget 1500"


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Let Ctrl-C be heard, which jobs in a shell's background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _train(folder: Path, arguments: list[str]) -> None:
    """Train as a process that may be stopped at any time; every step adds a byte to a file beside the run folder."""
    step = Trainer.fit_batch

    def counted(self: Trainer, batch: Any) -> Any:
        with _steps(folder).open("ab") as out:
            out.write(b".")
        return step(self, batch)

    Trainer.fit_batch = counted  # type: ignore[method-assign]
    with (folder.parent / f"{folder.name}.log").open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os._exit(cli.main([*arguments, "--out", str(folder)]))


def _steps(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.steps"


def _taken(folder: Path) -> int:
    """Return how many steps were taken for a run folder, by all processes together."""
    return _steps(folder).stat().st_size if _steps(folder).exists() else 0


def _wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def test_a_run_that_is_told_to_stop_at_random_moments_ends_in_the_same_bits(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    steps = 25 * (2 + KILLS)
    data = [word for split in ("train", "dev") for word in (f"--{split}", str(tone_corpus[split]))]
    arguments = ["train", *data, *MODEL.split(), *TRAINER.split(), "--trainer.steps", str(steps)]
    whole = tmp_path / "whole"
    child = in_child(_train, whole, arguments)
    child.join()
    assert child.exitcode == 0, (tmp_path / "whole.log").read_text(encoding="utf-8")
    chance, folder = random.Random(KILLS), tmp_path / "cut"
    statuses: list[int] = []
    reached = [0]
    while len(statuses) < KILLS:
        order = chance.choice(list(ORDERS))
        child = in_child(_train, folder, [*arguments, "--resume"])
        # By progress, for clocks differ between machines: from before the first step to behind the next validation.
        goal = _taken(folder) + chance.randint(0, 40)
        while child.is_alive() and (_taken(folder) < goal or not (folder / "run.lock").exists()):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(child.pid or 0, order)
        child.join()
        if child.exitcode == 0:  # on a machine that left this process waiting
            break
        assert child.exitcode == ORDERS[order], (tmp_path / "cut.log").read_text(encoding="utf-8")
        assert not (folder / "run.lock").exists()
        statuses.append(child.exitcode)
        kept = [int(path.name.rpartition("-")[0].rpartition("-")[2]) for path in folder.glob("checkpoints/CKPT*")]
        reached.append(max(kept, default=0))
    child = in_child(_train, folder, [*arguments, "--resume"])
    child.join()
    assert child.exitcode == 0 and statuses
    print(f"stopped with {statuses} at the steps {reached[1:]} of {steps}")
    assert reached == sorted(reached) and _taken(folder) == steps, "no step is lost and none taken twice"
    one, other = (out / "model" / "model.safetensors" for out in (whole, folder))
    assert one.read_bytes() == other.read_bytes()
    assert read_record(whole)["history"] == read_record(folder)["history"]


def _trainer(folder: Path | None) -> Trainer:
    return Trainer(
        small_model(1, dropout=0.3),
        [speech_task()],
        config=settings(steps=20, optimizer="adamw", validate_every=6, accumulate=2),
        validation=[speech_task(ToySpeech(12, seed=3), budget=60)],
        folder=folder,
    )


@pytest.fixture(scope="module")
def undisturbed() -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Return weights and history of a training that nothing happened to."""
    trainer = _trainer(None)
    history = trainer.train().history
    return snapshot(trainer.model), history


@pytest.mark.parametrize("number", [1, 2, 7, 12])
@pytest.mark.parametrize("hook", ["fit_batch", "evaluate_batch", "on_stage_start", "on_stage_end"])
def test_wherever_the_signal_comes_nothing_is_lost_and_nothing_done_twice(
    hook: str, number: int, tmp_path: Path, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = getattr(Trainer, hook), 0

    def signalled(self: Trainer, *arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(Trainer, hook, signalled)
    stopped = _trainer(tmp_path)
    with contextlib.suppress(Stopped), heeding():
        stopped.train()
    monkeypatch.undo()
    if calls >= number:
        assert stopped.optimizer_step < 20 or hook != "fit_batch"
        (kept,) = (tmp_path / "checkpoints").iterdir()
        assert f"step-{stopped.optimizer_step:08d}" in kept.name, "the step that was under way is kept"
    resumed = _trainer(tmp_path)
    assert resumed.train().history == undisturbed[1]
    assert not different(snapshot(resumed.model), undisturbed[0])


def test_training_without_a_folder_stops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = _trainer(None)
    step = trainer.fit_batch

    def told(batch: Any) -> Any:
        os.kill(os.getpid(), signal.SIGUSR1)
        return step(batch)

    monkeypatch.setattr(trainer, "fit_batch", told)
    with pytest.raises(Stopped) as caught, heeding():
        trainer.train()
    assert (caught.value.status, caught.value.name, trainer.optimizer_step) == (138, "SIGUSR1", 1)


def test_a_second_ctrl_c_ends_at_once_and_a_second_sigterm_does_not() -> None:
    with heeding(), interruption.deferring():
        for order in (signal.SIGTERM, signal.SIGTERM, signal.SIGUSR1):
            os.kill(os.getpid(), order)
        assert interruption.requested() == signal.SIGTERM
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)
        with contextlib.suppress(Stopped):
            interruption.check()
        interruption._STATE.requested = 0


def test_outside_of_training_a_signal_stops_at_once_and_everything_is_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in interruption.SIGNALS]
    for order, status in ORDERS.items():
        with pytest.raises(Stopped) as caught, heeding():
            os.kill(os.getpid(), order)
        assert caught.value.status == status
    assert [signal.getsignal(number) for number in interruption.SIGNALS] == before
    assert interruption.requested() == 0


LSTM = """
import time, torch
from asr_transfer.interruption import deferring, heeding
torch.set_num_threads(1)
inputs, net = torch.randn(8, 400, 256), torch.nn.LSTM(256, 256, bidirectional=True, batch_first=True)
with heeding(), deferring():
    net(inputs)[0].sum().backward()
    print("ready", flush=True)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        net(inputs)[0].sum().backward()
"""
"""Learns by kernels that keep values below the end of the stack, while signals arrive."""


def test_signals_corrupt_no_memory_of_what_is_computed() -> None:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"}
    process = subprocess.Popen(
        [sys.executable, "-c", LSTM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=own
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for _ in range(300):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1 and told.rstrip().endswith("Stopped: 15"), told


def test_signals_that_are_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heeding():
            os.kill(os.getpid(), signal.SIGINT)
            assert interruption.requested() == 0
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("command", ["train", "compare", "adapt"])
def test_only_what_can_go_on_is_told_to_resume(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(parsed: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    stopping = replace(cli.load_command(command), run=stop)
    monkeypatch.setattr(cli, "load_command", lambda name: stopping)
    given = {"train": "--train x --out y", "adapt": "--model x --data y --out z", "compare": "x --out y"}
    assert cli.main([command, *given[command].split()]) == 143
    told = capsys.readouterr().err
    assert told.startswith("asr-transfer: stopped by SIGTERM") and told.count("\n") == 1
    assert ("--resume goes on" in told) == (command != "compare")


def test_the_help_documents_the_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "130, 143 or 138 stopped by Ctrl-C, SIGTERM or SIGUSR1" in told


def train_long(folder: str) -> str:
    """Train for longer than anybody waits."""
    config = settings(steps=1_000_000, validate_every=0)
    Trainer(small_model(), [speech_task()], config=config, folder=Path(folder)).train()
    return folder


def _parent(folder: str, jobs: int) -> None:
    try:
        with heeding():
            list(run_all(train_long, [f"{folder}/{number}" for number in range(jobs)], 2, "trainings"))
    except Stopped as stop:
        sys.exit(stop.status)


@pytest.mark.parametrize("everybody", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_workers_write_their_checkpoints_before_the_parent_ends(everybody: bool, tmp_path: Path) -> None:
    parent = in_child(_parent, str(tmp_path), 3)
    _wait_for(lambda: all((tmp_path / name / "checkpoints").is_dir() for name in "01"))
    time.sleep(0.2)
    workers = _children(parent.pid or 0)
    order = signal.SIGINT if everybody else signal.SIGTERM
    for pid in [*(workers if everybody else []), parent.pid or 0]:  # a terminal tells all of them
        os.kill(pid, order)
    parent.join(60)
    assert parent.exitcode == ORDERS[order]
    for name in "01":
        assert len(list((tmp_path / name / "checkpoints").glob("CKPT*"))) == 1
    assert not (tmp_path / "2").exists(), "what had not begun does not begin"
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)


def _children(pid: int) -> list[int]:
    """Return the worker processes of a process; its resource tracker is none."""
    found = []
    for number in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split():
        if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes():
            found.append(int(number))
    return found


def _one_of_two_is_told(folder: Path, checkpointed: bool) -> None:
    rank = int(os.environ["RANK"])
    trainer = _trainer(folder / "run" if checkpointed else None)
    step = trainer.fit_batch

    def told(batch: Any) -> Any:
        if rank == 1 and trainer.optimizer_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(batch)

    trainer.fit_batch = told  # type: ignore[method-assign]
    try:
        with heeding():
            trainer.train()
    except Stopped as stop:
        torch.save({"status": stop.status, "step": trainer.optimizer_step}, folder / f"{rank}.pt")


def test_processes_that_train_together_stop_behind_the_same_step(tmp_path: Path) -> None:
    assert _two(_one_of_two_is_told, tmp_path, True) == [{"status": 143, "step": 4}] * 2
    (kept,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert "step-00000004" in kept.name


def test_choosing_among_methods_ends_cleanly(
    tone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(tmp_path / "kim.jsonl", make_speaker(tmp_path, "kim", 1.1, 8, 5))
    step = Trainer.fit_batch

    def told(self: Trainer, batch: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "fit_batch", told)
    out = tmp_path / "out"
    assert (
        cli.main(["adapt", "--model", str(tone_run), "--data", str(tmp_path / "kim.jsonl"), "--out", str(out)]) == 143
    )
    assert "stopped by SIGTERM; --resume goes on" in capsys.readouterr().err
    assert read_record(out)["status"] == "running"
    assert {path.name for path in out.iterdir()} <= {"run.json", "log.txt", "precision.json"}, "nothing half-written"


def test_a_program_that_is_being_loaded_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loading = "import asr_transfer.cli, os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport torch"
    done = subprocess.run([sys.executable, "-c", loading], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT and done.stderr == "stopped by SIGINT\n"

    def building(names: Sequence[str]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(cli, "build_parser", building)
    assert cli.main(["show", "x"]) == 143 and capsys.readouterr().err == "asr-transfer: stopped by SIGTERM\n"


RECIPE = """
import sys, time
from dataclasses import dataclass
from asr_transfer.cli import script
from asr_transfer.runs.workers import run_all

@dataclass(frozen=True)
class Settings:
    \"\"\"Settings.\"\"\"

def run(settings):
    import ray
    wait = ray.wait
    ray.wait = lambda *given, **more: (print("begun", flush=True), wait(*given, **more))[1]
    list(run_all(time.sleep, [90, 90], 2, "naps", "ray"))

sys.exit(script(Settings, run, []))
"""


@pytest.mark.slow
@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGUSR1])
def test_on_ray_the_status_is_that_of_the_signal_too(order: signal.Signals) -> None:
    pytest.importorskip("ray")
    with subprocess.Popen(
        [sys.executable, "-c", RECIPE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        time.sleep(0.5)
        process.send_signal(order)
        _, told = process.communicate(timeout=60)
    assert process.returncode == ORDERS[order] and told.endswith(f": stopped by {order.name}\n")
