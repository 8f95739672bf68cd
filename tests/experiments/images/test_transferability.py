"""The transferability curve: what each system is made of, and how its errors become figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr_transfer.config import ImageConfig, ImageTrainerConfig
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.images import transferability as experiment
from asr_transfer.experiments.images.classifiers import images_of, of_classes
from asr_transfer.experiments.images.transferability import (
    BASE,
    FIRST,
    LAST,
    LONG,
    RANDOM,
    SETTLED,
    TransferabilityConfig,
    divide,
    run_transferability,
)
from asr_transfer.experiments.images.transferability_rows import (
    Finding,
    curve_plot,
    findings_of,
    rows_of,
    sides_of,
    sides_plot,
    speech_records,
    transferability_tables,
)
from asr_transfer.models.image import ImageModel
from asr_transfer.transfer.plan import Copy, Freeze
from tests.experiments.images.shapes import MAN_MADE, NATURAL, SIZE, write_shapes

MODEL = ImageConfig(channels=(4, 5, 6), size=SIZE, halve=(0,))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TransferabilityConfig:
    """Return a small experiment on made-up images."""
    return TransferabilityConfig(
        images=write_shapes(tmp_path_factory.mktemp("shapes")),
        natural=NATURAL,
        man_made=MAN_MADE,
        count=12,
        tested=10,
        model=MODEL,
        trainer=ImageTrainerConfig(steps=3, batch_budget=16, device="cpu"),
        seeds=(3,),
    )


def test_classes_are_drawn_by_kind_and_none_is_on_both_sides(config: TransferabilityConfig) -> None:
    for seed in range(5):
        a, b = divide(config, "alike", seed)
        assert not set(a) & set(b) and len(a) == len(b) == 4
        assert [sum(name in MAN_MADE for name in side) for side in (a, b)] == [2, 2]
        a, b = divide(config, "kinds", seed)
        assert set(a) < set(NATURAL) and set(b) == set(MAN_MADE) and len(a) == 4
    assert divide(config, "alike", 0) != divide(config, "alike", 1)
    few = TransferabilityConfig(natural=("a", "b", "c"))
    with pytest.raises(ConfigError, match="at least four classes each"):
        divide(few, "alike", 0)


def test_images_of_a_class_are_each_taken_once_and_labelled_by_place(config: TransferabilityConfig) -> None:
    assert config.images is not None
    images = images_of(config.images, "train")
    first, rest = of_classes(images, [7, 2], 30, seed=1), of_classes(images, [7, 2], 10, seed=1, skip=30)
    assert first.targets.tolist() == [0] * 30 + [1] * 30
    kept = {tuple(one.flatten().tolist()) for one in (*first.inputs, *rest.inputs)}
    assert len(kept) == 80
    with pytest.raises(ConfigError, match="41 images of each class are asked for, but the class '7' has 40"):
        of_classes(images, [7], 11, skip=30)


def test_every_system_is_what_its_name_says(config: TransferabilityConfig, tmp_path: Path, monkeypatch: Any) -> None:
    seen: list[tuple[str, int, tuple[Any, ...]]] = []
    fit = experiment.fit

    def noted(model: ImageModel, data: Any, head: str, settings: Any, *actions: Any) -> None:
        before = {name: own.clone() for name, own in model.state_dict().items()}
        fit(model, data, head, settings, *actions)
        for action in actions:
            if isinstance(action, Freeze):
                source = next((own.source for own in actions if isinstance(own, Copy)), before)
                state = source.state_dict() if isinstance(source, torch.nn.Module) else source
                for path in action.selector.split(" | "):
                    for name, own in model.get_submodule(path).state_dict().items():
                        assert torch.equal(own, state[f"{path}.{name}"]), "what is frozen has moved"
        seen.append((head, settings.steps, tuple(type(action).__name__ for action in actions)))

    monkeypatch.setattr(experiment, "fit", noted)
    found, stages = run_transferability(config, tmp_path, 1)
    assert not stages, "no published network is asked for"
    errors = found["alike", 3]["errors"]
    depths = range(1, 4)
    curves = [f"{name} {depth}" for depth in depths for name in ("AnB", "AnB+", "BnB", "BnB+", RANDOM, SETTLED)]
    assert sorted(errors) == sorted([BASE, LONG, *curves, f"{FIRST} 0", f"{LAST} 0"])
    alike = ["AnB 1", "AnB 2", "AnB 3", "AnB+ 3"]
    assert sorted(found["kinds", 3]["errors"]) == sorted([BASE, LONG, *alike, f"{FIRST} 0", f"{LAST} 0"])
    assert seen[:3] == [("a", 3, ()), ("b", 3, ()), ("b", 6, ())]
    assert seen[3][2] == ("Copy", "Freeze") and seen[4][2] == ("Copy",) and found["alike", 3]["tested"] == 40
    calls = len(seen)
    assert run_transferability(config, tmp_path, 1) == (found, []) and len(seen) == calls, "what is finished is read"


def test_held_out_images_are_none_that_were_trained_on(config: TransferabilityConfig) -> None:
    job = experiment.TransferLayers("kinds", 0, replace(config, judged="held"))
    trainings = experiment._Trainings(job, lambda line: None)
    trained, judged = (
        {tuple(one.flatten().tolist()) for one in data.inputs} for data in (trainings.b, trainings.judged)
    )
    assert len(judged) == 40 and not trained & judged


def _found(shift: int = 0) -> dict[Any, dict[str, Any]]:
    """Return scores of four seeds in which AnB falls by 4 and 9 of 40, alike and not."""
    found: dict[Any, dict[str, Any]] = {}
    for split, fall in (("alike", 4), ("kinds", 9)):
        for seed in range(4):
            base = 8 + seed % 2 + shift
            errors = {BASE: base, LONG: base - 1, "AnB 1": base + 1 + seed % 2, "AnB 2": base + fall + seed % 2}
            errors |= {
                "AnB+ 1": base - 2,
                "AnB+ 2": base - 3 - seed % 2,
                f"{RANDOM} 2": base + 15,
                f"{SETTLED} 2": base + 10,
            }
            found[split, seed] = {
                "errors": {**errors, f"{FIRST} 0": base + 6 - seed % 2, f"{LAST} 0": base},
                "tested": 40,
            }
    return found


def test_errors_become_accuracies_falls_and_intervals() -> None:
    found = _found()
    rows = {(row.split, row.system, row.depth): row for row in rows_of(found)}
    assert rows["alike", BASE, 0].accuracy == pytest.approx(1 - 8.5 / 40) and rows["alike", BASE, 0].gain == 0
    own = rows["kinds", "AnB", 2]
    assert own.gain == pytest.approx(-9.5 / 40) and own.gain_high is not None and own.gain_high < 0
    assert own.low is not None and own.high is not None and own.low < own.accuracy < own.high


def test_findings_answer_what_was_asked() -> None:
    found = _found()
    findings = {one.question: one for one in findings_of(found)}
    fall = findings["AnB 2: fall below the base, kinds more than alike"]
    assert fall.value == pytest.approx(5 / 40) and fall.over == "4 seeds"
    assert findings["AnB, mean over depths: fall below the base, kinds more than alike"].value == pytest.approx(
        2.5 / 40
    )
    assert findings["alike: AnB+ 2 above the base trained as long"].value == pytest.approx(2.5 / 40)
    assert findings[f"alike: base above {RANDOM} 2"].value == pytest.approx(15 / 40)
    share = findings["AnB 2: share of the base's accuracy above chance that is lost, kinds more than alike"]
    assert share.value == pytest.approx(5 / (30 - 8.5))
    curves, kinds, answers = transferability_tables(rows_of(found), findings_of(found))
    assert curves.rows[0][0] == BASE and curves.rows[3][:3] == ("AnB", "2", "67.5") and kinds.rows
    assert answers.rows[1][1] == "+37.5" and "kinds" in curve_plot(rows_of(found)).svg()


def test_images_stand_beside_speech_of_records(tmp_path: Path) -> None:
    people = {name: [9, 5, 50] for name in ("ann", "bob", "cat", "dan")}
    others = {name: [9, 7 + place, 50] for place, name in enumerate(people)}
    rows = [
        {"method": "first-layers", "amount": 5, "wer": 0.1, "speakers": 4, "by_speaker": people},
        {"method": "last-layers", "amount": 5, "wer": 0.17, "speakers": 4, "by_speaker": others},
        {"method": "first-layers", "amount": 9, "wer": 0.2, "speakers": 4},
        {"method": "last-layers", "amount": 9, "wer": 0.15, "speakers": 4},
    ]
    for name, own in (("kept", rows), ("none", [])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"scores": {"rows": own}}))
    records = speech_records([tmp_path / "kept.json"])
    alike, kinds, few, many = sides_of(_found(), records)
    assert alike.value == pytest.approx(5.5 / 40) and alike.low is not None and alike.low > 0
    assert few.value == pytest.approx((20 - 34) / 200) and few.over == "4 speakers" and few.high is not None
    assert many.value == pytest.approx(0.05) and many.low is None and "not kept apart" in many.over
    assert "speech, kept, 9 utterances" in sides_plot([alike, kinds, few, many]).svg()
    with pytest.raises(DataError, match="none: holds no method"):
        sides_of(_found(), speech_records([tmp_path / "none.json"]))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match=r"bad\.json: is not JSON"):
        speech_records([tmp_path / "bad.json"])
    assert isinstance(alike, Finding) and np.isfinite(kinds.value)
