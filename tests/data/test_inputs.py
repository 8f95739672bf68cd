"""Each kind of inputs against another implementation of it, in stores, in long recordings and in training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
import yaml
from torchaudio.compliance import kaldi

from asr_transfer import audio
from asr_transfer.cli import main
from asr_transfer.config import FEATURE_KINDS, FeatureConfig, ModelConfig, SpecAugmentConfig, without_later
from asr_transfer.data.digests import FileDigests
from asr_transfer.data.features import FeatureStore, JoinedStore, build_store, model_input
from asr_transfer.data.inputs import (
    KINDS,
    Inputs,
    KaldiFbank,
    LasrMel,
    LogMel,
    ParakeetMel,
    Waveform,
    WhisperMel,
    as_inputs,
    inputs_from_plain,
)
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.pieces import Pieces
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.plain import to_plain
from tests.adapting import adapt, recordings
from tests.tones import make_corpus

EVERY = [
    LogMel(20),
    LogMel(24, remove_offset=True),
    KaldiFbank(40, normalisation="none"),
    KaldiFbank(normalisation="speech-mean"),
    WhisperMel(),
    Waveform(),
    ParakeetMel(),
    LasrMel(),
]
every = pytest.mark.parametrize("inputs", EVERY, ids=lambda inputs: f"{inputs.kind} {getattr(inputs, 'mels', '')}")
TOKENS = Tokens(["a", "b", " "])


def _samples(count: int, seed: int = 0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    time = np.arange(count) / audio.SAMPLE_RATE
    tone = np.sin(2 * np.pi * (300 + 800 * time) * time)
    return torch.from_numpy((0.3 * tone + 0.02 * random.standard_normal(count) + 0.01).astype(np.float32))


@pytest.fixture
def make(tmp_path: Path, make_audio: Callable[..., Path]) -> Callable[[str, float], Utterance]:
    """Return a function that makes an utterance of noise."""
    return lambda name, seconds: Utterance(
        name, str(make_audio(tmp_path / f"{name}.wav", seconds)), seconds, "a", "s", "en"
    )


@pytest.mark.parametrize("count", [400, 401, 479, 480, 481, 559, 560, 8000, 16_079, 16_080])
def test_kaldis_filter_banks_are_torchaudios(count: int) -> None:
    samples = _samples(count)
    oracle = kaldi.fbank(samples[None], num_mel_bins=80, dither=0, snip_edges=False, high_freq=-400)
    ours = KaldiFbank(normalisation="none").compute(samples)
    assert ours.shape == ((count + 80) // 160, 80)
    torch.testing.assert_close(ours, oracle, rtol=0, atol=1e-5)


def test_faster_copies_of_the_shortest_recordings_have_frames_too() -> None:
    """Torchaudio refuses waves of less than a window, which speed copies of recordings of one are."""
    for count in (150, 239, 240, 364):
        found = KaldiFbank().analyse(_samples(count))
        assert found.shape == ((count + 80) // 160, 80) and bool(torch.isfinite(found).all())


def test_kaldis_filter_banks_of_other_windows_are_torchaudios() -> None:
    samples = _samples(5003)
    oracle = kaldi.fbank(
        samples[None], num_mel_bins=23, frame_length=32, frame_shift=12.5, dither=0, snip_edges=False, high_freq=-400
    )
    torch.testing.assert_close(KaldiFbank(23, 32, 12.5, "none").compute(samples), oracle, rtol=0, atol=1e-5)


def _whisper(samples: np.ndarray, mels: int) -> np.ndarray:
    """Return (time, mels) log-mels as Whisper's authors write them, in float64, with librosa's filters."""
    spectrum = librosa.stft(
        samples.astype(np.float64), n_fft=400, hop_length=160, window="hann", center=True, pad_mode="reflect"
    )
    power = np.abs(spectrum[:, :-1]) ** 2
    filters = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=mels).astype(np.float64)
    logs = np.log10(np.maximum(filters @ power, 1e-10))
    return ((np.maximum(logs, logs.max() - 8.0) + 4.0) / 4.0).T


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("count", [400, 559, 560, 16_039, 16_041])
def test_whispers_log_mels_are_those_of_the_formula(mels: int, count: int) -> None:
    samples = _samples(count)
    ours = WhisperMel(mels).compute(samples)
    assert ours.shape == (count // 160, mels)
    np.testing.assert_allclose(ours.numpy(), _whisper(samples.numpy(), mels), rtol=0, atol=2e-4)


def test_whispers_silence_behind_is_a_part_of_the_recording() -> None:
    samples = _samples(8000)
    ours = WhisperMel(least_seconds=30.0).compute(samples)
    assert ours.shape == (3000, 80)
    padded = np.pad(samples.numpy(), (0, 480_000 - 8000))
    np.testing.assert_allclose(ours.numpy(), _whisper(padded, 80), rtol=0, atol=2e-4)
    assert len(WhisperMel(least_seconds=0.25).compute(samples)) == 50, "longer ones stay as they are"


def test_a_waveform_has_mean_zero_and_variance_one_as_transformers_give_it() -> None:
    samples = _samples(5000).double().numpy()
    wanted = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    ours = Waveform().compute(torch.from_numpy(samples.astype(np.float32)))
    assert ours.shape == (5000, 1)
    np.testing.assert_allclose(ours[:, 0].numpy(), wanted, rtol=0, atol=1e-5)
    assert torch.equal(Waveform(normalised=False).compute(_samples(50)), _samples(50)[:, None])
    assert not Waveform().compute(torch.zeros(500)).any(), "silence stays silence"


def test_log_mels_have_the_key_that_they_had_before_there_were_others() -> None:
    assert json.dumps(LogMel().plain()) == json.dumps(
        {"mels": 80, "window_ms": 25.0, "hop_ms": 10.0, "normalisation": "utterance-mean"}
    )
    assert without_later(to_plain(ModelConfig()))["features"] == LogMel().plain()


def test_log_mels_without_the_windows_means_hear_no_offset() -> None:
    samples = _samples(8000)
    removing, hearing = LogMel(remove_offset=True), LogMel()
    torch.testing.assert_close(removing.analyse(samples + 0.1), removing.analyse(samples), rtol=0, atol=1e-3)
    assert (hearing.analyse(samples + 0.1) - hearing.analyse(samples)).abs().max() > 1
    first = samples[:400] - samples[:400].mean()
    torch.testing.assert_close(removing.analyse(samples)[0], hearing.analyse(first)[0], rtol=0, atol=1e-4)


def test_an_offset_is_removed_by_log_mels_alone() -> None:
    assert as_inputs(FeatureConfig(remove_offset=True)) == LogMel(remove_offset=True)
    assert LogMel(remove_offset=True).plain() == {**LogMel().plain(), "remove_offset": True}
    with pytest.raises(ConfigError, match=r"`features\.remove_offset` is for log-mels; kaldi-fbank is computed as"):
        FeatureConfig(kind="kaldi-fbank", remove_offset=True)


def test_a_store_of_log_mels_is_found_where_it_was(make: Callable[[str, float], Utterance], tmp_path: Path) -> None:
    """The folder's name, written down from the code before; the digest of the audio is its own."""
    utterance = make("u1", 0.5)
    digest = FileDigests(tmp_path / "digests.sqlite").of(utterance.audio)
    key = hashlib.sha256(
        b'[3, {"hop_ms": 10.0, "mels": 80, "normalisation": "utterance-mean", "window_ms": 25.0}, [1.0]]'
    )
    key.update(repr(("u1", digest, None, 0.5)).encode())
    store = build_store([utterance], FeatureConfig(), cache=tmp_path / "cache")
    assert store.folder.name == key.hexdigest()[:24]
    assert sorted(path.name for path in store.folder.iterdir()) == ["features.f16", "index.json", "statistics.npy"]


