"""Test-time adaptation: the loss is the paper's, and each utterance starts from the source model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import get_args

import pytest
import torch

from asr_transfer.config import EncoderName, FeatureConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding import test_time
from asr_transfer.decoding.decoders import GreedyDecoder, Heard
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.decoding.test_time import suta_loss
from asr_transfer.errors import ConfigError, TrainingError
from asr_transfer.models.acoustic import AcousticModel
from tests.small import MELS, different, small_model, snapshot

TOKENS = Tokens(["a", "b", "c", " "])


def recognise_adapted(recogniser: Recogniser, data: Spoken, config: SutaConfig) -> list[str]:
    return replace(recogniser, test_time=config).listen(data)


ENTROPY, CONFUSION = SutaConfig(entropy_weight=1.0, temperature=1.0), SutaConfig(entropy_weight=0.0, temperature=1.0)


def _logits(batch: int = 1, frames: int = 6, tokens: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(batch, frames, tokens, generator=generator, dtype=torch.float64)


def _gradient(logits: torch.Tensor, config: SutaConfig, lengths: torch.Tensor | None = None) -> torch.Tensor:
    leaf = logits.clone().requires_grad_(True)
    lengths = torch.full((len(leaf),), leaf.shape[1]) if lengths is None else lengths
    (gradient,) = torch.autograd.grad(suta_loss(leaf, lengths, config), leaf)
    return gradient


def _by_loops(logits: torch.Tensor, config: SutaConfig) -> float:
    """Return the loss of one utterance's (frames, tokens), written out from the paper."""
    rows = []
    for row in logits.tolist():
        powers = [math.exp(value / config.temperature) for value in row]
        rows.append([power / sum(powers) for power in powers])
    tokens = range(logits.shape[1])
    entropies = [
        -sum(p * math.log(p) for p in probabilities)
        for row, probabilities in zip(logits.tolist(), rows, strict=True)
        if row.index(max(row)) != 0
    ]
    entropy = sum(entropies) / len(entropies) if entropies else 0.0
    correlation = [[sum(p[i] * p[j] for p in rows) for j in tokens] for i in tokens]
    confusion = sum(correlation[i][j] / sum(correlation[i]) for i in tokens for j in tokens if i != j) / len(tokens)
    return config.entropy_weight * entropy + (1 - config.entropy_weight) * confusion


@pytest.mark.parametrize("config", [SutaConfig(), ENTROPY, CONFUSION, SutaConfig(temperature=0.7, entropy_weight=0.5)])
def test_the_loss_equals_loops_and_padding_has_no_influence(config: SutaConfig) -> None:
    logits, lengths = _logits(3), torch.tensor([6, 2, 4])
    wanted = [_by_loops(row[:length], config) for row, length in zip(logits, lengths.tolist(), strict=True)]
    assert float(suta_loss(logits, lengths, config)) == pytest.approx(sum(wanted) / 3, rel=1e-12)
    spoilt = logits.clone()
    spoilt[1, 2:], spoilt[2, 4:] = float("nan"), float("inf")
    assert float(suta_loss(spoilt, lengths, config)) == pytest.approx(sum(wanted) / 3, rel=1e-12)
    gradient = _gradient(spoilt, config, lengths)
    torch.testing.assert_close(gradient[0], _gradient(logits[:1], config)[0] / 3)
    assert not gradient[1, 2:].any() and gradient[1, :2].any()


def test_the_gradient_of_the_entropy_is_minus_p_times_log_p_plus_h() -> None:
    logits = _logits()
    logits[0, :, 0] = -9.0  # no blanks: every frame counts
    p = logits.softmax(-1)
    entropy = -(p * p.log()).sum(-1, keepdim=True)
    torch.testing.assert_close(_gradient(logits, ENTROPY), -p * (p.log() + entropy) / 6, rtol=1e-9, atol=1e-12)
    at_temperature = _gradient(2.5 * logits, SutaConfig(entropy_weight=1.0))
    torch.testing.assert_close(at_temperature, -p * (p.log() + entropy) / 6 / 2.5, rtol=1e-9, atol=1e-12)


