"""A recording of any length is read, analysed and recognised in pieces: the same texts, bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from asr_transfer import audio
from asr_transfer.cli import main
from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.data import pieces
from asr_transfer.data.features import build_store
from asr_transfer.data.inputs import Inputs, KaldiFbank, LogMel, Waveform, WhisperMel
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.pieces import LONGEST, SHORTEST, WHOLE, Pieces, cut_at_pauses
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding import recogniser as recognising
from asr_transfer.decoding.identify import head_scores
from asr_transfer.decoding.recogniser import BATCH_FRAMES, Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.errors import DataError
from asr_transfer.evaluation.scoring import score
from asr_transfer.models.acoustic import AcousticModel
from tests.small import MELS, in_child, small_model
from tests.tones import WORDS, speak

FEATURES = FeatureConfig(mels=MELS)
ALPHABET = Tokens(list("abc "))


@pytest.fixture
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all that counts as long twenty times shorter."""
    monkeypatch.setattr(audio, "BLOCK", audio.BLOCK / 20)
    for name in ("WHOLE", "SHORTEST", "LONGEST"):
        monkeypatch.setattr(pieces, name, getattr(pieces, name) / 20)


def _noise(path: Path, seconds: float, rate: int = 16_000, channels: int = 1) -> Utterance:
    random = np.random.default_rng(round(1000 * seconds))
    samples = random.standard_normal((round(seconds * rate), channels)) * random.uniform(0.01, 0.2, (1, channels))
    soundfile.write(path, samples.clip(-1, 1), rate)
    return Utterance(path.stem, str(path), seconds, "", "s", "en")


def _speech(utterances: list[Utterance], tmp_path: Path) -> Spoken:
    store = build_store(utterances, FEATURES, cache=tmp_path / "cache")
    return Spoken(utterances, store)


