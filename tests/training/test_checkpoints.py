"""A run that is killed, starved of disk or resumed ends in the same bits; damage is refused by name."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr_transfer.errors import ModelError, TrainingError
from asr_transfer.training import checkpoints
from asr_transfer.training.checkpoints import AtomicCheckpointer
from asr_transfer.training.trainer import Result, Trainer
from asr_transfer.transfer.distillation import Distillation
from tests.small import ToySpeech, different, in_child, kill_self, settings, small_model, snapshot, speech_task

STEPS = 40


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing guards against power cuts, not kills, and takes most of these tests' time."""
    monkeypatch.setattr(checkpoints.os, "fsync", lambda descriptor: None)


def _trainer(folder: Path | None, layers: int = 2, validated: bool = True, **changes: Any) -> Trainer:
    options: dict[str, Any] = {
        "steps": STEPS,
        "optimizer": "adamw",
        "learning_rate": 0.02,
        "schedule": "cosine",
        "warmup": 0.1,
        "max_gradient_norm": 1.0,
        "validate_every": 6,
        "patience": 4,
        "checkpoint_every": 2,
        "accumulate": 2,
    }
    return Trainer(
        small_model(1, layers=layers, dropout=0.3),
        [speech_task(weight=0.7)],
        [(0.3, Distillation(None, "speaker"))],
        config=settings(**{**options, **changes}),
        validation=[speech_task(ToySpeech(5, seed=3))] if validated else [],
        folder=folder,
    )


def _train(folder: Path) -> None:
    """Train in `folder` and leave the final weights and history there, as a child process that may die at any time."""
    trainer = _trainer(folder)
    trainer.on_fit_start()
    with (folder / "starts").open("a") as file:
        file.write(f"{trainer.optimizer_step}\n")
    trainer = _trainer(folder)
    result = trainer.train()
    torch.save({"weights": snapshot(trainer.model), "history": result.history, "cost": result.cost}, folder / "end.tmp")
    os.replace(folder / "end.tmp", folder / "end")


@pytest.fixture(scope="module")
def undisturbed() -> tuple[dict[str, torch.Tensor], Result]:
    """Return the weights and the result of a run that nothing happened to (and that wrote nothing)."""
    trainer = _trainer(None)
    result = trainer.train()
    return snapshot(trainer.model), result


def _starts(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "starts").read_text().split()] if (folder / "starts").exists() else []


def _assert_same(folder: Path, undisturbed: tuple[dict[str, torch.Tensor], Result]) -> None:
    weights, result = undisturbed
    end = torch.load(folder / "end", weights_only=True)
    assert not different(end["weights"], weights)
    assert end["history"] == result.history
    assert end["cost"] == result.cost


def _checkpoints_written(folder: Path) -> int:
    return max((int(p.name.rpartition("-")[2]) for p in folder.glob("checkpoints/CKPT+*")), default=0)


def test_a_run_killed_at_random_moments_ends_in_the_same_bits(tmp_path: Path, undisturbed: Any) -> None:
    random = np.random.default_rng(0)
    kills = 0
    while kills < 4:
        # At a random moment after a few more checkpoints: by progress, for clocks differ between machines.
        goal = _checkpoints_written(tmp_path) + random.integers(1, 5)
        child = in_child(_train, tmp_path)
        while child.is_alive() and _checkpoints_written(tmp_path) < goal:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.03))
        if not child.is_alive():  # on a machine that left this process waiting
            break
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        kills += 1
    assert kills
    child = in_child(_train, tmp_path)
    child.join()
    assert child.exitcode == 0
    assert _starts(tmp_path) == sorted(_starts(tmp_path))
    assert _starts(tmp_path)[-1] > 0
    assert len(undisturbed[1].history) > 3
    _assert_same(tmp_path, undisturbed)


_MOMENTS = [
    "before the checkpoint",
    "while it is written",
    "before the rename",
    "after the rename",
    "after the clean-up",
]


def _die_at(moment: str, number: int, folder: Path) -> None:
    """Train, and be killed at `moment` of the `number`-th checkpoint."""
    count = 0

    def dying(*, now: bool) -> None:
        if now and count == number:
            kill_self()

    save, write = AtomicCheckpointer.save, AtomicCheckpointer.save_checkpoint
    replace, rmtree = os.replace, shutil.rmtree

    def new_save(self: AtomicCheckpointer, step: int) -> None:
        nonlocal count
        count += 1
        dying(now=moment == "before the checkpoint")
        save(self, step)
        dying(now=moment == "after the clean-up")

    def new_write(self: AtomicCheckpointer, **options: Any) -> Any:
        if moment == "while it is written":
            self.add_recoverable("last", object(), lambda *a: None, lambda *a: dying(now=True))
        return write(self, **options)

    def new_replace(source: Any, target: Any) -> None:
        dying(now=moment == "before the rename" and "CKPT" in str(source))
        replace(source, target)
        dying(now=moment == "after the rename" and "CKPT" in str(source))

    def new_rmtree(path: Any, **options: Any) -> None:
        if moment == "amid the clean-up" and "CKPT" in str(path) and ".partial" not in str(path) and count == number:
            next(iter(Path(path).glob("*.ckpt"))).unlink()
            kill_self()
        rmtree(path, **options)

    AtomicCheckpointer.save, AtomicCheckpointer.save_checkpoint = new_save, new_write  # type: ignore[method-assign]
    os.replace = new_replace  # type: ignore[assignment]
    shutil.rmtree = new_rmtree  # type: ignore[assignment]
    _train(folder)


