"""Domain-adversarial training is what its paper says: gradients exactly, its limits step by step, and its purpose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.forward import run, run_together
from asr_transfer.training.objective import Objective, TrainedObjective
from asr_transfer.training.streams import Output, Stream, Task
from asr_transfer.training.trainer import Result, Trainer
from asr_transfer.transfer.adversarial import DomainAdversarial, a_distance, domain_features, ramp, reverse_gradient
from tests.small import (
    MELS,
    Recorder,
    ToySpeech,
    different,
    settings,
    small_model,
    snapshot,
    speech_task,
)

DOUBLE = torch.float64
LEVELS = pytest.mark.parametrize("level", ["utterance", "frames"])


class Shifted(ToySpeech):
    """Toy speech as another microphone hears it."""

    def __init__(self, by: float, items: int = 12, seed: int = 1, dtype: torch.dtype = DOUBLE) -> None:
        super().__init__(items, seed, dtype)
        direction = torch.linspace(-1, 1, MELS, dtype=dtype)
        self.blocks = [block + by * direction for block in self.blocks]


def _streams(by: float = 1.0) -> list[Stream]:
    return [
        speech_task(Shifted(0.0), name="source", augment=False),
        Stream("target", Shifted(by, seed=2), augment=False),
    ]


def _outputs(model: nn.Module, streams: list[Stream], tap: str = "encoder") -> dict[str, Output]:
    parts = {s.name: (s, s.data.collate([0, 1, 2 + n])) for n, s in enumerate(streams)}
    return run_together(model, parts, dict.fromkeys(parts, (tap,)))


def _plain(discriminator: nn.Module, outputs: Mapping[str, Output], level: str) -> torch.Tensor:
    """Return the mean over domains of the mean cross-entropy, without reversal and written out."""
    total = torch.zeros((), dtype=DOUBLE)
    for number, output in enumerate(outputs.values()):
        assert output.lengths is not None
        rows = [x[:n] for x, n in zip(output.taps["encoder"], output.lengths.tolist(), strict=True)]
        vectors = torch.cat(rows) if level == "frames" else torch.stack([row.mean(0) for row in rows])
        total = total - discriminator(vectors).log_softmax(-1)[:, number].mean()
    return total / len(outputs)


class Multitask(TrainedObjective):
    """The same discriminator, trained with the model instead of against it."""

    def __init__(self, like: DomainAdversarial) -> None:
        super().__init__()
        self.like = like
        self.streams, self.taps = like.streams, like.taps

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Make the discriminator."""
        self.like.setup(model, streams)

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the loss."""
        return _plain(self.like.discriminator, {name: outputs[name] for name in self.streams}, self.like.level)


def _fit(
    objectives: list[tuple[Any, Objective]], streams: list[Stream] | None = None, **changes: Any
) -> tuple[Recorder, nn.Module, Result]:
    recorder = Recorder()
    model = small_model(seed=1, dropout=0.2, dtype=DOUBLE)
    trainer = Trainer(
        model, streams or _streams(), [(1.0, recorder), *objectives], config=settings(**{"steps": 6, **changes})
    )
    result = trainer.train()
    recorder.weights.append(snapshot(model))
    return recorder, model, result


def _furthest(first: Recorder, second: Recorder) -> float:
    assert len(first.weights) == len(second.weights) == 7
    return max(
        float((a[name].double() - b[name].double()).abs().max())
        for a, b in zip(first.weights, second.weights, strict=True)
        for name in a
    )


@LEVELS
@pytest.mark.parametrize("strength", [0.7, 1.0, -1.0])
def test_features_get_minus_lambda_times_the_gradient_and_the_discriminator_all(level: Any, strength: float) -> None:
    model, streams = small_model(seed=1, dropout=0.0, dtype=DOUBLE), _streams()
    objective = DomainAdversarial("encoder", ("source", "target"), level, strength, width=16)
    objective.setup(model, {s.name: s for s in streams})
    body = [p for name, p in model.named_parameters() if not name.startswith("heads")]
    outputs = _outputs(model, streams)
    wanted = torch.autograd.grad(
        _plain(objective.discriminator, outputs, level), [*body, *objective.parameters()], retain_graph=True
    )
    loss = objective.forward(model, outputs)
    torch.testing.assert_close(loss, _plain(objective.discriminator, outputs, level), rtol=1e-12, atol=0)
    found = torch.autograd.grad(loss, [*body, *objective.parameters()])
    for number, (own, plain) in enumerate(zip(found, wanted, strict=True)):
        assert plain.any()
        factor = -strength if number < len(body) else 1.0
        torch.testing.assert_close(own, factor * plain, rtol=1e-9, atol=1e-14)


def test_reversal_is_the_identity_forward_and_exact_backward() -> None:
    x = torch.randn(3, 4, dtype=DOUBLE, requires_grad=True)
    y = reverse_gradient(x, 0.3)
    assert torch.equal(y, x)
    upstream = torch.randn(3, 4, dtype=DOUBLE)
    y.backward(upstream)
    assert torch.equal(x.grad, -0.3 * upstream)  # type: ignore[arg-type]


def test_lambda_zero_takes_the_steps_of_training_without_and_still_trains_the_discriminator() -> None:
    objective = DomainAdversarial("encoder", ("source", "target"), strength=0.0, width=16)
    alone, model, _ = _fit([])
    beside, _, _ = _fit([(1.0, objective)])
    assert _furthest(alone, beside) <= 1e-14
    fresh = DomainAdversarial("encoder", ("source", "target"), width=16)
    fresh.setup(model, {s.name: s for s in _streams()})
    assert different(snapshot(fresh.discriminator), snapshot(objective.discriminator))
    against, _, _ = _fit([(1.0, DomainAdversarial("encoder", ("source", "target"), strength=1.0, width=16))])
    assert _furthest(alone, against) > 1e-4


@LEVELS
def test_lambda_minus_one_takes_the_steps_of_multitask_training(level: Any) -> None:
    streams = ("source", "target")
    reversed_, _, _ = _fit([(0.8, DomainAdversarial("encoder", streams, level, -1.0, width=16))])
    together, _, _ = _fit([(0.8, Multitask(DomainAdversarial("encoder", streams, level, width=16)))])
    assert _furthest(reversed_, together) <= 1e-12
    assert _furthest(reversed_, _fit([])[0]) > 1e-4


def test_the_ramp_is_ganins_and_follows_the_progress() -> None:
    schedule = ramp()
    assert schedule(0.0) == 0.0
    assert schedule(0.1) == pytest.approx(2 / (1 + np.exp(-1)) - 1)
    assert schedule(1.0) == pytest.approx(0.9999092)
    assert ramp(0.5)(1.0) == pytest.approx(0.5 * schedule(1.0))
    _, _, result = _fit([(1.0, DomainAdversarial("encoder", ("source", "target")))], steps=4)
    mean = np.mean([schedule(step / 4) for step in range(4)])
    assert result.history[-1]["encoder.reversal"] == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("count", [2, 3])
def test_domains_that_are_alike_leave_the_loss_at_log_n_and_others_do_not(count: int) -> None:
    names = [f"domain{n}" for n in range(count)]

    def loss(by: float) -> float:
        streams: list[Stream] = [speech_task(Shifted(0.0), name="task", augment=False)]
        streams += [Stream(name, Shifted(by * n, seed=5), augment=False) for n, name in enumerate(names)]
        objective = DomainAdversarial("encoder", names, strength=0.0, width=16)
        options = {"steps": 60, "batch_budget": 480, "validate_every": 0, "optimizer": "adamw", "learning_rate": 0.01}
        model = small_model(seed=1, dropout=0.0, dtype=DOUBLE)
        Trainer(model, streams, [(1.0, objective)], config=settings(**options)).train()
        with torch.no_grad():
            outputs = {s.name: run(model, s, s.data.collate(range(12)), ("encoder",)) for s in streams[1:]}
            return float(objective.forward(model, outputs))

    assert loss(0.0) == pytest.approx(np.log(count), abs=0.02)
    assert loss(3.0) < 0.5 * np.log(count)


class TwoNumbers(nn.Module):
    """A small network on two numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 4)).double()
        self.classes = nn.Linear(4, 2).double()

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, Any]:
        """Return features."""
        return self.body(inputs), lengths

    def head(self, name: str) -> nn.Module:
        """Return the head, whatever it is called."""
        return self.classes


