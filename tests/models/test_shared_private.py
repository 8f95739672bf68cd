"""Shared and private encoders: who gets which gradient, and features that are kept apart."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from asr_transfer.config import EncoderName, FeatureConfig, ModelConfig
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import AdapterSpec, add_adapter, remove_adapters
from asr_transfer.models.shared_private import PrivateConfig, SharedPrivateModel
from asr_transfer.training.criteria import ctc
from asr_transfer.training.forward import run, run_together
from asr_transfer.training.streams import Mixture, Stream, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.adversarial import DomainAdversarial
from asr_transfer.transfer.orthogonality import Orthogonality, overlap
from tests.small import MELS, ToySpeech, different, settings, snapshot

DOUBLE = torch.float64
HEADS = {"en": 5, "es": 6}
everywhere = pytest.mark.parametrize("encoder", get_args(EncoderName))


def _model(encoder: Any = "tdnn", dropout: float = 0.0, dtype: torch.dtype = DOUBLE) -> SharedPrivateModel:
    torch.manual_seed(0)
    features = FeatureConfig(mels=MELS)
    config = ModelConfig(encoder, 2, dim=8, channels=8, strides=(2, 1), dropout=dropout, features=features)
    return SharedPrivateModel(config, HEADS, PrivateConfig(1, 4)).to(dtype)


def _tasks(dtype: torch.dtype = DOUBLE) -> list[Task]:
    return [Task(name, ToySpeech(8, seed, dtype), ctc, head=name, augment=False) for seed, name in enumerate(HEADS)]


def _parts(tasks: list[Task]) -> dict[str, tuple[Stream, Any]]:
    return {task.name: (task, task.data.collate([n, n + 2, n + 5])) for n, task in enumerate(tasks)}


@everywhere
def test_the_head_reads_both_encoders_on_the_shared_front_end(encoder: Any) -> None:
    model = _model(encoder).eval()
    batch = ToySpeech(4, dtype=DOUBLE).collate([0, 1, 2])
    hidden, lengths = model(batch.inputs, batch.lengths)
    front, _ = model.frontend(batch.inputs, batch.lengths)
    for name, size in HEADS.items():
        both = torch.cat([model.encoder(front, lengths), model.private[name](front, lengths)], -1)
        logits = model.head(name)(hidden)
        torch.testing.assert_close(logits, model.heads[name](both), rtol=1e-11, atol=1e-13)
        assert logits.shape[2] == model.head(name).out_features == size
    with pytest.raises(ModelError, match="no head 'it'"):
        model.head("it")


@everywhere
def test_a_batch_of_one_language_gives_the_others_no_gradient_at_all(encoder: Any) -> None:
    model, tasks = _model(encoder).train(), _tasks()
    before = snapshot(model)
    output = run(model, tasks[0], tasks[0].data.collate([0, 1]))
    loss, count = ctc(output)
    (loss / count).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if name.startswith(("private.es.", "heads.es.")):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None and parameter.grad.any(), name
    assert not any(name.startswith("private.es.") for name in different(before, snapshot(model)))


def test_in_a_joint_pass_a_loss_reaches_its_own_branch_alone() -> None:
    model, tasks = _model().train(), _tasks()
    loss, count = ctc(run_together(model, _parts(tasks), {"en": (), "es": ()})["es"])
    (loss / count).backward()  # type: ignore[no-untyped-call]
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {n for n, _ in model.named_parameters() if not n.startswith(("private.en.", "heads.en."))}


@everywhere
def test_streams_in_one_pass_give_what_each_gives_alone_taps_of_the_private_encoders_too(encoder: Any) -> None:
    model, parts = _model(encoder).eval(), _parts(_tasks())
    taps = {name: ("encoder", f"private.{name}", f"private.{name}.layers.0") for name in parts}
    together = run_together(model, parts, taps)
    for name, (stream, batch) in parts.items():
        alone = run(model, stream, batch, taps[name])
        torch.testing.assert_close(together[name].logits, alone.logits, rtol=1e-10, atol=1e-12)
        for tap in taps[name]:
            torch.testing.assert_close(together[name].vectors(tap, "frames"), alone.vectors(tap, "frames"))
    assert "private.es" not in run(model, parts["en"][0], parts["en"][1], ("private.es",)).taps


@everywhere
def test_padding_has_no_influence(encoder: Any) -> None:
    model, data = _model(encoder).eval(), ToySpeech(6, dtype=DOUBLE)
    batch = data.collate(range(6))
    hidden, lengths = model(batch.inputs, batch.lengths)
    together = model.head("es")(hidden)
    for item in range(6):
        alone = data.collate([item])
        own = model.head("es")(model(alone.inputs, alone.lengths)[0])
        torch.testing.assert_close(together[item : item + 1, : lengths[item]], own, rtol=1e-9, atol=1e-11)


def test_adapters_act_on_the_shared_part_and_start_as_nothing() -> None:
    model, batch = _model().eval(), ToySpeech(4, dtype=DOUBLE).collate([0, 1])
    before = model.head("en")(model(batch.inputs, batch.lengths)[0])
    for spec in (AdapterSpec("lora", 2), AdapterSpec("residual-adapter", 2), AdapterSpec("lhuc")):
        add_adapter(model, spec)
    assert torch.equal(model.head("en")(model(batch.inputs, batch.lengths)[0]), before)
    remove_adapters(model)


def test_overlap_of_disjoint_subspaces_is_zero_and_of_equals_its_grams() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(20, 6, generator=generator, dtype=DOUBLE)
    # Rows of the two branches live apart: where one speaks, the other is at its mean.
    silent = torch.zeros(40, 6, dtype=DOUBLE)
    apart = torch.cat([first, -first, silent]), torch.cat([silent, first, -first])
    assert float(overlap(*apart)) < 1e-24
    # Columns that do not correlate: rows on a circle, the other branch on twice the angle.
    angle = torch.arange(24, dtype=DOUBLE) * 2 * torch.pi / 24
    once, twice = (torch.stack([(k * angle).cos(), (k * angle).sin()], 1) for k in (1, 2))
    assert float(overlap(once, 3 * twice)) < 1e-24
    features = torch.randn(50, 6, generator=generator, dtype=DOUBLE) + 3
    rows = features - features.mean(0)
    rows = rows / rows.norm(dim=1, keepdim=True)
    torch.testing.assert_close(overlap(features, features), (rows.T @ rows).square().sum())
    assert float(overlap(features, features)) <= 50**2
    line = torch.randn(50, 1, generator=generator, dtype=DOUBLE)
    assert float(overlap(line, line)) == pytest.approx(50**2)


@pytest.mark.parametrize("factor", [1e-6, 1e4])
def test_overlap_does_not_change_when_a_branch_is_scaled(factor: float) -> None:
    generator = torch.Generator().manual_seed(0)
    shared, private = (torch.randn(30, size, generator=generator, dtype=DOUBLE) for size in (5, 3))
    before = overlap(shared, private)
    assert float(before) > 1e-3
    torch.testing.assert_close(overlap(factor * shared, private), before)
    torch.testing.assert_close(overlap(shared, factor * private + 7), before)


def test_a_branch_that_says_nothing_gives_zero_and_finite_gradients() -> None:
    shared = torch.randn(10, 4, requires_grad=True)
    private = torch.full((10, 3), 0.5, requires_grad=True)
    loss = overlap(shared, private)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert shared.grad is not None and private.grad is not None
    assert not shared.grad.any() and not private.grad.any()


def test_the_objective_is_the_mean_overlap_of_valid_frames_and_reports_norms() -> None:
    model, parts = _model().eval(), _parts(_tasks())
    objective = Orthogonality({"en": "private.en", "es": "private.es"})
    objective.setup(model, {})
    outputs = run_together(model, parts, {name: objective.taps for name in parts})
    wanted = []
    for name, (_, batch) in parts.items():
        front, lengths = model.frontend(batch.inputs, batch.lengths)
        keep = torch.arange(front.shape[1]) < lengths[:, None]
        shared, private = model.encoder(front, lengths)[keep], model.private[name](front, lengths)[keep]
        wanted.append(overlap(shared, private) / len(shared) ** 2)
    loss = objective.forward(model, outputs)
    torch.testing.assert_close(loss, torch.stack(wanted).mean())
    figures = objective.figures()
    assert figures["orthogonality"] == pytest.approx(float(loss.detach()), rel=1e-5)
    norms = (private - private.mean(0)).detach().norm(dim=1)  # of the last stream, es
    assert figures["es.private_norm"] == pytest.approx(float(norms.square().mean().sqrt()), rel=1e-5)
    assert set(figures) == {"orthogonality"} | {f"{n}.{b}_norm" for n in HEADS for b in ("shared", "private")}
    assert objective.figures() == {}


def test_training_with_all_three_losses_learns_and_lowers_the_overlap() -> None:
    ends = []
    for weight in (0.0, 1.0):
        model, tasks = _model(dtype=torch.float32), _tasks(torch.float32)
        objectives: list[Any] = [
            (0.05, DomainAdversarial("encoder", tuple(HEADS), width=16)),
            (weight, Orthogonality({name: f"private.{name}" for name in HEADS})),
        ]
        config = settings(steps=60, batch_budget=400, optimizer="adamw", learning_rate=0.02, validate_every=20)
        result = Trainer(model, tasks, objectives, config=config, validation=tasks, monitor="en.loss").train()
        losses = [entry["en.loss"] + entry["es.loss"] for entry in result.history]
        assert losses[-1] < 0.8 * losses[0]
        assert ("orthogonality" in result.history[-1]) == bool(weight)
        objective = objectives[1][1]
        outputs = {t.name: run(model, t, t.data.collate(range(8)), objective.taps) for t in tasks}
        ends.append(objective.forward(model, outputs).item())
        assert objective.figures()["en.private_norm"] > 0.5
    assert ends[1] < 0.5 * ends[0], ends


def test_a_batch_of_a_mixture_may_lack_a_language() -> None:
    model, tasks = _model().eval(), _tasks()
    objectives: list[Any] = [
        DomainAdversarial("encoder", tuple(HEADS), strength=-1.0, width=8),
        Orthogonality({name: f"private.{name}" for name in HEADS}),
    ]
    parts = _parts(tasks)
    for objective in objectives:
        objective.setup(model, {task.name: task for task in tasks})
        every = run_together(model, parts, {name: objective.taps for name in parts})
        alone = [objective.forward(model, {name: every[name]}) for name in parts]
        torch.testing.assert_close(alone[0] + alone[1], objective.forward(model, every))
    mixture = Mixture("all", tuple(tasks))
    config = settings(steps=12, batch_budget=60, validate_every=0)
    result = Trainer(model, [mixture], [(0.5, o) for o in objectives], config=config).train()
    assert result.skipped == 0 and {"encoder.domain_loss", "orthogonality"} <= set(result.history[-1])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="`private.dim` must be from 1 to"):
        PrivateConfig(dim=0)
    with pytest.raises(ConfigError, match="a stream and the path"):
        Orthogonality({})
    with pytest.raises(ConfigError, match="reads 'private.it'.*no such module"):
        Orthogonality({"en": "private.it"}).setup(_model(), {})
    model, parts = _model(), _parts(_tasks())
    wrong = Orthogonality({"en": "private.es"})
    outputs = run_together(model, parts, {name: wrong.taps for name in parts})
    with pytest.raises(ConfigError, match="'private.es', which does not run for the stream 'en'"):
        wrong.forward(model, outputs)


def test_mixed_precision_trains_all_of_it() -> None:
    model, tasks = _model(dtype=torch.float32, dropout=0.1), _tasks(torch.float32)
    before = snapshot(model)
    objectives: list[Any] = [
        (0.05, DomainAdversarial("encoder", tuple(HEADS), "frames", width=16)),
        (1.0, Orthogonality({name: f"private.{name}" for name in HEADS})),
    ]
    config = settings(precision="bf16", steps=5)
    result = Trainer(model, tasks, objectives, config=config, validation=tasks, monitor="en.loss").train()
    assert result.skipped == 0
    trained = {name for name, _ in model.named_parameters()}
    # A bias in front of a normalisation has no effect.
    assert {n for n in trained - different(before, snapshot(model)) if not n.endswith("convolution.bias")} == set()


def test_without_a_size_the_private_encoders_are_small_and_a_model_without_heads_is_possible() -> None:
    config = ModelConfig()
    model = SharedPrivateModel(config, {"en": 30})
    sizes = [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.private["en"])]
    assert sizes[1] < sizes[0] / 8
    assert isinstance(SharedPrivateModel(config, {}), AcousticModel)
