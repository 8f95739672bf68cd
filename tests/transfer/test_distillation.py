"""Conservative training by distillation is what its papers say: gradients, closed forms and limits, in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from asr_transfer.config import FeatureConfig
from asr_transfer.data.batching import ArrayData, Batch, sequential
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.errors import ConfigError
from asr_transfer.training import views
from asr_transfer.training.criteria import cross_entropy, ctc
from asr_transfer.training.forward import run
from asr_transfer.training.streams import Output, Stream, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.distillation import Distillation
from asr_transfer.transfer.plan import FreezeStatistics, TransferPlan
from tests.small import HeadOnly, Recorder, ToySpeech, different, settings, small_model, snapshot, speech_task

RHO = 0.3


def _occupancies(probabilities: torch.Tensor, target: list[int]) -> torch.Tensor:
    """Return CTC's (frames, tokens) posteriors of the token at each frame, by going through all paths."""
    frames, tokens = probabilities.shape
    gamma, total = torch.zeros_like(probabilities), torch.zeros((), dtype=probabilities.dtype)
    for path in itertools.product(range(tokens), repeat=frames):
        if [token for token, _ in itertools.groupby(path) if token != 0] != target:
            continue
        probability = torch.stack([probabilities[t, k] for t, k in enumerate(path)]).prod()
        total = total + probability
        for t, k in enumerate(path):
            gamma[t, k] += probability
    return gamma / total


def _tiny_sequences() -> tuple[Any, list[list[int]], list[int]]:
    labels, lengths = [[1, 1], [2], [2, 1]], [5, 3, 4]
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    padded = nn.utils.rnn.pad_sequence([torch.tensor(label) for label in labels], batch_first=True)

    class Data:
        def costs(self) -> np.ndarray:
            return np.array(lengths)

        def collate(self, items: Any, augment: torch.Generator | None = None) -> Batch:
            index = torch.as_tensor(items)
            longest = max(lengths[i] for i in items)
            sizes = torch.tensor([len(labels[i]) for i in items])
            return Batch(index, inputs[index, :longest], padded[index], torch.tensor(lengths)[index], sizes)

    return Data(), labels, lengths


def _logits_and_gradient(
    task: Task, objective: Distillation, student: HeadOnly
) -> tuple[torch.Tensor, torch.Tensor, Output]:
    """Return the logits of one batch with all items, and the gradient there of count × the KLD-regularised loss."""
    batch = task.data.collate(range(len(task.data.costs())))
    output = run(student, task, batch)
    logits = output.require_logits()
    logits.retain_grad()
    objective.setup(student, {task.name: task})
    loss, count = task.criterion(output)
    total = (1 - RHO) * loss / count + RHO * objective.forward(student, {task.name: output})
    (total * count).backward()
    assert logits.grad is not None
    return logits.detach(), logits.grad, output