# The checkpoint at a round's end is written twice for the same step: 3 and 4 are those of step 6.
@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize("moment", [*_MOMENTS, "amid the clean-up"])
def test_a_kill_at_the_worst_moments_of_a_checkpoint_loses_nothing(
    moment: str, number: int, tmp_path: Path, undisturbed: Any
) -> None:
    if moment == "amid the clean-up" and number == 1:
        number = 2
    child = in_child(_die_at, moment, number, tmp_path)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    trainer = _trainer(tmp_path)
    result = trainer.train()
    assert not different(snapshot(trainer.model), undisturbed[0])
    assert result.history == undisturbed[1].history
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_resuming_starts_from_the_last_checkpoint_and_a_finished_run_is_left_alone(
    tmp_path: Path, undisturbed: Any
) -> None:
    child = in_child(_die_at, "after the clean-up", 4, tmp_path)
    child.join()
    for start in (6, undisturbed[1].steps):
        child = in_child(_train, tmp_path)
        child.join()
        assert child.exitcode == 0
        assert _starts(tmp_path)[-1] == start
        _assert_same(tmp_path, undisturbed)


@pytest.mark.parametrize("last", [3, 4, 7])
def test_a_run_without_validation_resumes_in_the_same_bits(tmp_path: Path, monkeypatch: Any, last: int) -> None:
    undisturbed = _trainer(None, patience=0, validated=False)
    history = undisturbed.train().history
    save, count = AtomicCheckpointer.save, iter(range(1, 100))

    def interrupted(self: AtomicCheckpointer, step: int) -> None:
        save(self, step)
        if next(count) == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(AtomicCheckpointer, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _trainer(tmp_path, patience=0, validated=False).train()
    resumed = _trainer(tmp_path, patience=0, validated=False)
    assert resumed.train().history == history
    assert len(history) == 7
    assert not different(snapshot(resumed.model), snapshot(undisturbed.model))


def test_a_clock_set_back_does_not_bring_an_old_checkpoint_back(tmp_path: Path, monkeypatch: Any) -> None:
    moments = iter(range(10_000_000, 0, -1))
    monkeypatch.setattr("speechbrain.utils.checkpoints.time.time", lambda: float(next(moments)))
    # As where each save was killed before it could delete the checkpoint before it.
    remove = shutil.rmtree

    def all_but_checkpoints(folder: Path, ignore_errors: bool = False) -> None:
        if not folder.name.startswith("CKPT+"):
            remove(folder, ignore_errors)

    monkeypatch.setattr("asr_transfer.training.checkpoints.shutil.rmtree", all_but_checkpoints)
    trainer = _trainer(tmp_path, patience=0)
    trainer.train()
    again = _trainer(tmp_path, patience=0)
    again.on_fit_start()
    assert again.optimizer_step == trainer.optimizer_step == STEPS
    assert len(list((tmp_path / "checkpoints").glob("CKPT+*"))) > 1, "there must be older ones to mistake for it"


def _with_little_disk(folder: Path, limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    trainer = _trainer(folder)
    save = trainer.checkpointer.save

    def starving(step: int) -> None:
        if step >= 8:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        save(step)

    trainer.checkpointer.save = starving
    try:
        trainer.train()
    except TrainingError as error:
        (folder / "message").write_text(str(error)[: limit - 1])
        os._exit(7)


@pytest.mark.parametrize("limit", [1000, 4000])
def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path, limit: int, undisturbed: Any) -> None:
    child = in_child(_with_little_disk, tmp_path, limit)
    child.join()
    assert child.exitcode == 7
    message = (tmp_path / "message").read_text()
    assert str(tmp_path / "checkpoints") in message
    assert "step 8 cannot be written" in message
    kept = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert len(kept) == 1 and "step-00000006" in kept[0]
    trainer = _trainer(tmp_path)
    result = trainer.train()
    assert not different(snapshot(trainer.model), undisturbed[0])
    assert result.history == undisturbed[1].history


@pytest.mark.parametrize("name", ["model.ckpt", "optimizer.ckpt", "progress.ckpt", "brain.ckpt"])
def test_a_truncated_checkpoint_is_refused_by_name(tmp_path: Path, name: str) -> None:
    _trainer(tmp_path, steps=4).train()
    (file,) = (tmp_path / "checkpoints").glob(f"*/{name}")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ModelError, match="damaged or of another architecture") as caught:
        _trainer(tmp_path, steps=4).train()
    assert str(file.parent) in str(caught.value)


def test_a_checkpoint_of_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    _trainer(tmp_path, steps=4).train()
    with pytest.raises(ModelError, match="another architecture") as caught:
        _trainer(tmp_path, steps=4, layers=3).train()
    assert str(tmp_path / "checkpoints") in str(caught.value)


def test_the_checkpointer_flushes_before_it_renames(tmp_path: Path, monkeypatch: Any) -> None:
    order: list[str] = []
    replace = os.replace
    monkeypatch.setattr(checkpoints.os, "fsync", lambda descriptor: order.append("flush"))
    monkeypatch.setattr(checkpoints.os, "replace", lambda a, b: (order.append("rename"), replace(a, b)))
    _trainer(tmp_path, steps=2).train()
    assert order[:6] == ["flush"] * 5 + ["rename"]
