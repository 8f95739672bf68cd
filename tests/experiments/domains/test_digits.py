"""Ways to adapt to a domain without labels run from one experiment, on made-up digits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.config import ImageConfig, ImageTrainerConfig
from asr_transfer.data.augmentation import dimmed, flipped, shifted, shifted_and_dimmed
from asr_transfer.data.images import Images
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.classes import read_predictions
from asr_transfer.experiments.domains import digits as experiment
from asr_transfer.experiments.domains.digits import AdaptDomain, DomainConfig, domain_table, run_domains
from asr_transfer.experiments.domains.methods import METHODS
from asr_transfer.experiments.images import sets

CONFIG = DomainConfig(
    images=40,
    test_images=20,
    probe_images=8,
    model=ImageConfig(channels=(4,), inputs=3, size=8, halving="pool", halve=(0,), dense=(6,)),
    trainer=ImageTrainerConfig(steps=2, batch_budget=8, device="cpu"),
    seeds=(0, 1, 2, 3),
)

IMAGES = tuple(name for name, method in METHODS.items() if not method.listening)


def _made_up(name: str, split: str) -> Images:
    """Return 60 images of ten classes, a bright row for each; the target's are dimmer and noisy."""
    generator = torch.Generator().manual_seed(["mnist", "mnist-m"].index(name) + 10 * (split == "test"))
    labels = torch.arange(120) % 10
    pixels = torch.randint(0, 60, (120, 3, 8, 8), generator=generator)
    pixels[torch.arange(120), :, labels % 8, :] += 190 if name == "mnist" else 120
    return Images(pixels.to(torch.uint8), labels, tuple("abcdefghij"))


@pytest.fixture(autouse=True)
def _sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "digits", _made_up)


def test_every_way_trains_predicts_and_is_compared(tmp_path: Path) -> None:
    config = replace(CONFIG, seeds=(0, 1), methods=IMAGES).settled()
    rows = run_domains(config, tmp_path, 1)
    assert [row.method for row in rows] == list(IMAGES)
    assert all(0 <= row.error.value <= 1 and row.cpu_seconds >= 0 for row in rows)
    base, bound = rows[0], rows[-1]
    assert (base.change.value, base.worse) == (0, 0) and base.error.value != bound.error.value and bound.gap == 1
    record = json.loads((tmp_path / "points" / "dann-0" / "run.json").read_text())
    assert record["data"]["target"]["items"] == 20 and record["data"]["target"]["classes"] == 10
    predictions = read_predictions(tmp_path / "points" / "dann-0" / "predictions.jsonl")
    wrong = sum(one.wrong for one in predictions) / len(predictions)
    assert record["scores"]["error"] == pytest.approx(wrong) and predictions[0].domain == "mnist-m"
    assert len(domain_table(rows, config).rows) == len(IMAGES)


def test_a_quick_form_always_has_the_way_that_all_are_compared_with() -> None:
    config = replace(CONFIG, methods=("dann",), quick=True).settled()
    assert config.methods == ("source-only", "dann") and config.trainer.steps == 5 and len(config.seeds) == 2


def test_neither_side_is_trained_on_the_others_digits_or_on_those_that_are_judged() -> None:
    def seen(images: Images) -> set[bytes]:
        return {one.numpy().tobytes() for one in images.pixels}

    job = AdaptDomain("dann", 0, replace(CONFIG, held_out=True))
    every = sets.draw(_made_up("mnist", "train"), 120, 0)
    places = {one.numpy().tobytes(): place for place, one in enumerate(every.pixels)}
    assert {places[one] for one in seen(job._train("source"))} == set(range(40))
    assert {places[one] for one in seen(job._test("source"))} == set(range(80, 100))
    target = sets.draw(_made_up("mnist-m", "train"), 120, 0)
    places = {one.numpy().tobytes(): place for place, one in enumerate(target.pixels)}
    assert {places[one] for one in seen(job._train("target"))} == set(range(40, 80))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="`methods` has 'dan', which is not known. Did you mean 'dann'"):
        replace(CONFIG, methods=("dan",))
    with pytest.raises(ConfigError, match="`methods` has 'listening', which is for speech; leave it out"):
        replace(CONFIG, methods=("listening",))
    with pytest.raises(ConfigError, match="are both 'mnist'; take two sets"):
        replace(CONFIG, target="mnist")


def test_augmentations_move_dim_and_mirror_and_leave_the_rest() -> None:
    images = torch.rand(64, 3, 6, 5, generator=torch.Generator().manual_seed(0))

    def made(augment: object, seed: int) -> torch.Tensor:
        return augment(images, torch.Generator().manual_seed(seed))  # type: ignore[operator, no-any-return]

    for augment in (shifted, dimmed, flipped, shifted_and_dimmed):
        assert torch.equal(made(augment, 3), made(augment, 3)) and not torch.equal(made(augment, 3), made(augment, 4))
    # Each moved image is a window of the same image with its edges repeated.
    padded = torch.nn.functional.pad(images, (2,) * 4, mode="replicate")
    for before, after in zip(padded, made(shifted, 1), strict=True):
        windows = [before[:, top : top + 6, left : left + 5] for top in range(5) for left in range(5)]
        assert any(torch.equal(after, window) for window in windows)
    contrast = made(dimmed, 1)
    torch.testing.assert_close(contrast.mean((2, 3)), images.mean((2, 3)))
    ratio = contrast.std((2, 3)) / images.std((2, 3))
    assert ratio.min() > 0.59 and ratio.max() < 1.41 and ratio.std() > 0.1
    turned = made(flipped, 1)
    same = (turned == images).flatten(1).all(1)
    assert 16 < same.sum() < 48 and torch.equal(turned[~same], images[~same].flip(-1))