def test_kld_gradient_at_the_logits_with_framewise_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    targets = torch.tensor([0, 1, 2, 2, 1, 0])
    task = Task("t", ArrayData(inputs, targets), criterion=cross_entropy, head="main")
    student, teacher = HeadOnly(4, 3, seed=1), HeadOnly(4, 3, seed=2)
    logits, gradient, _ = _logits_and_gradient(task, Distillation(teacher, "t"), student)
    wanted = (1 - RHO) * nn.functional.one_hot(targets, 3).double() + RHO * teacher.linear(inputs).softmax(-1).detach()
    torch.testing.assert_close(gradient, logits.softmax(-1) - wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("frames", ["all", "non-blank"])
def test_kld_gradient_at_the_logits_with_ctc_and_nothing_at_padding(frames: Any) -> None:
    data, labels, lengths = _tiny_sequences()
    student, teacher = HeadOnly(4, 3, seed=1), HeadOnly(4, 3, seed=2)
    task = Task("t", data, criterion=ctc, head="main")
    logits, gradient, output = _logits_and_gradient(task, Distillation(teacher, "t", frames), student)
    own = logits.softmax(-1)
    held = teacher.linear(output.batch.inputs).softmax(-1).detach()
    some_left_out = False
    for row, (label, length) in enumerate(zip(labels, lengths, strict=True)):
        gamma = _occupancies(own[row, :length], label)
        keep = torch.ones(length, 1, dtype=torch.float64)
        if frames == "non-blank":
            keep = (held[row, :length].argmax(-1) != 0).double()[:, None]
            some_left_out |= bool((keep == 0).any())
        wanted = (1 - RHO) * (own[row, :length] - gamma) + RHO * keep * (own[row, :length] - held[row, :length])
        torch.testing.assert_close(gradient[row, :length], wanted, rtol=1e-9, atol=1e-12)
        assert not gradient[row, length:].any()
    assert some_left_out == (frames == "non-blank")


def _fit(
    objectives: Any, weight: float = 1.0, plan: Any = None, steps: int = 5, augment: bool = True, **options: Any
) -> Recorder:
    """Train the same small model on the same toy speech and return its weights at every step."""
    recorder = Recorder()
    model = small_model(seed=1, dtype=torch.float64, **options)
    task = speech_task(ToySpeech(dtype=torch.float64), weight, augment=augment)
    Trainer(model, [task], [*objectives, (1.0, recorder)], plan, settings(steps=steps)).train()
    recorder.weights.append(snapshot(model))
    return recorder


def test_rho_zero_is_plain_fine_tuning_step_by_step() -> None:
    plain = _fit([])
    held = _fit([(0.0, Distillation(small_model(seed=9, dtype=torch.float64), "speaker"))])
    assert len(plain.weights) == 6
    assert different(plain.weights[0], plain.weights[1])
    for one, other in zip(plain.weights, held.weights, strict=True):
        assert not different(one, other)


def test_rho_zero_equals_a_loop_written_by_hand() -> None:
    data, model = ToySpeech(items=4, dtype=torch.float64), small_model(seed=1, dropout=0.0, dtype=torch.float64)
    by_hand = small_model(seed=1, dropout=0.0, dtype=torch.float64)
    task = speech_task(data, augment=False)
    Trainer(model, [task], [(0.0, Distillation(None, "speaker"))], config=settings(batch_budget=10_000)).train()
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.05)
    order = np.argsort(data.costs(), kind="stable").tolist()
    for _ in range(5):
        batch = data.collate(order)
        hidden, lengths = by_hand(batch.inputs, batch.lengths)
        log_probs = by_hand.heads["main"](hidden).log_softmax(-1).transpose(0, 1)
        loss = nn.functional.ctc_loss(log_probs, batch.targets, lengths, batch.target_lengths, reduction="sum")
        optimizer.zero_grad()
        (loss / lengths.sum()).backward()
        optimizer.step()
    for name, tensor in by_hand.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=1e-9, atol=1e-12)


def test_rho_one_has_zero_gradient_at_the_source_and_sgd_stays_there() -> None:
    # Dropout off and statistics held: the teacher has neither dropout nor batch statistics.
    plan = TransferPlan(FreezeStatistics())
    model, task = small_model(seed=1, dropout=0.0, dtype=torch.float64), speech_task(ToySpeech(dtype=torch.float64))
    plan.apply(model)
    objective = Distillation(None, "speaker")
    objective.setup(model, {"speaker": task})
    model.train()
    for batch in sequential(task.data, 120):
        objective.forward(model, {"speaker": run(model, task, batch)}).backward()
    largest = max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None)
    assert largest <= 1e-12

    recorder = _fit([(1.0, Distillation(None, "speaker"))], weight=0.0, plan=plan, steps=20, augment=False, dropout=0.0)
    for name, start in recorder.weights[0].items():
        torch.testing.assert_close(recorder.weights[-1][name], start, rtol=0, atol=1e-12)


def test_the_optimum_of_a_table_is_the_mixture_of_counts_and_teacher() -> None:
    """With one-hot inputs the minimiser is p = (1 - ρ) p_data + ρ p_teacher, the classifier's w = (1-ρ) w_LS + ρ w₀."""
    rows = torch.tensor([0] * 5 + [1] * 5 + [2] * 5)
    targets = torch.tensor([0, 0, 0, 1, 2, 1, 1, 1, 1, 2, 2, 0, 0, 0, 0])
    data = ArrayData(nn.functional.one_hot(rows, 3).double(), targets)
    teacher, student = HeadOnly(3, 3, seed=2), HeadOnly(3, 3, seed=1)
    task = Task("t", data, criterion=cross_entropy, head="main", weight=1 - RHO)
    config = settings(steps=600, learning_rate=2.0)
    Trainer(student, [task], [(RHO, Distillation(teacher, "t"))], config=config).train()
    counts = torch.stack([torch.bincount(targets[rows == row], minlength=3).double() / 5 for row in range(3)])
    identity = torch.eye(3, dtype=torch.float64)
    wanted = (1 - RHO) * counts + RHO * teacher.linear(identity).softmax(-1)
    torch.testing.assert_close(student.linear(identity).softmax(-1), wanted, rtol=1e-6, atol=1e-8)