@every
def test_every_kind_comes_back_from_plain_values(inputs: Inputs) -> None:
    assert inputs_from_plain(json.loads(json.dumps(inputs.plain())), "index.json") == inputs
    assert len({as_key(other) for other in EVERY}) == len(EVERY)


def as_key(inputs: Inputs) -> str:
    return json.dumps(inputs.plain(), sort_keys=True)


@every
def test_a_store_gives_what_is_computed(
    inputs: Inputs, make: Callable[[str, float], Utterance], tmp_path: Path
) -> None:
    utterances = [make("u1", 0.5), make("u22", 0.3)]
    store = build_store(utterances, inputs, (1.0, 1.1), tmp_path / "cache")
    again = build_store(utterances, inputs, (1.0, 1.1), tmp_path / "cache")
    assert again.folder == store.folder and again.inputs == inputs
    for utterance in utterances:
        samples = torch.from_numpy(audio.read(utterance.audio))
        loaded = store.load(store.view(utterance.id))
        assert torch.equal(loaded, model_input(samples, inputs)) and loaded.dtype == torch.float32
        torch.testing.assert_close(loaded, inputs.compute(samples), rtol=0, atol=0.01)
    view = store.view("u1")
    assert torch.equal(store.load_part(view, 7, 19), store.load(view)[7:19])
    (tmp_path / "part").mkdir()
    store.save_part(tmp_path / "part", ["u22"])
    assert torch.equal(FeatureStore(tmp_path / "part").load(0), store.load(store.view("u22")))


