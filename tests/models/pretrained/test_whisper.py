"""A whole Whisper gives the published logits, and is kept in our own folders with its tokenizer."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from asr_transfer.decoding.folder import speaks_many
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.contract import SequenceModel
from asr_transfer.models.pretrained import whisper_decoder_layers
from asr_transfer.models.pretrained.door import open_pretrained
from tests.models.pretrained.whole_whisper import features, mark, write_whisper

TEXT = [[mark("startoftranscript"), mark("en"), mark("transcribe"), mark("notimestamps"), 72, 73, 74]] * 2


def _model(folder: Path) -> SequenceModel:
    model = open_pretrained(folder).model
    assert isinstance(model, SequenceModel)
    return model


def test_logits_are_those_of_the_published_model(tmp_path: Path) -> None:
    theirs = write_whisper(tmp_path / "published").double()
    model, inputs, tokens = (
        _model(tmp_path / "published").double(),
        features(2, dtype=torch.float64),
        torch.tensor(TEXT),
    )
    with torch.no_grad():
        expected = theirs(input_features=inputs.transpose(1, 2), decoder_input_ids=tokens).logits
        states, lengths = model(inputs, torch.full((2,), inputs.shape[1]))
        logits = model.head("text")(model.follow(tokens, model.begin(states)))
    assert lengths.tolist() == [100, 100]
    assert (logits - expected).abs().max() < 1e-6


def test_tokens_one_by_one_give_what_all_at_once_give(tmp_path: Path) -> None:
    write_whisper(tmp_path / "published")
    model, tokens = _model(tmp_path / "published").double(), torch.tensor(TEXT)
    with torch.no_grad():
        states, _ = model(features(2, dtype=torch.float64), torch.full((2,), 200))
        whole = model.follow(tokens, model.begin(states))
        state = model.begin(states)
        parts = [model.follow(tokens[:, :4], state), *(model.follow(tokens[:, n : n + 1], state) for n in (4, 5, 6))]
    assert (torch.cat(parts, 1) - whole).abs().max() < 1e-10


def test_several_hypotheses_share_the_states_of_their_utterance(tmp_path: Path) -> None:
    write_whisper(tmp_path / "published")
    model = _model(tmp_path / "published").double()
    tokens = torch.tensor([[mark("startoftranscript"), row] for row in (65, 66, 67, 68)])
    with torch.no_grad():
        states, _ = model(features(2, dtype=torch.float64), torch.full((2,), 200))
        shared, alone = model.begin(states), model.begin(states.repeat_interleave(2, 0))
        found, expected = model.follow(tokens, shared), model.follow(tokens, alone)
    assert (found - expected).abs().max() < 1e-10


def test_a_piece_shorter_than_the_window_is_heard_with_silence_behind_it(tmp_path: Path) -> None:
    write_whisper(tmp_path / "published")
    model, piece = _model(tmp_path / "published"), features(1)[:, :120]
    silent = torch.full((1, 80, 80), float(piece.max()) - 2.0)
    with torch.no_grad():
        whole, _ = model(torch.cat([piece, silent], 1), torch.tensor([200]))
        short, _ = model(torch.nn.functional.pad(piece, (0, 0, 0, 7), value=9.0), torch.tensor([120]))
    assert torch.equal(short, whole)


def test_a_saved_model_is_the_same_bits_and_needs_nothing_else(tmp_path: Path) -> None:
    write_whisper(tmp_path / "published")
    first = Recogniser.load(tmp_path / "published")
    first.save(tmp_path / "ours", "card", {})
    again = Recogniser.load(tmp_path / "ours")
    assert speaks_many(tmp_path / "published") and speaks_many(tmp_path / "ours")
    assert again.tokens == first.tokens and again.tokens.encode("ab") == first.tokens.encode("ab")
    assert all(torch.equal(t, again.model.state_dict()[n]) for n, t in first.model.state_dict().items())
    (tmp_path / "ours" / "tokens.json").write_text("{}")
    with pytest.raises(Exception, match=r"tokens.json: is damaged or not the one that tokens.txt belongs to"):
        Recogniser.load(tmp_path / "ours")


def test_a_copy_has_an_embedding_of_its_own(tmp_path: Path) -> None:
    write_whisper(tmp_path / "published")
    model = _model(tmp_path / "published")
    copied = copy.deepcopy(model)
    before = model.head("text")(torch.ones(1, 16))
    with torch.no_grad():
        copied.get_parameter("decoder.embedding.tokens.weight").zero_()
    assert not copied.head("text")(torch.ones(1, 16)).any()
    assert torch.equal(model.head("text")(torch.ones(1, 16)), before)


def test_a_folder_without_tokenizer_or_of_another_activation_is_refused(tmp_path: Path) -> None:
    write_whisper(tmp_path / "published")
    (tmp_path / "published" / "tokenizer.json").rename(tmp_path / "kept.json")
    with pytest.raises(ModelError, match=r"tokenizer.json: the tokenizer is missing; copy it"):
        open_pretrained(tmp_path / "published")
    (tmp_path / "published" / "tokenizer.json").write_text("no tokenizer")
    with pytest.raises(ModelError, match="the tokenizer is damaged"):
        open_pretrained(tmp_path / "published")
    write_whisper(tmp_path / "other", activation_function="relu")
    with pytest.raises(ModelError, match="`activation_function` is 'relu', but only 'gelu' can be computed"):
        open_pretrained(tmp_path / "other")


def _followed_by_silence(sounding: list[int], steps: int = 200) -> torch.Tensor:
    """Return features of windows, of each of which so many frames are no silence."""
    inputs = features(len(sounding), dtype=torch.float64)[:, :steps]
    for row, end in zip(inputs, sounding, strict=True):
        row[end:] = row.min() - 1.0
    return inputs


def test_windows_end_behind_the_last_sound_in_training_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_decoder_layers, "LEAST", 40)
    monkeypatch.setattr(whisper_decoder_layers, "BEHIND", 10)
    write_whisper(tmp_path / "published")
    model, whole = _model(tmp_path / "published").double(), torch.full((2,), 200)
    for sounding, frames in (([61, 35], 35), ([12, 9], 20), ([200, 3], 100), ([196, 3], 100)):
        inputs = _followed_by_silence(sounding)
        states, lengths = model.train()(inputs, whole)
        assert states.shape[1] == frames and lengths.tolist() == [frames, frames]
        front, _ = model.eval().run(0, 1, inputs, whole)
        assert front.shape[1] == 100, "what is listened to is a whole window"
        shorter, _ = model.run(1, model.hearing(), front[:, : frames - 1], lengths - 1)
        masked = inputs.clone()
        masked[:, :, 3:9] = 0.0
        assert model.train()(masked, whole)[0].shape[1] == frames, "masked bands are no sounds"
        again, _ = model.train().run(
            1, model.hearing(), model.run(0, 1, inputs, whole)[0][:, : frames - 1], lengths - 1
        )
        torch.testing.assert_close(again, shorter)
