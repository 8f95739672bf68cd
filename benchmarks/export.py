"""Measures exported models against the model itself, on the same recordings in one process with one thread.

For each target: how large its files are, how many texts are equal, what the word error rate is, and how long a second
of speech takes, one recording at a time. ONNX Runtime hears features that are computed before, as PyTorch then does;
all others hear the recordings, as the whole recogniser then does. The two sides take turns at every recording, so that
a machine whose speed drifts slows both alike.

Models with CTC go to ONNX Runtime and sherpa-onnx, a whole Whisper to Transformers and faster-whisper. Both sides take
the likeliest token each time.

    python benchmarks/export.py --models '[DIR, …]' --data PATH --out DIR [--language xx] [--most 130]

The run folder's `run.json`, copied to `docs/results`, fills a table of `docs/export.md`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonargparse
import torch

from asr_transfer import audio
from asr_transfer.commands.export import ExportCommand, open_source
from asr_transfer.commands.speech import read_speech, take
from asr_transfer.data.manifest import read_audio
from asr_transfer.decoding.settings import WritingConfig
from asr_transfer.deployment import TARGETS, ExportOptions, Source, export
from asr_transfer.deployment.sherpa_onnx import hears_fbank
from asr_transfer.deployment.tracing import run, session
from asr_transfer.deployment.whisper_check import language_of
from asr_transfer.deployment.whisper_files import whisper_of
from asr_transfer.errors import AsrTransferError
from asr_transfer.evaluation.percentages import percent
from asr_transfer.evaluation.scoring import score
from asr_transfer.experiments.core.tables import Table, show
from asr_transfer.runs.record import RunRecord

Side = Callable[[torch.Tensor], str]
"""Maps (samples,) to a text."""
Pair = tuple[Side, Side, Callable[[torch.Tensor], torch.Tensor]]
"""What hears there, what hears here, and what both are fed of (samples,)."""


@dataclass(frozen=True)
class Row:
    """What was measured of a target.

    Attributes:
        model: name of the model.
        target: name of the target, with the number format.
        megabytes: size of its graph or weights.
        share: the same, over that in float32.
        equal: number of recordings with the model's own text.
        recordings: number of recordings.
        wer: word error rate.
        own_wer: word error rate of the model itself.
        factor: seconds of processing for a second of speech.
        ratio: the same, over that of PyTorch.
    """

    model: str
    target: str
    megabytes: float
    share: float
    equal: int
    recordings: int
    wer: float
    own_wer: float
    factor: float
    ratio: float


def onnx_side(source: Source, folder: Path) -> Pair:
    """Return what ONNX Runtime writes, what PyTorch writes of the same features, and how both are computed."""
    recogniser = source.recogniser
    model, head, made = recogniser.model, recogniser.model.head(recogniser.head), session(folder / "model.onnx")

    def there(features: torch.Tensor) -> str:
        return decoded(source, run(made, features[None], torch.tensor([len(features)]))[0][0])

    @torch.no_grad()
    def here(features: torch.Tensor) -> str:
        inputs = model.inputs
        fed = inputs.normalise(features, *inputs.statistics(lambda: [features]))
        return decoded(source, head(model(fed[None], torch.tensor([len(fed)]))[0])[0])

    return there, here, model.inputs.analyse


def sherpa_side(source: Source, folder: Path) -> Pair:
    """Return what sherpa-onnx and PyTorch write of recordings, which both hear as they are."""
    recogniser = source.recogniser
    model, door = recogniser.model, import_module("sherpa_onnx").OfflineRecognizer
    files = {"model": str(folder / "model.onnx"), "tokens": str(folder / "tokens.txt")}
    if hears_fbank(model):
        made = door.from_zipformer_ctc(**files, feature_dim=model.inputs.dim)
    else:
        made = door.from_omnilingual_asr_ctc(**files)

    def there(samples: torch.Tensor) -> str:
        stream = made.create_stream()
        stream.accept_waveform(audio.SAMPLE_RATE, samples.numpy())
        made.decode_stream(stream)
        return " ".join(stream.result.text.split())

    @torch.no_grad()
    def here(samples: torch.Tensor) -> str:
        fed = model.inputs.compute(samples)
        return decoded(source, model.head(recogniser.head)(model(fed[None], torch.tensor([len(fed)]))[0])[0])

    return there, here, lambda samples: samples


def transformers_side(source: Source, folder: Path) -> Pair:
    """Return what Transformers and PyTorch write of recordings, which both hear as they are."""
    made = import_module("transformers")
    model = made.WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    features = made.WhisperFeatureExtractor.from_pretrained(folder)
    tokens = made.WhisperTokenizer.from_pretrained(folder)
    own, marks = whisper_of(source)
    language = language_of(source)
    asked = {} if language is None else {"language": language, "task": "transcribe"}
    most = own.most_tokens - len(marks.prompt(language)) - 1  # as many as PyTorch writes where no text ends

    @torch.no_grad()
    def there(samples: torch.Tensor) -> str:
        fed = features(samples.numpy(), sampling_rate=audio.SAMPLE_RATE, return_tensors="pt").input_features
        written = model.generate(fed, num_beams=1, do_sample=False, max_new_tokens=most, **asked)[0]
        return str(tokens.decode(written, skip_special_tokens=True)).strip()

    return there, whisper_here(source), lambda samples: samples


def faster_whisper_side(source: Source, folder: Path) -> Pair:
    """Return what faster-whisper and PyTorch write of recordings, with silence behind them as the card says."""
    model = import_module("faster_whisper").WhisperModel(
        str(folder), device="cpu", compute_type="default", cpu_threads=1
    )
    language, window = language_of(source) or "en", round((source.recogniser.model.window or 0.0) * audio.SAMPLE_RATE)
    # Texts that look bad are neither written again nor dropped.
    unguarded = dict.fromkeys(("compression_ratio_threshold", "log_prob_threshold", "no_speech_threshold"))

    def there(samples: torch.Tensor) -> str:
        padded = torch.nn.functional.pad(samples, (0, max(0, window - len(samples)))).numpy()
        segments, _ = model.transcribe(
            padded, language=language, beam_size=1, temperature=0.0, without_timestamps=True, **unguarded
        )
        return "".join(segment.text for segment in segments).strip()

    return there, whisper_here(source), lambda samples: samples


def whisper_here(source: Source) -> Side:
    """Return what PyTorch writes of recordings with a whole Whisper, without the guard against loops."""
    recogniser = replace(source.recogniser, writing=WritingConfig(guard=False))
    model, writer, language = recogniser.model, recogniser.writer(), language_of(source)

    @torch.no_grad()
    def here(samples: torch.Tensor) -> str:
        fed = model.inputs.compute(samples)
        seconds = len(samples) / audio.SAMPLE_RATE
        return writer.write(fed[None], torch.tensor([len(fed)]), [seconds], [language])[0].text.strip()

    return here


CTC: dict[str, Callable[[Source, Path], Pair]] = {"onnx": onnx_side, "sherpa-onnx": sherpa_side}
WHISPER: dict[str, Callable[[Source, Path], Pair]] = {
    "transformers": transformers_side,
    "faster-whisper": faster_whisper_side,
}
WEIGHTS = {"transformers": "model.safetensors", "faster-whisper": "model.bin"}
"""Files whose size is told, where it is no `model.onnx`."""


def decoded(source: Source, outputs: torch.Tensor) -> str:
    """Return the greedy text of (frames, tokens) outputs."""
    return source.recogniser.tokens.decode(torch.unique_consecutive(outputs.argmax(1)).tolist())


def measure(source: Source, target: str, options: ExportOptions, recordings: Sequence[Any], folder: Path) -> Row:
    """Export a model, and hear recordings with both."""
    export(source, target, folder, options, overwrite=True)
    there, here, prepared = {**CTC, **WHISPER}[target](source, folder)
    spent, texts = [0.0, 0.0], ([], [])  # type: tuple[list[float], tuple[list[str], list[str]]]
    for number, utterance in enumerate([recordings[0], *recordings]):
        fed = prepared(torch.as_tensor(read_audio(utterance)))
        for side in (0, 1) if number % 2 else (1, 0):
            before = time.perf_counter()
            text = (there, here)[side](fed)
            if number:  # the first time warms both up
                spent[side] += time.perf_counter() - before
                texts[side].append(text)
    seconds = sum(one.duration for one in recordings)
    profile = source.recogniser.normalisation
    rates = [score([one.text for one in recordings], own, profile) for own in texts]
    size = (folder / WEIGHTS.get(target, "model.onnx")).stat().st_size / 1e6
    equal = sum(a == b for a, b in zip(*texts, strict=True))
    name, ratio = f"{target}, int8" if options.int8 else target, spent[0] / spent[1]
    own = (rates[0].wer, rates[1].wer, spent[0] / seconds, ratio)
    return Row(model_name(source), name, size, 1.0, equal, len(recordings), *own)


def model_name(source: Source) -> str:
    """Return what a model is called in the table: the last folder that is not `model`."""
    parts = [part for part in Path(source.model).parts if part != "model"]
    return parts[-1] if parts else source.model


def tabled(rows: Sequence[Row]) -> Table:
    """Return the table of what was measured."""
    return Table.of(
        rows,
        [
            ("model", lambda row: row.model),
            ("target", lambda row: row.target),
            ("MB", lambda row: f"{row.megabytes:.1f}"),
            ("of float32, %", lambda row: percent(row.share, 0)),
            ("equal texts", lambda row: f"{row.equal} of {row.recordings}"),
            ("WER %, here", lambda row: percent(row.own_wer, 2)),
            ("WER %, there", lambda row: percent(row.wer, 2)),
            ("real-time factor", lambda row: f"{row.factor:.4f}"),
            ("over PyTorch's", lambda row: f"{row.ratio:.2f}"),
        ],
    )


def measured(model: Path, data: Path, language: str | None, most: int | None) -> list[Row]:
    """Measure every target that takes a model, as float32 and where it can as int8."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        source = open_source(ExportCommand(model=model, to="onnx", out=Path(scratch), language=language), print)
        speech = read_speech(data, source.recogniser.speaks, source.recogniser.case())
        recordings = take(speech, None, most, 0)
        for target in WHISPER if source.recogniser.can_run_away else CTC:
            whole = measure(source, target, ExportOptions(), recordings, Path(scratch) / target)
            rows.append(whole)
            if "int8" in TARGETS[target].takes:
                small = measure(source, target, ExportOptions(int8=True), recordings, Path(scratch) / target)
                rows.append(replace(small, share=small.megabytes / whole.megabytes))
    return rows


def main(
    models: list[Path],
    data: Path,
    out: Path,
    language: str | None = None,
    most: int | None = None,
    overwrite: bool = False,
) -> None:
    """Measure every target that takes each model, as float32 and where it can as int8.

    Args:
        models: model folders, or run folders.
        data: manifest or folder of recordings with transcripts.
        out: run folder to write.
        language: head to export, where a model has several.
        most: most recordings to hear; None for all.
        overwrite: whether to replace the run that `out` holds.
    """
    torch.set_num_threads(1)
    record = RunRecord(out, {"models": models, "data": data, "language": language, "most": most}, overwrite=overwrite)
    rows = [row for model in models for row in measured(model, data, language, most)]
    table = tabled(rows)
    show([table])
    record.finish(scores={"exports": [asdict(row) for row in rows]}, tables={"exports": [table.to_plain()]})


if __name__ == "__main__":
    try:
        jsonargparse.auto_cli(main, as_positional=False)
    except AsrTransferError as error:
        sys.exit(f"export.py: {error}")
