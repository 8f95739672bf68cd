"""Speaker-adaptive training is plain training without a share of adapted speech, and leaves a plain model."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.errors import ConfigError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import AdapterSpec, adapter_state, add_adapter
from asr_transfer.models.adapters.codes import codes_of
from asr_transfer.models.adapters.many_films import ManyFilms
from asr_transfer.models.adapters.modulation import heard_sums, modulation_of, statistics_of
from asr_transfer.models.folder import load_model, save_model
from asr_transfer.models.kinds import describe
from asr_transfer.training.checkpoints import AtomicCheckpointer
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.speaker_adaptive import SpeakerAdaptive
from tests.small import MELS, ToySpeech, different, settings, small_model, snapshot, speech_task

SPEAKERS = ("ann", "bob", "cid")


class _Speakers(Spoken):
    """Toy speech of three speakers in turn, of whom each says other things in other ways."""

    def __init__(self, names: tuple[str, ...] = SPEAKERS) -> None:
        self.toy = ToySpeech(dtype=torch.float64)
        self.utterances = [
            Utterance(f"u{n}", Path("a.wav"), 1.0, "a", names[n % len(names)], "en")
            for n in range(len(self.toy.lengths))
        ]
        self.speeds = (1.0,)
        self.costs, self.collate = self.toy.costs, self.toy.collate  # type: ignore[method-assign]


def _model() -> AcousticModel:
    return small_model(dtype=torch.float64)


def _trained(model: AcousticModel, objective: SpeakerAdaptive | None, steps: int = 5) -> AcousticModel:
    objectives = [] if objective is None else [(1.0, objective)]
    Trainer(model, [speech_task(_Speakers())], objectives, config=settings(steps=steps, optimizer="adamw")).train()
    return model


@pytest.mark.parametrize("kind", ["lhuc", "speaker-code", "film"])
def test_a_share_of_0_is_plain_training_bit_for_bit(kind: str) -> None:
    found = snapshot(_trained(_model(), SpeakerAdaptive(kind, 0.0, 3)))
    matrices = {name: found.pop(name) for name in list(found) if name.startswith(("codes.", "modulation."))}
    assert not different(snapshot(_trained(_model(), None)), found)
    effect = [matrix for name, matrix in matrices.items() if not name.endswith(("projection", "middle", "spread"))]
    assert all(not matrix.any() for matrix in effect) and bool(effect) == (kind != "lhuc")


@pytest.mark.parametrize("kind", ["lhuc", "speaker-code", "film"])
def test_before_anything_is_learnt_adapted_speech_is_heard_as_by_the_plain_model(kind: str) -> None:
    plain, model, objective = _model().eval(), _model(), SpeakerAdaptive(kind, 1.0, 3)
    trainer = Trainer(model, [speech_task(_Speakers())], [(1.0, objective)], config=settings())
    model.eval()
    part = trainer._load(0)[0]
    batch = part["speaker"]
    with trainer._around(part, 1.0):
        heard, _ = model(batch.inputs, batch.lengths)
    assert torch.equal(heard, plain(batch.inputs, batch.lengths)[0])


@pytest.mark.parametrize("kind", ["lhuc", "speaker-code"])
def test_adapted_rows_are_what_the_adapter_of_their_speaker_makes_and_others_the_plain_model(kind: str) -> None:
    objective = SpeakerAdaptive(kind, 0.5, 3)
    model = _trained(_model(), objective, steps=8).eval()
    many = objective.many
    assert many is not None
    inputs, lengths = torch.randn(3, 30, MELS, dtype=torch.float64), torch.tensor([30, 30, 30])
    with many.on(model, torch.tensor([2, 0, 1]), torch.tensor([True, False, True]), torch.tensor([2, 0, 1])):
        heard, _ = model(inputs, lengths)
    plain, _ = model(inputs, lengths)
    objective.settle(model)
    assert torch.equal(plain, model(inputs, lengths)[0])
    torch.testing.assert_close(heard[1], plain[1], rtol=0, atol=0)
    for row, speaker in ((0, 2), (2, 1)):
        one = copy.deepcopy(model)
        add_adapter(one, AdapterSpec(kind, 3 if kind == "speaker-code" else 0))
        with torch.no_grad():
            for name, tensor in adapter_state(one).items():
                tensor.copy_(many.own(speaker)[name])
        alone, _ = one(inputs, lengths)
        torch.testing.assert_close(heard[row], alone[row], rtol=1e-12, atol=1e-12)
        assert not torch.allclose(heard[row], plain[row], atol=1e-4)


@pytest.mark.parametrize("kind", ["lhuc", "speaker-code", "film"])
def test_stopped_midway_and_resumed_it_ends_in_the_same_bits(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    config = settings(steps=8, optimizer="adamw", checkpoint_every=3)

    def trained(folder: Path) -> tuple[AcousticModel, SpeakerAdaptive]:
        model, objective = _model(), SpeakerAdaptive(kind, 0.5, 3)
        Trainer(model, [speech_task(_Speakers())], [(1.0, objective)], config=config, folder=folder).train()
        return model, objective

    save = AtomicCheckpointer.save

    def stopping(self: AtomicCheckpointer, step: int) -> None:
        save(self, step)
        raise KeyboardInterrupt

    undisturbed, whole = trained(tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AtomicCheckpointer, "save", stopping)
        trained(tmp_path / "resumed")
    resumed, again = trained(tmp_path / "resumed")
    assert not different(snapshot(undisturbed), snapshot(resumed))
    assert whole.many is not None and again.many is not None
    assert not different(snapshot(whole.many), snapshot(again.many)), "what the speakers have of their own goes on too"


def test_lhuc_leaves_a_model_like_any_other() -> None:
    objective = SpeakerAdaptive("lhuc", 0.5)
    model = _trained(_model(), objective)
    objective.settle(model)
    assert describe(model) == describe(_model())
    assert not any(module._forward_hooks for module in model.modules())
    assert different(snapshot(_trained(_model(), None)), snapshot(model))


def test_codes_leave_their_matrices_in_the_folder_and_a_new_speaker_learns_a_code_alone(tmp_path: Path) -> None:
    objective = SpeakerAdaptive("speaker-code", 0.5, 3)
    model = _trained(_model(), objective).eval()
    objective.settle(model)
    save_model(tmp_path / "model", model, "", {})
    loaded = load_model(tmp_path / "model")
    codes = codes_of(loaded)
    assert codes is not None and codes.size == 3 and not any(matrix.requires_grad for matrix in codes.parameters())
    inputs, lengths = torch.randn(2, 30, MELS), torch.tensor([30, 20])
    before, _ = loaded(inputs, lengths)
    add_adapter(loaded, AdapterSpec("speaker-code", 3))
    assert list(adapter_state(loaded)) == ["adapters.speaker-code.code"]
    assert torch.equal(before, loaded(inputs, lengths)[0])
    with torch.no_grad():
        loaded.adapters["speaker-code"].code.fill_(1.0)  # type: ignore[union-attr, operator]
    assert not torch.allclose(before, loaded(inputs, lengths)[0])


def test_a_row_is_heard_by_the_summary_of_other_items_of_its_speaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a row is modulated by in training is what the adapter `film` does with the same summary."""
    objective = SpeakerAdaptive("film", 0.5, 3)
    model = _trained(_model(), objective, steps=12).eval()
    many = objective.many
    assert isinstance(many, ManyFilms)
    owners, drawn = many.owners, many._others(4)
    assert 4 not in drawn and {owners[other] for other in drawn} <= {owners[4]}
    monkeypatch.setattr(many, "_others", lambda item: [item + 3])
    summary = many.shared[0].summary(statistics_of(many.sums[[7, 3]])).detach()
    inputs, lengths = torch.randn(3, 30, MELS, dtype=torch.float64), torch.tensor([30, 30, 30])
    plain, _ = model(inputs, lengths)
    with many.on(model, torch.tensor([1, 2, 0]), torch.tensor([True, False, True]), torch.tensor([4, 5, 0])):
        heard, _ = model(inputs, lengths)
    torch.testing.assert_close(heard[1], plain[1], rtol=0, atol=0)
    add_adapter(model, AdapterSpec("film", 3))
    for row, own in ((0, summary[0]), (2, summary[1])):
        with torch.no_grad():
            model.adapters["film"].summary.copy_(own)  # type: ignore[union-attr, operator]
        torch.testing.assert_close(heard[row], model(inputs, lengths)[0][row], rtol=1e-12, atol=1e-12)
        assert not torch.allclose(heard[row], plain[row], atol=1e-5)