@every
def test_costs_are_hundredths_of_a_second_and_long_recordings_are_cut(
    inputs: Inputs, make: Callable[[str, float], Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("WHOLE", 3.0), ("SHORTEST", 1.0), ("LONGEST", 2.0)):
        monkeypatch.setattr(f"asr_transfer.data.pieces.{name}", seconds)
    data = Spoken(
        [make("u1", 0.5), make("u22", 7.3)], build_store([make("u1", 0.5), make("u22", 7.3)], inputs, cache=tmp_path),
    )  # fmt: skip
    assert np.abs(data.costs() - [50, 730]).max() <= 2 and inputs.seconds(100) == pytest.approx(1.0)
    pieces = Pieces(data)
    assert 4 < len(pieces) < 9 and int(pieces.costs().max()) <= 200
    batch = pieces.collate(list(range(1, len(pieces))))
    assert batch.lengths is not None
    whole = torch.cat([row[:length] for row, length in zip(batch.inputs, batch.lengths, strict=True)])
    assert torch.equal(whole, data.store.load(data.view(1)))


def test_a_waveforms_masks_are_stretches_of_silence() -> None:
    inputs, lengths = torch.ones(200, 16_000, 1), torch.full((200,), 12_000)
    config = SpecAugmentConfig(frequency_masks=3, frequency_width=99, time_masks=1, time_width=20, time_fraction=1.0)
    masked = Waveform().augment(inputs, lengths, config, torch.Generator().manual_seed(1))
    lost = (masked[:, :, 0] == 0).sum(1)
    assert set((lost % 160).tolist()) == {0} and 18 * 160 <= int(lost.max()) <= 20 * 160 and int(lost.min()) == 0
    assert masked[:, 12_000:].all(), "masks stay inside the recordings"


@pytest.mark.parametrize("name", ["channel", "warp", "silence"])
def test_what_a_kind_does_not_allow_is_refused(
    name: str, make: Callable[[str, float], Utterance], tmp_path: Path
) -> None:
    utterance, config = make("u1", 0.5), SpecAugmentConfig(**{name: 0.1})
    for inputs in EVERY:
        store = build_store([utterance], inputs, cache=tmp_path / "cache")
        if name in inputs.augmentation:
            assert Spoken([utterance], store, TOKENS, spec_augment=config).spec_augment == config
        else:
            with pytest.raises(ConfigError, match=rf"`augment.{name}` .* kaldi-fbank, log-mel, not {inputs.kind}"):
                Spoken([utterance], store, TOKENS, spec_augment=config)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"kind": "kaldi-fbnk"}, r"x: `kind` of the inputs is 'kaldi-fbnk'\. Did you mean 'kaldi-fbank'\?"),
        ({"kind": 3}, "`kind` of the inputs is 3"),
        ({"kind": "waveform", "mels": 3}, "unknown key `mels`"),
        ({"kind": "whisper-mel", "mels": 40}, "80 or 128 `mels`, got 40"),
        ({"kind": "whisper-mel", "normalisation": "fixed"}, "the `normalisation` none"),
        ({"kind": "whisper-mel", "least_seconds": -1}, "from 0 to 60, got -1"),
    ],
)  # fmt: skip
def test_impossible_inputs_are_refused(plain: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        inputs_from_plain(plain, "x")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "kaldi-fbnk"}, r"`features.kind` is 'kaldi-fbnk'\. Did you mean 'kaldi-fbank'\?"),
        ({"kind": "kaldi-fbank", "normalisation": "fixed"}, "fixed shifts and scales log-mels, not kaldi-fbank"),
        ({"kind": "whisper-mel"}, "give the normalisation none"),
        ({"kind": "whisper-mel", "normalisation": "none", "mels": 64}, "80 or 128 `mels`"),
    ],
)  # fmt: skip
def test_impossible_features_of_a_model_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureConfig(**settings)