def test_uniform_posteriors_are_stationary_and_sure_ones_have_no_confusion() -> None:
    uniform = torch.full((1, 5, 4), 0.3, dtype=torch.float64)
    # A tie goes to the blank; a hair more for another token makes its frame count.
    uniform[0, 1:, 2] += 1e-13
    for config in (SutaConfig(), ENTROPY, CONFUSION):
        assert float(_gradient(uniform, config).abs().max()) < 1e-12
        assert float(_gradient(_logits(), config).abs().max()) > 1e-3
    assert float(suta_loss(uniform, torch.tensor([5]), ENTROPY)) == pytest.approx(math.log(4))
    assert float(suta_loss(uniform, torch.tensor([5]), CONFUSION)) == pytest.approx(3 / 4)
    sure = 200 * torch.eye(4, dtype=torch.float64)[None]
    assert float(suta_loss(sure, torch.tensor([4]), SutaConfig(temperature=1.0))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("height", [5.0, 1e4])
def test_blanks_only_have_no_entropy_and_no_nan(height: float, dtype: torch.dtype) -> None:
    logits = _logits().to(dtype).clamp(-2, 2)
    logits[..., 0] = height
    assert float(suta_loss(logits, torch.tensor([6]), ENTROPY)) == 0
    assert not _gradient(logits, ENTROPY).any()
    for config in (SutaConfig(), CONFUSION):
        assert torch.isfinite(suta_loss(logits, torch.tensor([6]), config))
        assert torch.isfinite(_gradient(logits, config)).all()


@pytest.fixture
def data(tmp_path: Path, make_audio: Callable[..., Path]) -> Spoken:
    """Return five recordings of different length as items of a stream."""
    utterances = []
    for number, seconds in enumerate((0.5, 0.2, 0.4, 0.25, 0.3)):
        recording = make_audio(tmp_path / f"{'a' * (number + 1)}.wav", seconds)
        utterances.append(Utterance(f"u{number}", str(recording), seconds, "", "s", "en"))
    store = build_store(utterances, FeatureConfig(mels=MELS), cache=tmp_path / "cache")
    return Spoken(utterances, store)


def _recogniser(encoder: EncoderName = "tdnn") -> Recogniser:
    """Return a random model with weights so large that its outputs are others for every recording."""
    model = small_model(3, encoder, dropout=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.ndim > 1 else 1)
    return Recogniser(model, TOKENS, "main", {})


class _Listener:
    """Decodes greedily and keeps the logits that it is given."""

    def __init__(self, tokens: Tokens) -> None:
        self._greedy = GreedyDecoder(tokens)
        self._kept: list[torch.Tensor] = []

    def __call__(self, logits: torch.Tensor, lengths: torch.Tensor) -> list[Heard]:
        self._kept.append(logits)
        return self._greedy(logits, lengths)

    def taken(self) -> list[torch.Tensor]:
        """Return the logits since the last call."""
        kept, self._kept = self._kept, []
        return kept


@pytest.mark.parametrize("encoder", get_args(EncoderName))
def test_the_recogniser_keeps_its_weights_and_texts_do_not_depend_on_the_order(
    data: Spoken, encoder: EncoderName
) -> None:
    listener = _Listener(TOKENS)
    recogniser, config = replace(_recogniser(encoder), decoder=listener), SutaConfig(learning_rate=0.03)
    before = snapshot(recogniser.model)
    texts, adapted = recognise_adapted(recogniser, data, config), listener.taken()
    assert not different(before, snapshot(recogniser.model))
    assert all(p.grad is None and p.requires_grad for p in recogniser.model.parameters())
    # Which token is the greatest output of a random model may hang on rounding; that the outputs move does not.
    recognise_adapted(recogniser, data, replace(config, steps=0))
    for own, source in zip(adapted, listener.taken(), strict=True):
        assert float((own - source).abs().max()) > 0.1
    assert all(float((one[:, 0] - other[:, 0]).abs().max()) > 0.01 for one, other in combinations(adapted, 2))
    order = [3, 0, 4, 2, 1]
    shuffled = Spoken([data.utterances[i] for i in order], data.store)
    assert recognise_adapted(recogniser, shuffled, config) == [texts[i] for i in order]
    assert all(torch.equal(own, adapted[i]) for own, i in zip(listener.taken(), order, strict=True))


@pytest.mark.parametrize("config", [SutaConfig(steps=0), SutaConfig(steps=0, learning_rate=1.0), SutaConfig(3, 0.0)])
def test_no_steps_or_no_rate_is_plain_recognition(data: Spoken, config: SutaConfig) -> None:
    listener = _Listener(TOKENS)
    recogniser = replace(_recogniser(), decoder=listener)
    recognise_adapted(recogniser, data, config)
    alone = listener.taken()
    for number, logits in enumerate(alone):
        recogniser.listen(Spoken([data.utterances[number]], data.store))
        torch.testing.assert_close(logits, *listener.taken())


@pytest.mark.parametrize("encoder", get_args(EncoderName))
def test_only_the_front_end_and_normalisation_layers_are_trained_and_the_loss_falls(
    data: Spoken, encoder: EncoderName, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[torch.nn.Module] = []
    starts: list[dict[str, torch.Tensor]] = []
    losses: list[list[float]] = []
    original_forward, original_loss = AcousticModel.forward, test_time.suta_loss

    def spying_forward(model: AcousticModel, *arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert not any(module.training for module in model.modules())
        models.append(model)
        if len(models) % 5 == 1:
            starts.append(snapshot(model))
            losses.append([])
        return original_forward(model, *arguments)

    def spying_loss(*arguments: object) -> torch.Tensor:
        loss = original_loss(*arguments)  # type: ignore[arg-type]
        losses[-1].append(float(loss.detach()))
        return loss

    monkeypatch.setattr(AcousticModel, "forward", spying_forward)
    monkeypatch.setattr(test_time, "suta_loss", spying_loss)
    recogniser = _recogniser(encoder)
    recognise_adapted(recogniser, data, SutaConfig(steps=4, learning_rate=0.01))
    source = snapshot(recogniser.model)
    assert len(starts) == 5 and all(not different(source, start) for start in starts)
    norms = {
        f"{path}.{name}"
        for path, module in recogniser.model.named_modules()
        if "Norm" in type(module).__name__
        for name, _ in module.named_parameters(recurse=False)
    }
    wanted = norms | {f"frontend.layers.{n}.convolution.weight" for n in (0, 1)}
    assert different(source, snapshot(models[-1])) == wanted
    assert all(of_item[-1] < of_item[0] for of_item in losses)


def test_what_cannot_be_is_refused(data: Spoken) -> None:
    for options in (
        {"steps": -1},
        {"learning_rate": -1e-5},
        {"learning_rate": float("nan")},
        {"temperature": 0.0},
        {"temperature": float("inf")},
        {"entropy_weight": 1.1},
    ):
        with pytest.raises(ConfigError, match=rf"suta\.{next(iter(options))}"):
            SutaConfig(**options)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=r"utterance 'u0'.*lower `suta\.learning_rate`"):
        recognise_adapted(_recogniser(), data, SutaConfig(learning_rate=1e30))