def _batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the growing list of (utterances, frames) that a model is given at once."""
    seen: list[tuple[int, int]] = []
    forward = AcousticModel.forward

    def watched(self: AcousticModel, inputs: torch.Tensor, lengths: Any) -> Any:
        seen.append((inputs.shape[0], inputs.shape[1]))
        return forward(self, inputs, lengths)

    monkeypatch.setattr(AcousticModel, "forward", watched)
    return seen


@pytest.mark.parametrize(("rate", "channels", "ending"), [(16_000, 1, "wav"), (44_100, 2, "flac"), (8_000, 1, "ogg")])
@pytest.mark.parametrize(("start", "duration"), [(None, None), (0.7131, None), (0.25, 3.2), (3.9, 0.06)])
def test_blocks_are_what_is_read_at_once(
    rate: int, channels: int, ending: str, start: Any, duration: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _noise(tmp_path / f"a.{ending}", 4.03, rate, channels).audio
    whole = audio.read(file, start, duration)
    for block in np.random.default_rng(rate).uniform(0.05, 5, 4):
        monkeypatch.setattr(audio, "BLOCK", block)
        recording = audio.Recording(file, start, duration)
        for _ in range(2):
            found = list(recording)
            assert np.array_equal(np.concatenate(found), whole)
            assert max(map(len, found)) <= 16_000 * block + 2000, "a resampler gives what it kept of the last block too"
        fast = np.concatenate(list(audio.change_speed(recording, 0.9)))
        assert np.array_equal(fast, next(iter(audio.change_speed([whole], 0.9))))


def test_damage_is_told_where_it_is_reached(tmp_path: Path, shorter: None) -> None:
    file = Path(_noise(tmp_path / "a.wav", 8.0).audio)
    samples, rate = soundfile.read(file, dtype="float32")
    samples[-5] = np.nan
    soundfile.write(file, samples, rate, subtype="FLOAT")
    found = iter(audio.blocks(file))
    next(found)
    with pytest.raises(DataError, match=r"a\.wav: holds samples that are not finite"):
        list(found)
    with pytest.raises(DataError, match=r"a\.wav: holds samples that are not finite"):
        _speech([Utterance("a", str(file), 8.0, "", "s", "en")], tmp_path)
    with pytest.raises(DataError, match="5.00 to 9.00 s is asked for but the file lasts 8.00 s"):
        list(audio.blocks(file, 5.0, 4.0))


@pytest.mark.parametrize(
    "inputs",
    [LogMel(MELS), LogMel(40, 32), LogMel(20, 20, 12.5), LogMel(20, 5, 12), KaldiFbank(), WhisperMel(128), Waveform()],
    ids=["usual", "long windows", "longer steps", "gaps", "kaldi-fbank", "whisper-mel", "waveform"],
)
def test_inputs_of_blocks_are_those_of_the_whole(inputs: Inputs) -> None:
    random = np.random.default_rng(1)
    samples = torch.from_numpy(random.standard_normal(50_123).astype(np.float32))
    whole = inputs.analyse(samples)
    for most in (37, 300, 4000, 60_000):
        cuts = np.cumsum(random.integers(1, most, 60_000 // most * 2 + 1))
        found = list(inputs.blocks(torch.tensor_split(samples, cuts[cuts < len(samples)].tolist())))
        torch.testing.assert_close(torch.cat(found), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalisation", ["utterance", "utterance-mean", "speech-mean", "fixed"])
def test_features_computed_in_blocks_are_those_computed_at_once(
    normalisation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = FeatureConfig(mels=MELS, normalisation=normalisation)
    utterances = [_noise(tmp_path / "a.wav", 7.3, 22_050), _noise(tmp_path / "b.wav", 1.0)]
    utterances.append(replace(utterances[0], id="part", start=1.5, duration=4.0))
    whole = build_store(utterances, config, (1.0, 1.1), tmp_path / "whole")
    monkeypatch.setattr(audio, "BLOCK", 1.7)
    blocks = build_store(utterances, config, (1.0, 1.1), tmp_path / "blocks")
    assert np.array_equal(whole.offsets, blocks.offsets)
    for view in range(len(whole)):
        torch.testing.assert_close(blocks.load(view), whole.load(view), rtol=1e-3, atol=2e-3)
        part = blocks.load_part(view, 20, 60)
        assert torch.equal(part, blocks.load(view)[20:60]), "parts are normalised as the whole is"
        raw = torch.from_numpy(blocks.frames[blocks.offsets[view] : blocks.offsets[view + 1]].astype(np.float32))
        torch.testing.assert_close(blocks.loudness(view), raw.mean(1))
    b = whole.view("b")
    assert torch.equal(blocks.load(b), whole.load(b)), "what is short stays as it was, bit for bit"


@pytest.mark.parametrize("seconds", [0.03, 20, 59.99, 60, 60.01, 61, 80, 99.5, 100.2, 1000])
@pytest.mark.parametrize("per_second", [100.0, 80.0])
def test_pieces_hold_every_frame_once_and_are_never_too_long(seconds: float, per_second: float) -> None:
    frames = max(1, round(seconds * per_second))
    generator = torch.Generator().manual_seed(frames)
    for loudness in (torch.randn(frames, generator=generator), torch.zeros(frames), -torch.arange(frames) / 100):
        found = cut_at_pauses(loudness, per_second)
        assert [first for first, _ in found] == [0, *(last for _, last in found[:-1])] and found[-1][1] == frames
        if seconds <= WHOLE:
            assert found == [(0, frames)]
        else:
            lengths = [(last - first) / per_second for first, last in found]
            assert min(lengths) >= SHORTEST and max(lengths) <= LONGEST


def test_cuts_fall_into_pauses() -> None:
    random = torch.Generator().manual_seed(0)
    loudness = torch.randn(30_000, generator=random) - 3
    quiet = [2700, 5900, 9300, 11_800, 15_000, 18_100, 21_600, 24_900, 27_500]
    for middle in quiet:
        loudness[middle - 20 : middle + 20] -= 5
    loudness[3000] = loudness[3300] = -99  # quieter, but no pause
    cuts = [last for _, last in cut_at_pauses(loudness, 100)[:-1]]
    assert all(min(abs(cut - middle) for middle in quiet) < 20 for cut in cuts) and len(cuts) >= 7


def _spoken(path: Path, sentences: list[str]) -> Utterance:
    """Write sentences in tones behind each other, a space between two; each begins and ends quietly."""
    texts = [*(f"{text} " for text in sentences[:-1]), sentences[-1]]
    samples = np.concatenate([speak(text, 1.0, number) for number, text in enumerate(texts)])
    soundfile.write(path, samples, audio.SAMPLE_RATE)
    return Utterance(path.stem, str(path), len(samples) / audio.SAMPLE_RATE, " ".join(sentences), "s", "en")


def test_a_long_recording_is_heard_as_its_parts_are(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    sentences = [" ".join(random.choice(WORDS, 3)) for _ in range(80)]
    long = _spoken(tmp_path / "long.wav", sentences)
    assert long.duration > 2 * LONGEST
    seen = _batches(monkeypatch)
    assert main(["transcribe", "--model", str(tone_run), long.audio]) == 0
    heard = capsys.readouterr().out.removesuffix("\n").split("\t")[1]
    assert sum(items for items, _ in seen) >= 3 and max(frames for _, frames in seen) <= 100 * LONGEST
    recogniser = Recogniser.load(tone_run)
    assert recogniser.transcribe([long.audio]) == [heard]
    store = build_store([long], recogniser.model.inputs, cache=tmp_path / "cache")
    parts = Pieces(Spoken([long], store))
    each = [parts.collate([number]) for number in range(len(parts))]
    assert heard == " ".join(recogniser.decode(*recogniser.logits(p.inputs, p.lengths))[0].text for p in each)
    # Heard at once it is the same but for words at the cuts.
    whole = store.load(0)[None]
    (at_once,) = recogniser.decode(*recogniser.logits(whole, torch.tensor([whole.shape[1]])))
    assert score([at_once.text], [heard]).cer < 0.03


def test_a_model_that_writes_no_spaces_gets_none_between_pieces(tmp_path: Path, shorter: None) -> None:
    data = _speech([_noise(tmp_path / "a.wav", 9.0)], tmp_path)
    for symbols in ("abcd", "abc "):
        listener = Recogniser(small_model().eval(), Tokens(list(symbols)), "main", {})
        monotone = torch.tensor([0.0, 9.0, 0.0, 0.0, 0.0])
        with torch.no_grad():
            listener.model.head("main").weight.zero_()
            listener.model.head("main").bias.copy_(monotone)
        assert listener.listen(data) == [(" " if " " in symbols else "").join("a" * len(Pieces(data)))]


def test_no_batch_is_larger_than_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = _noise(tmp_path / "one.wav", 150.0, 8000)
    many = [one, *(replace(one, id=f"m{n}", start=3.0 * n, duration=25.0 + n) for n in range(20))]
    data, seen = _speech(many, tmp_path), _batches(monkeypatch)
    listener = Recogniser(small_model().eval(), ALPHABET, "main", {})
    texts = listener.listen(data)
    assert all(items * frames <= BATCH_FRAMES for items, frames in seen)
    assert texts[3] == listener.listen(_speech([many[3]], tmp_path))[0]
    assert len(listener.posteriors(data)[0]) == pytest.approx(7500, abs=10)


def test_all_ways_of_listening_hear_the_same_pieces(
    tmp_path: Path, shorter: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _speech([_noise(tmp_path / "a.wav", 9.0), _noise(tmp_path / "b.wav", 2.0)], tmp_path)
    parts = Pieces(data)
    assert [parts.utterance(n).id for n in range(len(parts))] == ["a"] * (len(parts) - 1) + ["b"] and len(parts) > 4
    listener = Recogniser(small_model(heads={"main": 5, "other": 5}).eval(), ALPHABET, "main", {})
    each = [parts.collate([n]) for n in range(len(parts))]
    with torch.no_grad():
        logits = [listener.logits(batch.inputs, batch.lengths)[0][0] for batch in each]
    first, _ = listener.posteriors(data)
    torch.testing.assert_close(first, torch.cat(logits[:-1]).log_softmax(-1))
    # A language's score is the mean over all frames, not over pieces.
    apart = []
    for log_probs in (block.log_softmax(-1) for block in logits[:-1]):
        apart.append((log_probs.exp() * log_probs).sum(-1) - 0.5 * log_probs[:, 0])
    assert head_scores(listener, data, ["main", "other"])[0]["main"] == pytest.approx(float(torch.cat(apart).mean()))
    given: list[tuple[int, int]] = []

    def adapted(model: Any, head: str, batches: Any, config: Any) -> Iterator[tuple[Any, ...]]:
        for _, batch in batches:
            given.append(tuple(batch.inputs.shape[:2]))
            hidden, lengths = listener.model(batch.inputs, batch.lengths)
            yield batch, hidden, listener.model.head(head)(hidden), lengths

    expected = listener.listen(data)
    monkeypatch.setattr(recognising, "adapted_outputs", adapted)
    assert replace(listener, test_time=SutaConfig()).listen(data) == expected
    assert given == [(1, frames) for frames in parts.costs()]


def test_a_long_recording_is_no_word(tmp_path: Path, shorter: None) -> None:
    lexicon = Lexicon.from_pairs([("a", "a"), ("b", "b")])
    listener = Recogniser(small_model().eval(), Tokens(list("abcd"), "phones"), "main", {}, lexicon=lexicon)
    data = _speech([_noise(tmp_path / "a.wav", 9.0), _noise(tmp_path / "b.wav", 2.0)], tmp_path)
    with pytest.raises(DataError, match="'a': lasts 9 s, but each recording is taken for a single word .* --sentences"):
        listener.listen(data)


def _recognise_and_tell(file: Path, cache: Path, told: Path) -> None:
    """Recognise a recording in this process, and write by how many MB its memory grew at most."""
    torch.manual_seed(0)
    features = FeatureConfig()
    network = ModelConfig("tdnn", layers=2, dim=64, channels=64, features=features)
    listener = Recogniser(AcousticModel(network, {"main": len(ALPHABET)}).eval(), ALPHABET, "main", {})
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest so far
    before = _megabytes("VmRSS")
    utterance = Utterance("a", str(file), audio.probe(file).duration, "", "s", "en")
    store = build_store([utterance], features, cache=cache)
    (text,) = listener.listen(Spoken([utterance], store))
    told.write_text(f"{_megabytes('VmHWM') - before} {len(text)}")


def _megabytes(what: str) -> float:
    return int(re.findall(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells how much memory was used at most")
def test_twenty_minutes_take_little_memory(tmp_path: Path) -> None:
    file, told = tmp_path / "a.wav", tmp_path / "told"
    minute = np.random.default_rng(0).integers(-3000, 3000, 60 * 16_000, dtype=np.int16)
    with soundfile.SoundFile(file, "w", 16_000, 1) as out:
        for _ in range(20):
            out.write(minute)
    in_child(_recognise_and_tell, file, tmp_path / "cache", told).join()
    grown, letters = map(float, told.read_text().split())
    assert letters > 100
    assert grown < 150, "read and analysed at once they take 700 MB"
