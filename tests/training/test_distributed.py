"""Several processes under torchrun share the work and end with the same model as each other."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asr_transfer.data.batching import ArrayData
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.distillation import Distillation
from tests.small import HeadOnly, ToySpeech, different, in_child, settings, small_model, snapshot, speech_task

if __name__ != "__main__" and sys.platform != "linux":
    pytest.skip("forked gloo processes need Linux", allow_module_level=True)


def _speech(folder: Path, checkpointed: bool) -> None:
    """Train with BatchNorm, dropout, a teacher and early stopping; every process begins with other weights."""
    rank = int(os.environ["RANK"])
    trainer = Trainer(
        small_model(seed=1 + rank, dropout=0.3),
        [speech_task(weight=0.7)],
        [(0.3, Distillation(None, "speaker"))],
        config=settings(
            steps=16,
            batch_budget=60,
            optimizer="adamw",
            validate_every=4,
            patience=2,
            checkpoint_every=3 * checkpointed,
        ),
        validation=[speech_task(ToySpeech(5, seed=3))],
        folder=folder / "run" if checkpointed else None,
    )
    result = trainer.train()
    torch.save(
        {"weights": snapshot(trainer.model), "history": result.history, "cost": result.cost}, folder / f"{rank}.pt"
    )


def _linear(folder: Path, checkpointed: bool) -> None:
    """Take full-batch steps on data where every process's half is as large as the other's."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, 4, generator=generator, dtype=torch.float64)
    data = ArrayData(inputs, (inputs[:, 0] > 0).long())
    world = int(os.environ.get("WORLD_SIZE", "1"))
    model = HeadOnly(4, 2, seed=1)
    task = Task("t", data, criterion=cross_entropy, head="main")
    Trainer(model, [task], config=settings(steps=4, batch_budget=16 // world, learning_rate=0.5)).train()
    torch.save({"weights": snapshot(model)}, folder / f"{os.environ.get('RANK', 'alone')}.pt")


def _rank(work: object, folder: Path, checkpointed: bool, rank: int, port: int) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    work(folder, checkpointed)  # type: ignore[operator]
    torch.distributed.destroy_process_group()


def _two(work: object, folder: Path, checkpointed: bool = False) -> list[dict[str, object]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [in_child(_rank, work, folder, checkpointed, rank, port) for rank in (0, 1)]
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_both_processes_end_with_the_same_model_statistics_and_history(tmp_path: Path, checkpointed: bool) -> None:
    first, second = _two(_speech, tmp_path, checkpointed)
    assert not different(first["weights"], second["weights"])  # type: ignore[arg-type]
    assert first["history"] == second["history"]
    if checkpointed:
        assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1
        again, other = _two(_speech, tmp_path, checkpointed)
        assert not different(again["weights"], first["weights"])  # type: ignore[arg-type]
        assert again["history"] == other["history"] == first["history"]


def test_two_processes_take_the_steps_of_one_with_twice_the_batch(tmp_path: Path) -> None:
    first, second = _two(_linear, tmp_path)
    _linear(tmp_path, False)
    alone = torch.load(tmp_path / "alone.pt", weights_only=True)["weights"]
    assert not different(first["weights"], second["weights"])  # type: ignore[arg-type]
    for name, tensor in alone.items():
        torch.testing.assert_close(first["weights"][name], tensor, rtol=1e-12, atol=1e-14)  # type: ignore[index]


@pytest.mark.slow
def test_torchrun_trains_without_any_change(tmp_path: Path) -> None:
    here = Path(__file__)
    paths = os.pathsep.join([str(here.parents[2]), os.environ.get("PYTHONPATH", "")])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    for _ in range(3):  # a port that torchrun found free may be taken before it listens there
        run = subprocess.run(
            [*torchrun, str(here), str(tmp_path)], timeout=300, capture_output=True, text=True, env=environment
        )
        if "address already in use" not in run.stderr.lower() and "EADDRINUSE" not in run.stderr:
            break
    assert run.returncode == 0, run.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert not different(first["weights"], second["weights"])
    assert first["history"] == second["history"]
    # A group that outlives its process aborts it once in a while: "terminate called without an active exception".
    assert [(tmp_path / f"{rank}.left").read_text() for rank in (0, 1)] == ["left", "left"]


def _leave_word(folder: Path) -> None:
    word = "still joined" if torch.distributed.is_initialized() else "left"
    (folder / f"{os.environ['RANK']}.left").write_text(word)


if __name__ == "__main__":
    atexit.register(_leave_word, Path(sys.argv[1]))  # registered first, called last
    _speech(Path(sys.argv[1]), False)
