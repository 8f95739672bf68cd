"""Sequences of tasks of images: old tasks keep every bit, and each figure is of the system that it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.config import ImageConfig, ImageTrainerConfig
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.images import progressive as experiment
from asr_transfer.experiments.images.progressive import (
    ALONE,
    PROGRESSIVE,
    RANDOM,
    TUNED,
    LearnSequence,
    ProgressiveConfig,
    checksum,
    progressive_plot,
    progressive_tables,
    rows_of,
    run_progressive,
    task_images,
)
from tests.experiments.images.shapes import SIZE, write_shapes

MODEL = ImageConfig(channels=(4, 5), size=SIZE, halve=(0,), dense=(7,))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ProgressiveConfig:
    """Return a small sequence of three made-up tasks."""
    folder = tmp_path_factory.mktemp("tasks")
    return ProgressiveConfig(
        tasks=tuple(str(write_shapes(folder / name, 20, seed)) for seed, name in enumerate(("one", "two", "three"))),
        first=12,
        labels=(3,),
        tested=6,
        model=MODEL,
        rank=3,
        trainer=ImageTrainerConfig(steps=3, batch_budget=24, device="cpu"),
        seeds=(0,),
    )


def test_old_tasks_keep_every_bit_and_fine_tuning_does_not(config: ProgressiveConfig, tmp_path: Path) -> None:
    found = run_progressive(config, tmp_path, 1)
    scores = found[3, 0]
    assert scores["unchanged"] == {"one behind two": True, "one behind three": True, "two behind three": True}
    assert {name.split(" | ")[0] for name in scores["errors"]} == {"first", ALONE, PROGRESSIVE, RANDOM, TUNED}
    rows = {(row.system, row.task, row.behind): row for row in rows_of(found, config.titles())}
    for old in (("one", "two"), ("one", "three"), ("two", "three")):
        assert rows[PROGRESSIVE, *old].gain == 0
    assert any(rows[TUNED, *old].gain for old in (("one", "two"), ("one", "three"), ("two", "three")))
    assert rows[ALONE, "two", "two"].gain == 0 and rows[PROGRESSIVE, "two", "two"].gain_low is None, "of one seed"
    new, kept = progressive_tables(list(rows.values()), [True, False])
    assert [row[0] for row in new.rows] == ["two"] * 4 + ["three"] * 4 and len(kept.rows) == 6
    assert "in 1 of 2 comparisons" in kept.note
    assert "fine-tuned, one behind two, 3" in progressive_plot(list(rows.values())).svg()
    logged = (tmp_path / "sequences/3-0/log.txt").read_text()
    assert "one behind two: 60 answers and the weights of its columns are the same bits" in logged


def test_a_changed_bit_is_noticed(config: ProgressiveConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = experiment.fit

    def spoil(model: torch.nn.Module, *rest: object) -> None:
        fit(model, *rest)  # type: ignore[arg-type]
        if isinstance(model, experiment.ProgressiveImageModel):
            with torch.no_grad():
                next(model.base.parameters()).view(-1)[0] += 1e-6

    monkeypatch.setattr(experiment, "fit", spoil)
    said: list[str] = []
    scores = experiment._Sequence(LearnSequence(3, 0, config), said.append).learn()
    assert not any(scores["unchanged"].values()) and any("CHANGED" in line for line in said)


def test_the_checksum_sees_statistics(config: ProgressiveConfig) -> None:
    sequence = experiment._Sequence(LearnSequence(3, 0, config), lambda line: None)
    model = sequence._new("x", 0)
    before = checksum(model)
    assert before == checksum(sequence._new("x", 0)) != checksum(sequence._new("x", 1))
    model(torch.rand(4, 1, SIZE, SIZE))
    assert checksum(model) != before


def test_tasks_are_of_the_networks_size_and_held_out_images_are_none_trained_on(config: ProgressiveConfig) -> None:
    held = replace(config, held=True)
    trained, judged = (
        {tuple(one.flatten().tolist()) for one in data.inputs} for data in task_images(held, config.tasks[0], 8, 1)
    )
    assert (len(trained), len(judged)) == (80, 60) and not trained & judged
    other = replace(config, model=replace(MODEL, size=28))
    with pytest.raises(ConfigError, match="are 1 × 8 × 8, but the network takes 1 × 28 × 28"):
        task_images(other, config.tasks[0], 2, 0)