def test_the_totals_of_a_speaker_are_those_of_his_items_as_they_were_heard_last() -> None:
    objective = SpeakerAdaptive("film", 0.5, 3)
    _trained(_model(), objective, steps=20)
    many = objective.many
    assert isinstance(many, ManyFilms) and bool((many.sums[:, 0] > 0).all()), "all items have been heard"
    for speaker, items in enumerate(many.items):
        torch.testing.assert_close(many.totals[speaker], many.sums[items].sum(0), rtol=1e-9, atol=1e-9)


def test_a_summary_is_zero_in_the_middle_of_the_training_speakers_and_its_statistics_ignore_padding() -> None:
    objective = SpeakerAdaptive("film", 0.5, 3)
    model = _trained(_model(), objective).eval()
    objective.settle(model)
    part = modulation_of(model)
    assert (
        part is not None and not part.summary(part.middle).any() and not any(p.requires_grad for p in part.parameters())
    )
    inputs, lengths = torch.randn(2, 30, MELS, dtype=torch.float64), torch.tensor([30, 17])
    inputs[1, 17:] = 0
    together = heard_sums(model, inputs, lengths)
    alone = heard_sums(model, inputs[1:, :17], lengths[1:])
    torch.testing.assert_close(together[1:], alone, rtol=1e-9, atol=1e-9)
    hidden, count = model.frontend(inputs[1:, :17], lengths[1:])
    valid = hidden[0, : int(count)].detach().numpy()
    expected = np.concatenate([valid.mean(0), valid.std(0)])
    np.testing.assert_allclose(statistics_of(alone[0]).numpy(), expected, rtol=1e-6, atol=1e-6)
    far = part.middle + 1e6 * part.spread
    near = part.summary(part.middle + 3 * part.spread.clamp(min=1e-3))
    torch.testing.assert_close(part.summary(far), near, rtol=1e-9, atol=1e-9, msg="no voice counts as farther")