def test_training_against_the_discriminator_keeps_to_what_both_domains_share() -> None:
    """The second number tells the class best in the source, and nothing but the domain in the target."""

    def domain(target: bool, seed: int) -> ArrayData:
        generator = torch.Generator().manual_seed(seed)
        classes = torch.randint(0, 2, (400,), generator=generator)
        sign, noise = 2.0 * classes - 1, torch.randn(400, 2, generator=generator)
        second = torch.full_like(sign, 3.0) if target else sign
        return ArrayData(torch.stack([sign + 0.5 * noise[:, 0], second + 0.3 * noise[:, 1]], 1).double(), classes)

    right = []
    for strength in (0.0, 1.0):
        model, streams = TwoNumbers(), [Task("source", domain(False, 1), cross_entropy, head="main")]
        unlabelled = Stream("target", domain(True, 2))
        objective = DomainAdversarial("body", ("source", "target"), strength=ramp(strength), width=32)
        options = {"steps": 300, "batch_budget": 64, "optimizer": "adamw", "learning_rate": 0.003}
        Trainer(model, [*streams, unlabelled], [(1.0, objective)], config=settings(**options)).train()
        test = domain(True, 3)
        right.append(float((model.classes(model.body(test.inputs)).argmax(1) == test.targets).double().mean()))
    assert right[0] < 0.6 and right[1] > 0.9, right