def test_the_teacher_runs_once_over_each_item() -> None:
    data, _, _ = _tiny_sequences()
    student, teacher = HeadOnly(4, 3, seed=1), HeadOnly(4, 3, seed=2)
    task = Task("t", data, criterion=ctc, head="main", weight=1 - RHO)
    Trainer(student, [task], [(RHO, Distillation(teacher, "t"))], config=settings(steps=12, batch_budget=5)).train()
    assert teacher.rows == 3
    assert student.rows == 12


def test_the_teacher_is_in_evaluation_mode_and_left_as_it_was() -> None:
    task = speech_task(ToySpeech(dtype=torch.float64))
    teacher = small_model(seed=3, dropout=0.5, dtype=torch.float64).train()
    before = snapshot(teacher)
    objective = Distillation(teacher, "speaker")
    objective.setup(small_model(seed=1, dtype=torch.float64), {"speaker": task})
    assert not different(before, snapshot(teacher))
    batch = task.data.collate([4])
    with torch.no_grad():
        direct = run(teacher.eval(), task, batch).require_logits().softmax(-1)
    torch.testing.assert_close(objective.target(batch.items, direct.shape[1]), direct, rtol=1e-10, atol=1e-12)
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize("items", [[0], [5, 1], [2, 7, 3, 9, 0], [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]])
def test_cached_posteriors_equal_direct_ones_in_any_batch(items: list[int]) -> None:
    teacher, task = small_model(seed=3, dtype=torch.float64).eval(), speech_task(ToySpeech(dtype=torch.float64))
    objective = Distillation(teacher, "speaker")
    objective.setup(teacher, {"speaker": task})
    output = run(teacher, task, task.data.collate(items))
    target = objective.target(output.batch.items, output.require_logits().shape[1])
    direct = output.require_logits().softmax(-1) * output.valid()[:, :, None]
    torch.testing.assert_close(target, direct, rtol=1e-9, atol=1e-12)


def test_of_many_posteriors_memory_holds_few_and_a_file_the_rest_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them were held in memory: seven gigabytes of an hour and ten thousand tokens."""
    data, tokens = ToySpeech(items=40, dtype=torch.float64), 5
    teacher, task = small_model(seed=3, dtype=torch.float64).eval(), speech_task(data)
    whole, filed = Distillation(teacher, "speaker"), Distillation(teacher, "speaker")
    whole.setup(teacher, {"speaker": task})
    monkeypatch.setattr(views, "IN_MEMORY", 4_000)
    filed.setup(teacher, {"speaker": task})
    assert whole._kept is not None and filed._kept is not None
    assert len(filed._kept) == len(whole._kept) == 40 and filed._kept.filed > 20 and whole._kept.filed == 0
    assert filed._kept.in_memory <= 4_000 < whole._kept.in_memory
    frames = whole._kept.in_memory // (8 * tokens)
    assert torch.equal(filed.target(torch.arange(40), frames), whole.target(torch.arange(40), frames))
    assert filed.target(torch.tensor([39]), 3).dtype == torch.float64


def test_speed_copies_have_their_own_posteriors(tmp_path: Path, make_audio: Callable[..., Path]) -> None:
    utterances = []
    for number, seconds in enumerate((0.5, 0.8, 0.6)):
        recording = make_audio(tmp_path / f"{'a' * (number + 1)}.wav", seconds)
        utterances.append(Utterance(f"u{number}", str(recording), seconds, "ab", "s", "en"))
    speeds = (0.9, 1.0, 1.1)
    store = build_store(utterances, FeatureConfig(mels=8), speeds, cache=tmp_path / "cache")
    data = Spoken(utterances, store, Tokens(["a", "b", "c", "d"]), speeds)
    teacher, task = small_model(seed=3).eval(), speech_task(data)
    objective = Distillation(teacher, "speaker")
    objective.setup(teacher, {"speaker": task})
    for items in ([8, 0, 4], [1, 2, 3, 5, 6, 7]):
        output = run(teacher, task, data.collate(items))
        target = objective.target(output.batch.items, output.require_logits().shape[1])
        direct = output.require_logits().softmax(-1) * output.valid()[:, :, None]
        torch.testing.assert_close(target, direct, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(objective.target(torch.tensor([0]), 20), objective.target(torch.tensor([2]), 20))


def test_distillation_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError, match=r"'frames'.*'voiced'"):
        Distillation(None, "speaker", frames="voiced")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'raw' has no head"):
        Trainer(small_model(), [Stream("raw", ToySpeech())], [(1.0, Distillation(None, "raw"))], config=settings())


def test_a_weight_may_follow_the_progress() -> None:
    seen: list[float] = []

    def ramp(progress: float) -> float:
        seen.append(progress)
        return 0.0

    _fit([(ramp, Distillation(None, "speaker"))], steps=4)
    assert seen == [0.0, 0.25, 0.5, 0.75]
