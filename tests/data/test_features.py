"""Features are librosa's, computed once per content, and the same with and without a store."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import librosa
import numpy as np
import pytest
import soundfile
import torch

from asr_transfer import audio
from asr_transfer.config import FeatureConfig, Normalisation
from asr_transfer.data.features import Part, Request, build_store, build_stores, model_input
from asr_transfer.data.inputs import LogMel
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from asr_transfer.runs.workers import run_all

Make = Callable[[str, float], Utterance]


@pytest.fixture
def make(tmp_path: Path, make_audio: Callable[..., Path]) -> Make:
    """Return a function that makes an utterance of noise."""

    def utterance(name: str, seconds: float) -> Utterance:
        return Utterance(name, str(make_audio(tmp_path / f"{name}.wav", seconds)), seconds, "a", "s", "en")

    return utterance


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the growing list of recordings that were decoded."""
    seen: list[str] = []
    blocks = audio.blocks
    monkeypatch.setattr(audio, "blocks", lambda path, *rest: (seen.append(Path(path).stem), blocks(path, *rest))[1])
    return seen


def _samples(seconds: float = 1.3, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    tone = np.sin(2 * np.pi * (200 + 900 * time) * time)
    return (0.3 * tone + 0.02 * random.standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize(("mels", "window_ms", "hop_ms"), [(80, 25, 10), (40, 32, 10), (64, 20, 12.5)])
def test_log_mel_equals_librosa(mels: int, window_ms: float, hop_ms: float) -> None:
    samples = _samples()
    window, hop = round(16 * window_ms), round(16 * hop_ms)
    size = 512
    ends = (size - window) // 2
    reference = librosa.feature.melspectrogram(
        y=np.pad(samples, (ends, size - window - ends)).astype(np.float64), sr=16_000, n_fft=size, hop_length=hop,
        win_length=window, center=False, n_mels=mels, fmin=20.0, fmax=8000.0, htk=True, norm="slaney",
    )  # fmt: skip
    ours = LogMel(mels, window_ms, hop_ms).analyse(torch.from_numpy(samples))
    assert ours.shape == (1 + (len(samples) - window) // hop, mels)
    np.testing.assert_allclose(ours.numpy(), np.log(reference.T + 1e-6), rtol=1e-4, atol=1e-4)


def test_one_window_is_one_frame() -> None:
    assert LogMel().analyse(torch.randn(audio.MIN_SAMPLES)).shape == (1, 80)


def test_a_store_is_computed_once(make: Make, reads: list[str], tmp_path: Path) -> None:
    utterances = [make("u1", 0.5), make("u22", 0.7)]
    first = build_store(utterances, FeatureConfig(), (0.9, 1.0), tmp_path / "cache")
    assert reads == ["u1", "u22"]
    again = build_store(utterances, FeatureConfig(), (0.9, 1.0), tmp_path / "cache")
    assert reads == ["u1", "u22"]
    assert again.folder == first.folder
    assert torch.equal(again.load(3), first.load(3))
    assert not [path for path in (tmp_path / "cache").iterdir() if "partial" in path.name]


@pytest.mark.parametrize("what", ["bytes", "settings", "speeds", "start", "name", "list"])
def test_another_content_is_another_store(make: Make, what: str, tmp_path: Path) -> None:
    one, two = make("u1", 0.5), make("u22", 0.7)
    arguments: dict[str, Any] = {"utterances": [one, two], "config": FeatureConfig(), "speeds": (1.0,)}
    first = build_store(**arguments, cache=tmp_path / "cache")
    before = first.load(0)
    if what == "bytes":
        status = os.stat(one.audio)
        samples, rate = soundfile.read(one.audio)
        soundfile.write(one.audio, samples[::-1], rate)
        assert os.stat(one.audio).st_size == status.st_size
    elif what == "start":
        arguments["utterances"] = [Utterance("u1", one.audio, 0.3, "a", "s", "en", start=0.1), two]
    elif what == "name":
        arguments["utterances"] = [Utterance("other", one.audio, 0.5, "a", "s", "en"), two]
    else:
        arguments.update(
            {"settings": {"config": FeatureConfig(mels=40)}, "speeds": {"speeds": (1.0, 1.1)}}.get(what, {})
        )
        if what == "list":
            arguments["utterances"] = [one]
    second = build_store(**arguments, cache=tmp_path / "cache")
    assert second.folder != first.folder
    assert torch.equal(first.load(0), before)
    if what in ("bytes", "start"):
        assert second.load(0).shape != before.shape or not torch.equal(second.load(0), before)


def test_a_moved_corpus_finds_its_store(make: Make, reads: list[str], tmp_path: Path) -> None:
    utterance = make("u1", 0.5)
    first = build_store([utterance], FeatureConfig(), cache=tmp_path / "cache")
    moved = Path(utterance.audio).rename(tmp_path / "elsewhere.wav")
    again = build_store([Utterance("u1", str(moved), 0.5, "a", "s", "en")], FeatureConfig(), cache=tmp_path / "cache")
    assert (reads, again.folder) == (["u1"], first.folder)


@pytest.mark.parametrize("normalisation", ["utterance", "utterance-mean", "speech-mean", "fixed"])
def test_model_input_equals_the_store_bit_for_bit(normalisation: Any, make: Make, tmp_path: Path) -> None:
    utterances, config = [make("u1", 0.5), make("u22", 0.71)], FeatureConfig(normalisation=normalisation)
    store = build_store(utterances, config, (1.0, 1.1), tmp_path / "cache")
    for utterance in utterances:
        for speed in (1.0, 1.1):
            (samples,) = audio.change_speed([audio.read(utterance.audio)], speed)
            loaded = store.load(store.view(utterance.id, speed))
            assert torch.equal(loaded, model_input(torch.from_numpy(samples), config))
            assert loaded.dtype == torch.float32 and len(loaded) == store.length(store.view(utterance.id, speed))
    with pytest.raises(KeyError):
        store.view("u1", 0.9)


def test_normalisation_gives_mean_zero_and_deviation_one() -> None:
    samples = torch.from_numpy(_samples())
    both = model_input(samples, FeatureConfig(normalisation="utterance"))
    raw = model_input(samples, FeatureConfig(normalisation="fixed")) * 3.5 - 10.0
    torch.testing.assert_close(both.mean(0), torch.zeros(80), rtol=0, atol=2e-3)
    expected = raw.std(0, correction=0) / (raw.std(0, correction=0) + 0.1)
    torch.testing.assert_close(both.std(0, correction=0), expected, rtol=1e-2, atol=1e-2)
    mean_only = model_input(samples, FeatureConfig(normalisation="utterance-mean"))
    torch.testing.assert_close(mean_only, raw - raw.mean(0), rtol=0, atol=5e-3)
    assert torch.isfinite(model_input(torch.zeros(4000), FeatureConfig())).all()


def test_the_mean_of_speech_leaves_quieter_frames_out() -> None:
    block = torch.full((10, 4), -14.0)
    block[6:] = torch.tensor([-2.0, -3.0, -4.0, -1.0])  # speech is the smaller part
    mean, _ = LogMel(mels=4, normalisation="speech-mean").statistics(lambda: [block])
    torch.testing.assert_close(mean, block[6])


def test_a_part_of_a_view_is_normalised_as_the_whole_is(make: Make, tmp_path: Path) -> None:
    for normalisation in get_args(Normalisation):
        store = build_store([make("u1", 1.0)], FeatureConfig(normalisation=normalisation), cache=tmp_path / "cache")
        assert torch.equal(store.load_part(0, 20, 50), store.load(0)[20:50])


def test_a_part_of_a_file_has_the_features_of_that_part(make: Make, tmp_path: Path) -> None:
    whole = make("u1", 1.0)
    part = Utterance("part", whole.audio, 0.5, "a", "s", "en", start=0.25)
    store = build_store([part], FeatureConfig(), cache=tmp_path / "cache")
    samples = torch.from_numpy(audio.read(whole.audio)[4000:12000])
    torch.testing.assert_close(store.load(0), model_input(samples, FeatureConfig()), rtol=1e-4, atol=1e-4)


def test_unreadable_recordings_are_all_named_and_nothing_is_kept(make: Make, tmp_path: Path) -> None:
    utterances = [make("u1", 0.5), make("bad1", 0.5), make("bad22", 0.5)]
    for utterance in utterances[1:]:
        Path(utterance.audio).write_bytes(b"no audio")
    with pytest.raises(DataError, match=r"bad1\.wav.*bad22\.wav"):
        build_store(utterances, FeatureConfig(), cache=tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["digests.sqlite"]
    with pytest.raises(DataError, match=r"gone\.wav: there is no such audio file"):
        build_store([Utterance("x", "gone.wav", 1.0, "a", "s", "en")], FeatureConfig(), cache=tmp_path / "cache")


def test_a_damaged_store_is_computed_again(make: Make, reads: list[str], tmp_path: Path) -> None:
    utterance = make("u1", 0.5)
    first = build_store([utterance], FeatureConfig(), cache=tmp_path / "cache")
    expected, features = first.load(0), first.folder / "features.f16"
    features.write_bytes(features.read_bytes()[:100])
    again = build_store([utterance], FeatureConfig(), cache=tmp_path / "cache")
    assert torch.equal(again.load(0), expected) and reads == ["u1", "u1"]
    (first.folder / "index.json").write_text("{")
    assert torch.equal(build_store([utterance], FeatureConfig(), cache=tmp_path / "cache").load(0), expected)
    assert json.loads((first.folder / "index.json").read_text())["views"] == [["u1", 1.0]]


def test_a_damaged_list_of_digests_is_made_anew(make: Make, tmp_path: Path) -> None:
    first = build_store([make("u1", 0.5)], FeatureConfig(), cache=tmp_path / "cache")
    for content in ("", "no database", "SQLite format 3\0 cut off"):
        (tmp_path / "cache" / "digests.sqlite").write_text(content)
        assert build_store([make("u1", 0.5)], FeatureConfig(), cache=tmp_path / "cache").folder == first.folder


def _backwards(function: Callable[[Part], Any], parts: Sequence[Part]) -> list[Any]:
    """Run parts from the last to the first, as plain bytes go to other processes and come back."""
    return [pickle.loads(pickle.dumps(function(pickle.loads(pickle.dumps(part))))) for part in reversed(parts)]


def _in_processes(function: Callable[[Part], Any], parts: Sequence[Part]) -> Iterator[Any]:
    return run_all(function, parts, 2, "features")


@pytest.mark.parametrize("run", [_backwards, _in_processes])
def test_parts_computed_anywhere_give_the_same_bytes(run: Any, make: Make, tmp_path: Path) -> None:
    utterances = [make(f"u{n * '1'}", 0.4 + 0.11 * n) for n in range(1, 7)]
    requests = [
        Request(utterances, FeatureConfig(), (0.9, 1.0)),
        Request(utterances[2:], FeatureConfig(mels=40)),
        Request(utterances, FeatureConfig(), (0.9, 1.0)),
    ]
    seen: list[Part] = []

    def watched(function: Any, parts: Sequence[Part]) -> Any:
        seen.extend(parts)
        return run(function, parts)

    stores = build_stores(requests, watched, tmp_path / "parts", seconds=1.0)
    assert [part.place for part in seen] == [0, 1, 2, 0, 1], "of equal requests one is computed"
    assert stores[0].folder == stores[2].folder
    for wanted, store in zip(requests, stores, strict=True):
        whole = build_store(wanted.utterances, wanted.config, wanted.speeds, tmp_path / "whole")
        assert whole.folder.name == store.folder.name
        files = sorted(path.name for path in whole.folder.iterdir())
        assert files == sorted(path.name for path in store.folder.iterdir()) and len(files) == 3
        assert all((whole.folder / name).read_bytes() == (store.folder / name).read_bytes() for name in files)
    build_stores(requests, lambda function, parts: pytest.fail("is there already"), tmp_path / "parts")


def test_what_cannot_be_read_is_named_over_all_parts_and_other_stores_stay(make: Make, tmp_path: Path) -> None:
    utterances = [make("u1", 0.5), make("bad1", 0.5), make("u22", 0.5), make("bad22", 0.5)]
    for utterance in utterances[1::2]:
        Path(utterance.audio).write_bytes(b"no audio")
    good, bad = Request(utterances[::2], FeatureConfig()), Request(utterances, FeatureConfig())
    with pytest.raises(DataError) as whole:
        build_store(utterances, FeatureConfig(), cache=tmp_path / "whole")
    with pytest.raises(DataError) as parted:
        build_stores([good, bad], lambda function, parts: map(function, parts), tmp_path / "cache", seconds=0.1)
    assert str(parted.value) == str(whole.value)
    (kept,) = [path for path in (tmp_path / "cache").iterdir() if path.name != "digests.sqlite"]
    assert build_store(utterances[::2], FeatureConfig(), cache=tmp_path / "cache").folder == kept