def test_the_discriminator_is_resumed_with_the_rest_and_is_no_part_of_the_model(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    class Stopping(Recorder):
        def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
            super().forward(model, outputs)
            if stop and len(self.weights) == 6:
                raise Stop
            return torch.zeros(())

    def trainer(folder: Path | None) -> tuple[Trainer, DomainAdversarial]:
        objective = DomainAdversarial("encoder", ("source", "target"), width=16)
        config = settings(steps=9, optimizer="adamw", checkpoint_every=2, max_gradient_norm=1.0)
        model = small_model(seed=1, dropout=0.2, dtype=DOUBLE)
        objectives: list[Any] = [(1.0, Stopping()), (1.0, objective)]
        return Trainer(model, _streams(), objectives, config=config, folder=folder), objective

    stop = False
    straight, wanted = trainer(None)
    history = straight.train().history
    stop = True
    with pytest.raises(Stop):
        trainer(tmp_path)[0].train()
    stop = False
    resumed, found = trainer(tmp_path)
    assert resumed.train().history == history
    assert len(resumed.objectives[0][1].weights) < 9  # type: ignore[attr-defined]
    assert not different(snapshot(straight.model), snapshot(resumed.model))
    assert not different(snapshot(wanted.discriminator), snapshot(found.discriminator))
    assert straight.model.state_dict().keys() == small_model().state_dict().keys()


def test_the_a_distance_is_two_when_separable_and_near_zero_when_alike() -> None:
    generator = torch.Generator().manual_seed(0)

    def cloud(by: float, rows: int = 400) -> torch.Tensor:
        return torch.randn(rows, 5, generator=generator) + by

    assert a_distance({"a": cloud(0), "b": cloud(8)}) == 2
    assert abs(a_distance({"a": cloud(0), "b": cloud(0)})) < 0.2
    # Each counts the same: naming the larger domain always is no skill.
    assert abs(a_distance({"a": cloud(0, 2000), "b": cloud(0, 100)})) < 0.3
    # Scale is no matter, and three domains give the mean of the pairs.
    three = {"a": cloud(0), "b": cloud(0), "c": cloud(8)}
    scaled = {name: 1e4 * vectors for name, vectors in three.items()}
    assert a_distance(three) == pytest.approx(4 / 3, abs=0.1)
    assert a_distance(scaled) == pytest.approx(a_distance(three), abs=0.02)


def test_a_classifier_that_knows_its_own_vectors_by_heart_finds_no_distance() -> None:
    generator = torch.Generator().manual_seed(3)
    alike = {name: torch.randn(60, 100, generator=generator) for name in ("a", "b")}
    assert abs(a_distance(alike)) < 0.5, "on the vectors that it was trained on it makes no errors: that would be 2"


def test_the_a_distance_agrees_with_the_overlap_of_two_normal_clouds() -> None:
    # The best line errs where a normal variable exceeds half the distance of the centres: P(z > 1) = 0.1587.
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(4000, 3, generator=generator) + torch.tensor([by, 0.0, 0.0]) for by in (0, 2))
    assert a_distance({"a": first, "b": second}) == pytest.approx(2 * (1 - 2 * 0.1587), abs=0.05)


def test_features_are_collected_in_evaluation_mode_and_the_model_is_left_as_it_was() -> None:
    model, streams = small_model(seed=1, dropout=0.5, dtype=DOUBLE).train(), _streams()
    model.encoder.layers[0].eval()
    before = snapshot(model)
    features = domain_features(model, streams, "encoder.layers.1", budget=60)
    assert {name: tuple(v.shape) for name, v in features.items()} == {"source": (12, 8), "target": (12, 8)}
    assert model.training and model.encoder.norm.training and not model.encoder.layers[0].training
    assert not different(before, snapshot(model))


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(ConfigError, match="two or more different streams"):
        DomainAdversarial("encoder", ("source",))
    with pytest.raises(ConfigError, match="two or more different streams"):
        DomainAdversarial("encoder", ("source", "source", "target"))
    with pytest.raises(ConfigError, match="'level'.*'words'"):
        DomainAdversarial("encoder", ("source", "target"), level="words")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'width'"):
        DomainAdversarial("encoder", ("source", "target"), width=0)
    with pytest.raises(ConfigError, match="no module 'encodr'.*'encoder'"):
        _fit([(1.0, DomainAdversarial("encodr", ("source", "target")))])
    with pytest.raises(ConfigError, match="does not run for the stream 'target'"):
        _fit([(1.0, DomainAdversarial("heads.main", ("target", "source")))])
    with pytest.raises(ConfigError, match="reads the stream 'targets'"):
        _fit([(1.0, DomainAdversarial("encoder", ("source", "targets")))])
    with pytest.raises(ConfigError, match="two or more domains"):
        a_distance({"a": torch.zeros(5, 2)})
    with pytest.raises(ConfigError, match="four or more vectors of 'b'"):
        a_distance({"a": torch.zeros(5, 2), "b": torch.zeros(3, 2)})
