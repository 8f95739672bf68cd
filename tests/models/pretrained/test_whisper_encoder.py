"""Whisper's encoder gives the published states, alone as in a batch, and is kept in our own folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.config import TopConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.inputs import WhisperMel
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.door import open_pretrained
from asr_transfer.models.pretrained.whisper_encoder import WhisperEncoderModel
from tests.models.pretrained.published import TINY, TOP, WHISPER, random_encoder, whisper_folder
from tests.real_runs import ROOT
from tests.small import different, snapshot

REAL = ROOT.parent / "shared" / "models" / "whisper-tiny"


def _states(model: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Return the states of the last layer, before frames are put side by side."""
    encoder = len([block for block in model.blocks() if not block.path.startswith("top")])
    hidden, _ = model.run(0, encoder, inputs, torch.full((len(inputs),), inputs.shape[1]))
    return hidden.unflatten(2, (2, -1)).flatten(1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_states_are_those_of_the_published_encoder(tmp_path: Path, dtype: torch.dtype) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.WhisperConfig(**WHISPER, decoder_layers=1, decoder_ffn_dim=8, decoder_attention_heads=2)
    torch.manual_seed(1)
    theirs = transformers.WhisperForConditionalGeneration(config)
    theirs.save_pretrained(tmp_path / "theirs")
    encoder = theirs.model.encoder.to(dtype).eval()
    inputs = torch.randn(2, 2 * TINY.positions, TINY.mels, dtype=dtype)
    with torch.no_grad():
        expected = encoder(inputs.transpose(1, 2)).last_hidden_state
        found = open_pretrained(tmp_path / "theirs", "ctc")
        states = _states(found.model.to(dtype), inputs)
    assert (states - expected).abs().max() < (1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/models/whisper-tiny")
def test_states_of_a_real_model_are_those_of_the_published_encoder() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.WhisperModel.from_pretrained(REAL, dtype=torch.float32).encoder.eval()
    inputs = 0.3 * torch.randn(1, 3000, 80, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = theirs(inputs.transpose(1, 2)).last_hidden_state
        states = _states(open_pretrained(REAL, "ctc").model, inputs)
    assert (states - expected).abs().max() < 1e-4


@pytest.mark.parametrize("length", [1, 2, 7, 31, 64])
def test_an_utterance_alone_gives_what_it_gives_in_a_batch(length: int) -> None:
    model = random_encoder({"en": 5})
    inputs = torch.randn(3, 64, 80, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        batch, lengths = model(inputs, torch.tensor([64, length, 20]))
        alone, (own,) = model(inputs[1:2, :length], torch.tensor([length]))
    assert own == lengths[1] == model.frames(length) == alone.shape[1]
    assert (batch[1, :own] - alone[0]).abs().max() < 1e-5


def test_silence_is_put_behind_short_recordings_where_the_model_wants_it() -> None:
    top = replace(TOP, least_seconds=1.5)
    model = WhisperEncoderModel(TINY, top, {"en": 5})
    assert random_encoder().inputs == WhisperMel() and model.inputs == WhisperMel(least_seconds=1.5)
    assert len(model.inputs.compute(torch.randn(SAMPLE_RATE))) == 150
    again = WhisperEncoderModel.from_plain(model.describe(), {"en": 5}, "here")
    assert again.inputs == model.inputs


def test_what_lies_behind_the_end_of_an_utterance_is_not_heard() -> None:
    model = random_encoder({"en": 5})
    inputs = torch.zeros(1, 30, 80)
    other = inputs.clone()
    other[:, 21:] = 9.0
    with torch.no_grad():
        (one, (count,)), (two, _) = model(inputs, torch.tensor([21])), model(other, torch.tensor([21]))
    assert torch.equal(one[:, :count], two[:, :count])


def test_longer_speech_than_positions_are_stored_goes_on_by_their_formula() -> None:
    model = random_encoder({"en": 5})
    with torch.no_grad():
        hidden, (count,) = model(torch.randn(1, 201, 80), torch.tensor([201]))
    assert hidden.shape == (1, count, 12) and count == 51 and bool(hidden.isfinite().all())


def test_a_bare_encoder_has_a_top_that_nobody_trained() -> None:
    bare = random_encoder()
    assert [block.path for block in bare.untrained()] == ["top.0", "top_norm"]
    assert [block.path for block in bare.published()] == ["front", "encoder.0", "encoder.1", "norm"]
    assert random_encoder({"en": 5}).untrained() == []


def test_our_own_folder_gives_the_same_bits_without_the_published_one(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "published")
    encoder = open_pretrained(folder, "ctc").model
    model = type(encoder)(TINY, TopConfig(layers=2, dim=5, joined=3), {"en": 4})
    model.load_state_dict(encoder.state_dict() | model.state_dict())
    Recogniser(model.eval(), Tokens(["a", "b", "c"]), "en", {}).save(tmp_path / "ours", "", {})
    (folder / "config.json").unlink()
    again = Recogniser.load(tmp_path / "ours")
    assert not different(snapshot(again.model), snapshot(model))
    assert again.model.describe() == model.describe() and again.model.inputs == WhisperMel()
    assert not again.model.get_parameter("front.positions").requires_grad
    inputs, lengths = torch.randn(2, 30, 80), torch.tensor([30, 22])
    assert torch.equal(
        again.logits(inputs, lengths)[0], Recogniser(model, again.tokens, "en", {}).logits(inputs, lengths)[0]
    )


def test_another_activation_than_can_be_computed_is_refused(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "other", {"activation_function": "relu"})
    with pytest.raises(ModelError, match=r"`activation_function` is 'relu', but only gelu can be computed"):
        open_pretrained(folder, "ctc")


@pytest.mark.parametrize(
    ("file", "field", "value", "message"),
    [
        ("preprocessor_config", "n_fft", 512, "`n_fft` is 512, but 400 is all that can be computed"),
        ("preprocessor_config", "feature_size", 128, "`feature_size` is 128, but the model hears 80"),
        ("config", "d_model", 15, "`d_model` must be a multiple of `encoder_attention_heads`, got 15 and 2"),
        ("config", "encoder_layers", 0, "`encoder_layers` must be from 1 to"),
    ],
)
def test_a_field_that_cannot_be_is_named_as_the_file_names_it(
    file: str, field: str, value: int, message: str, tmp_path: Path
) -> None:
    folder = whisper_folder(tmp_path / "whisper")
    own = folder / f"{file}.json"
    plain = json.loads(own.read_text(encoding="utf-8")) if own.is_file() else {}
    own.write_text(json.dumps({**plain, field: value}), encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        open_pretrained(folder, "ctc")
    assert str(caught.value).startswith(f"{own}: ")


def test_a_long_recording_is_heard_in_pieces_no_longer_than_the_trained_positions(tmp_path: Path) -> None:
    model = WhisperEncoderModel(replace(TINY, positions=50), TOP, {"en": 3}).eval()
    assert model.window == 1.0
    loud = [int((0.6 + 0.9 * n) * SAMPLE_RATE) for n in range(5)]  # beginnings of pauses of 0.3 s
    samples = np.random.default_rng(0).normal(0, 0.1, int(4.7 * SAMPLE_RATE)).astype(np.float32)
    for begin in loud:
        samples[begin : begin + int(0.3 * SAMPLE_RATE)] *= 0.001
    soundfile.write(tmp_path / "long.wav", samples, SAMPLE_RATE)
    utterance = Utterance("long", str(tmp_path / "long.wav"), len(samples) / SAMPLE_RATE, "", "", "en")
    spoken = Spoken([utterance], build_store([utterance], model.inputs, cache=tmp_path / "store"))
    recogniser = Recogniser(model, Tokens(["a", "b"]), "en", {})
    (heard,) = recogniser.listen_with(lambda frames: frames.batch.lengths.tolist(), spoken)  # type: ignore[union-attr]
    assert len(heard) > 4 and max(heard) <= 100 and abs(sum(heard) - 470) <= 1
    ends = np.cumsum(heard)[:-1] / 100
    assert all(any(begin / SAMPLE_RATE <= end <= begin / SAMPLE_RATE + 0.3 for begin in loud) for end in ends)
