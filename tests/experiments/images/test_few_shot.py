"""Few-shot ways run from one experiment, on made-up images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.config import ImageConfig, ImageTrainerConfig
from asr_transfer.data.images import Images
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.images import few_shot
from asr_transfer.experiments.images.few_shot import (
    BASE,
    FewShotConfig,
    few_shot_table,
    linear_svm,
    nearest,
    run_few_shot,
)

CONFIG = FewShotConfig(
    ways=3,
    shots=(1, 2),
    queries=2,
    size=8,
    model=ImageConfig(channels=(4,), size=8, dense=(6,)),
    dim=4,
    trainer=ImageTrainerConfig(steps=2, batch_budget=20, device="cpu"),
    episodes=4,
    seeds=(0, 1),
)


def _made_up(split: str, size: int = 8, drawings: int = 1) -> Images:
    """Return six images of each of five classes, a bright row for each class of a split."""
    labels = torch.arange(30) % 5
    pixels = torch.randint(0, 60, (30, 1, size, size), generator=torch.Generator().manual_seed(len(split)))
    pixels[torch.arange(30), 0, labels + (3 if split == "test" else 0)] += 150
    return Images(pixels.to(torch.uint8), labels, tuple("abcde"))


@pytest.fixture(autouse=True)
def _characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_shot, "font_characters", _made_up)


def test_every_way_is_judged_on_the_same_episodes(tmp_path: Path) -> None:
    rows = run_few_shot(CONFIG, tmp_path, 1)
    ways = ["prototypical net", "prototypical net's vectors, 1-NN", "prototypical net's vectors, linear SVM"]
    ways = [BASE, "pixels, 1-NN", *ways, "matching net", "relation net"]
    assert [(row.way, row.shots) for row in rows] == [(way, shots) for shots in (1, 2) for way in ways]
    base = [row for row in rows if row.way == BASE]
    # Rows of pixels tell all classes apart, so that the baseline is right.
    assert all(row.right.value == 1 and row.gain.value == 0 for row in base)
    assert all(row.gain.value == pytest.approx(row.right.value - 1) for row in rows)
    assert len(few_shot_table(rows, CONFIG).rows) == len(rows)
    # Of one example, the nearest neighbour and the prototype are the same rule.
    assert rows[2].right == rows[3].right


def test_baselines_find_what_is_far_apart() -> None:
    random = torch.Generator().manual_seed(0)
    places = 5 * torch.eye(3)
    examples = places[None, :, None] + 0.1 * torch.randn(2, 3, 2, 3, generator=random)
    queries = places.repeat(2, 1, 1) + 0.1 * torch.randn(2, 3, 3, generator=random)
    for way in (nearest, linear_svm):
        assert torch.equal(way(examples, queries).argmax(-1), torch.arange(3).expand(2, -1))
    assert torch.equal(linear_svm(examples[:, :2], queries[:, :2]).argmax(-1), torch.arange(2).expand(2, -1))


def test_features_are_computed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = []

    def vectors(model: object, data: object, budget: int) -> torch.Tensor:
        made.append(budget)
        return torch.eye(30)[:, :8]

    monkeypatch.setattr(few_shot, "read_fetched", lambda name, split: _made_up(split))
    monkeypatch.setattr(few_shot, "fetched_efficientnet", lambda: None)
    monkeypatch.setattr(few_shot, "embed", vectors)
    (tmp_path / "points").mkdir()
    rows = run_few_shot(replace(CONFIG, images="cifar10", per_class=6), tmp_path, 1)
    assert len(made) == 1 and {row.way for row in rows} > {"features, prototypes", "features, linear SVM", BASE}


def test_more_ways_than_classes_and_unknown_nets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="6 ways need as many classes, but there are 5"):
        run_few_shot(replace(CONFIG, ways=6), tmp_path, 1)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="`nets` is 'matchin'. Did you mean 'matching'"):
        FewShotConfig(nets=("matchin",))  # type: ignore[arg-type]


def test_a_quick_form_takes_little() -> None:
    quick = replace(CONFIG, quick=True, seeds=(0, 1, 2)).settled()
    assert (quick.seeds, quick.episodes, quick.trainer.steps) == ((0, 1), 5, 3)


def test_the_interval_of_a_share_lies_on_both_sides_of_it(tmp_path: Path) -> None:
    rows = run_few_shot(replace(CONFIG, seeds=(0, 1, 2, 3), episodes=20, nets=("prototypical",)), tmp_path, 1)
    right = next(row.right for row in rows if 0.3 < row.right.value < 0.95)
    assert right.low is not None and right.high is not None
    assert right.low < right.value - 0.01 and right.high > right.value + 0.01