def test_a_modulation_stands_in_the_folder_and_acts_by_a_summary_alone(tmp_path: Path) -> None:
    objective = SpeakerAdaptive("film", 0.5, 3)
    model = _trained(_model(), objective, steps=8).eval()
    objective.settle(model)
    save_model(tmp_path / "model", model, "", {})
    loaded = load_model(tmp_path / "model")
    inputs, lengths = torch.randn(2, 30, MELS), torch.tensor([30, 20])
    before, _ = loaded(inputs, lengths)
    add_adapter(loaded, AdapterSpec("film", 3))
    assert list(adapter_state(loaded)) == ["adapters.film.summary"]
    assert torch.equal(before, loaded(inputs, lengths)[0])
    with torch.no_grad():
        loaded.adapters["film"].summary.fill_(1.0)  # type: ignore[union-attr, operator]
    assert not torch.allclose(before, loaded(inputs, lengths)[0])
    with pytest.raises(ConfigError, match="this one was trained with summaries of 3 numbers"):
        add_adapter(load_model(tmp_path / "model"), AdapterSpec("film", 4))
    with pytest.raises(ConfigError, match="this one was trained with none"):
        add_adapter(_model(), AdapterSpec("film", 3))


def test_a_code_of_another_length_than_the_models_is_refused() -> None:
    objective = SpeakerAdaptive("speaker-code", 0.5, 3)
    model = _trained(_model(), objective, steps=1)
    objective.settle(model)
    with pytest.raises(ConfigError, match="trained with speaker codes of 3 numbers"):
        add_adapter(model, AdapterSpec("speaker-code", 4))


def test_one_speaker_is_refused() -> None:
    task = speech_task(_Speakers(("ann",)))
    with pytest.raises(ConfigError, match="needs several speakers, but there is one"):
        Trainer(_model(), [task], [(1.0, SpeakerAdaptive("lhuc"))], config=settings())
