"""sherpa-onnx writes what our models write, whichever features they hear."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from asr_transfer.data.tokens import Tokens
from asr_transfer.deployment import ExportOptions, Source, export
from asr_transfer.deployment.agreement import noises
from asr_transfer.deployment.sherpa_onnx import as_sherpa_scales, no_tokens
from asr_transfer.deployment.spectra import Unscaled
from asr_transfer.deployment.tracing import run, session
from asr_transfer.errors import ConfigError
from asr_transfer.models.contract import SpeechModel
from tests.deployment.models import HEADS, acoustic, made, source
from tests.models.pretrained.whole_whisper import write_whisper

sherpa_onnx: Any = pytest.importorskip("sherpa_onnx")
FBANK = {"kind": "kaldi-fbank", "normalisation": "none"}


def opened(folder: Path, door: str) -> Any:
    """Open an exported folder as its README says."""
    files = {name: str(folder / f"{name}.{end}") for name, end in (("model", "onnx"), ("tokens", "txt"))}
    return getattr(sherpa_onnx.OfflineRecognizer, door)(**files)


def result(recogniser: Any, wave: torch.Tensor) -> Any:
    """Return what sherpa-onnx recognises."""
    stream = recogniser.create_stream()
    stream.accept_waveform(16000, wave.numpy())
    recogniser.decode_stream(stream)
    return stream.result


@torch.no_grad()
def best(model: SpeechModel, wave: torch.Tensor) -> list[int]:
    """Return the likeliest token of each frame."""
    fed = model.inputs.compute(wave)
    return model.head("en")(model(fed[None], torch.tensor([len(fed)]))[0])[0].argmax(1).tolist()


def text(target: Source, wave: torch.Tensor) -> str:
    """Return what the model writes."""
    found = torch.tensor(best(target.recogniser.model, wave))
    return target.recogniser.tokens.decode(torch.unique_consecutive(found).tolist())


@pytest.mark.parametrize(
    ("model", "door"),
    [
        (acoustic("bilstm", **FBANK), "from_zipformer_ctc"),
        (acoustic("tdnn", kind="kaldi-fbank"), "from_zipformer_ctc"),
        (acoustic("bilstm"), "from_omnilingual_asr_ctc"),
        (made("whisper"), "from_omnilingual_asr_ctc"),
        (made("whisper, silence"), "from_omnilingual_asr_ctc"),
        (made("wav2vec2"), "from_omnilingual_asr_ctc"),
    ],
    ids=["fbank", "fbank, mean taken", "log-mel", "whisper-mel", "whisper-mel, silence", "waveform"],
)
def test_sherpa_onnx_writes_what_the_model_writes(model: SpeechModel, door: str, tmp_path: Path) -> None:
    target = source(model, tmp_path)
    done = export(target, "sherpa-onnx", tmp_path / "out", ExportOptions())
    assert done.check["same_texts"] == {"equal": 3, "of": 3} and door in (tmp_path / "out" / "test.py").read_text()
    there = opened(tmp_path / "out", door)
    for wave in noises((0.8, 3.3)):
        assert result(there, wave).text.split() == text(target, wave).split()


def test_frames_have_their_times(tmp_path: Path) -> None:
    """A frame of 40 ms is written twice where sherpa-onnx counts 20 ms for each."""
    for kind, door in (("kaldi-fbank", "from_zipformer_ctc"), ("log-mel", "from_omnilingual_asr_ctc")):
        model = acoustic("bilstm", kind=kind)
        export(source(model, tmp_path), "sherpa-onnx", tmp_path / "out", ExportOptions(), overwrite=True)
        (wave,) = noises((3.3,))
        frames = best(model, wave)
        starts = [n for n, token in enumerate(frames) if token and (n == 0 or frames[n - 1] != token)]
        assert len(starts) > 3
        times = result(opened(tmp_path / "out", door), wave).timestamps
        assert times == pytest.approx([0.04 * start for start in starts])


def test_the_program_in_the_folder_runs(tmp_path: Path) -> None:
    target = source(acoustic("tdnn", kind="kaldi-fbank"), tmp_path)
    export(target, "sherpa-onnx", tmp_path / "out", ExportOptions())
    (wave,) = noises((1.5,))
    soundfile.write(tmp_path / "my.wav", wave.numpy(), 16000, subtype="FLOAT")
    program = tmp_path / "out" / "test.py"
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 12
    ran = subprocess.run([sys.executable, program, tmp_path / "my.wav"], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\t")[1].split() == text(target, wave).split()


def test_whole_numbers_spare_the_features(tmp_path: Path) -> None:
    target = source(acoustic("bilstm"), tmp_path)
    done = export(target, "sherpa-onnx", tmp_path / "out", ExportOptions(int8=True))
    assert done.check["int8"]["mean_difference_of_probabilities"] < 0.05
    assert "% of the size" in " ".join(done.lines)


@pytest.mark.parametrize(("removed", "hears"), [(True, False), (False, True)])
def test_a_model_that_removes_offsets_hears_what_sherpa_onnx_hears(removed: bool, hears: bool, tmp_path: Path) -> None:
    """Of a recording with an offset, which sherpa-onnx takes out before the graph sees it."""
    model = acoustic("bilstm", remove_offset=removed)
    done = export(source(model, tmp_path), "sherpa-onnx", tmp_path / "out", ExportOptions())
    assert any("constant offset" in line for line in done.lines) == hears
    (wave,) = noises((3.3,))
    graph = session(tmp_path / "out" / "model.onnx")
    (found,) = run(graph, as_sherpa_scales(0.1 * wave + 0.05)[None])
    with torch.no_grad():
        fed = model.inputs.compute(0.1 * wave + 0.05)
        own = model.head("en")(model(fed[None], torch.tensor([len(fed)]))[0]).log_softmax(-1)[0]
    difference = float((found[0] - own.repeat_interleave(2, dim=0)).abs().max())
    assert (difference > 0.5) == hears and (hears or difference < 0.05)


def test_loudness_is_told_from_what_the_scaling_leaves() -> None:
    for loudness in (0.001, 0.03, 0.3):
        wave = loudness * torch.randn(16000, generator=torch.Generator().manual_seed(1))
        wave -= wave.mean()
        found = Unscaled(1e-5)(as_sherpa_scales(wave)[None])[0]
        torch.testing.assert_close(found, wave, rtol=0.01, atol=1e-6)


@pytest.mark.parametrize(
    ("symbols", "units", "reason"),
    [
        (["a", "\u2581"], "characters", "would become a space"),
        (["a", "\u00a0"], "characters", "cannot stand in a tokens.txt"),
        (["a", "<eps>"], "characters", "means something else"),
        (["AA", "B"], "phones", None),
        ([" ", "a", "é"], "characters", None),
    ],
)
def test_tokens_are_looked_at_before_they_are_written(symbols: list[str], units: Any, reason: str | None) -> None:
    found = no_tokens(Tokens(symbols, units))
    assert found is None if reason is None else reason in str(found)


def test_strides_that_cannot_be_timed_are_refused(tmp_path: Path) -> None:
    model = acoustic("tdnn", strides=(3, 1))
    with pytest.raises(ConfigError, match=r"frame every 30 ms, which sherpa-onnx cannot time.*give --to onnx\."):
        export(source(model, tmp_path), "sherpa-onnx", tmp_path / "out", ExportOptions())
    assert len(HEADS) == 1 and not (tmp_path / "out").exists()


def test_a_model_that_writes_token_after_token_is_refused(tmp_path: Path) -> None:
    write_whisper(tmp_path / "whisper")
    from asr_transfer.decoding.recogniser import Recogniser

    whole = Source(Recogniser.load(tmp_path / "whisper"), "my_whisper", tmp_path)
    for name in ("onnx", "sherpa-onnx"):
        with pytest.raises(ConfigError, match=f"my_whisper: cannot be exported to {name}, because it writes token"):
            export(whole, name, tmp_path / "out", ExportOptions())


def test_a_lexicons_words_alone_are_heard_there(tmp_path: Path) -> None:
    model = acoustic("tdnn", kind="kaldi-fbank")
    (tmp_path / "lexicon.txt").write_text("cab\nabba\nb\n", encoding="utf-8")
    (wave,) = noises((6.0,))
    soundfile.write(tmp_path / "my.wav", wave.numpy(), 16000, subtype="FLOAT")
    for sentences in (False, True):
        options = ExportOptions(lexicon=tmp_path / "lexicon.txt", sentences=sentences)
        out = tmp_path / f"out{sentences}"
        done = export(source(model, tmp_path), "sherpa-onnx", out, options)
        assert any("the 3 words of lexicon.txt alone are heard" in line for line in done.lines)
        ran = subprocess.run([sys.executable, out / "test.py", tmp_path / "my.wav"], capture_output=True, text=True)
        words = ran.stdout.split("\t")[1].split()
        assert words and set(words) <= {"cab", "abba", "b"} and (len(words) > 1) == sentences, ran.stderr


def test_a_lexicon_is_refused_where_it_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "lexicon.txt").write_text("cab\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="searches a lexicon for models on Kaldi's filter banks alone"):
        export(
            source(acoustic("tdnn"), tmp_path),
            "sherpa-onnx",
            tmp_path / "out",
            ExportOptions(lexicon=tmp_path / "lexicon.txt"),
        )