def test_features_that_a_model_can_be_trained_on_are_kinds_of_inputs() -> None:
    assert set(FEATURE_KINDS) == {*KINDS} - {"waveform", "parakeet-mel", "lasr-mel"}
    assert as_inputs(FeatureConfig(23, 32, 12.5, "none", "kaldi-fbank")) == KaldiFbank(23, 32, 12.5, "none")
    model = AcousticModel(ModelConfig(features=FeatureConfig(normalisation="none", kind="whisper-mel")), {"en": 3})
    assert model.inputs == WhisperMel() and model.frame_shift() == pytest.approx(0.04)


@pytest.fixture(scope="module")
def kaldi_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """Return the run folder of a model trained on Kaldi's filter banks by a settings file, and the manifests."""
    folder = tmp_path_factory.mktemp("kaldi")
    corpus = make_corpus(folder, 3)
    settings = {
        "model": {
            "encoder": "tdnn", "layers": 1, "dim": 8, "channels": 8,
            "features": {"kind": "kaldi-fbank", "normalisation": "none", "mels": 40},
        },
        "trainer": {"steps": 3, "validate_every": 0, "precision": "fp32", "device": "cpu"},
        "speeds": [1.0], "keep_judged": 0, "keep_source": 2,
    }  # fmt: skip
    (folder / "train.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = ["train", "--config", folder / "train.yaml", "--train", corpus["train"], "--test", corpus["test"]]
    assert main([str(word) for word in (*command, "--out", folder / "run")]) == 0
    return folder / "run", corpus


def test_a_model_is_trained_on_kaldis_filter_banks(kaldi_run: tuple[Path, dict[str, Path]]) -> None:
    out, _ = kaldi_run
    recogniser = Recogniser.load(out)
    assert recogniser.model.inputs == KaldiFbank(40, normalisation="none")
    assert FeatureStore(out / "model" / "source").inputs == recogniser.model.inputs
    assert yaml.safe_load((out / "model" / "config.yaml").read_text())["model"]["features"]["kind"] == "kaldi-fbank"


def test_it_is_adapted_and_transcribes(
    kaldi_run: tuple[Path, dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = kaldi_run
    own = recordings(tmp_path, "ida", 1.1, 4, 1)
    adapt(out, own, tmp_path / "run", "--method", "lin", "--steps", 2, "--device", "cpu", "--precision", "fp32")
    capsys.readouterr()
    assert main(["transcribe", "--model", str(tmp_path / "run"), str(next(own.glob("*.wav")))]) == 0
    assert Recogniser.load(tmp_path / "run").model.inputs == KaldiFbank(40, normalisation="none")


def test_a_wrong_kind_is_one_clear_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--train", "x.jsonl", "--out", str(tmp_path / "x"), "--model.features.kind", "kaldi-fbnk"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.endswith("`features.kind` is 'kaldi-fbnk'. Did you mean 'kaldi-fbank'?\n") and error.count("\n") == 1


def test_stores_of_other_inputs_do_not_join(make: Callable[[str, float], Utterance], tmp_path: Path) -> None:
    one, other = (build_store([make("u1", 0.5)], kind, cache=tmp_path) for kind in (LogMel(), KaldiFbank()))
    with pytest.raises(DataError, match="KaldiFbank.*not of LogMel"):
        JoinedStore(one, other, {"x": "u1"})
