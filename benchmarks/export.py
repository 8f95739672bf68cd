"""Measures exported models against the model itself, on the same recordings in one process with one thread.

For each target: how large its files are, how many texts are equal, what the word error rate is, and how long a second
of speech takes, one recording at a time. ONNX Runtime hears features that are computed before, as PyTorch then does;
sherpa-onnx hears the recordings, as the whole recogniser then does. The two sides take turns at every recording, so
that a machine whose speed drifts slows both alike.

    python benchmarks/export.py DIR PATH [--language xx] [--profile DIR] [--most 130] [--out FILE]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonargparse
import torch
from rich.console import Console
from rich.table import Table

from asr_transfer import audio
from asr_transfer.commands.export import ExportCommand, open_source
from asr_transfer.commands.speech import read_speech, take
from asr_transfer.data.manifest import read_audio
from asr_transfer.deployment import TARGETS, ExportOptions, Source, export
from asr_transfer.deployment.sherpa_onnx import hears_fbank
from asr_transfer.deployment.tracing import run, session
from asr_transfer.errors import AsrTransferError
from asr_transfer.evaluation.scoring import score

Side = Callable[[torch.Tensor], str]
"""Maps (samples,) to a text."""


@dataclass(frozen=True)
class Row:
    """What was measured of a target.

    Attributes:
        target: name of the target, with the number format.
        megabytes: size of its graph.
        share: the same, over that of the float32 graph.
        equal: share of recordings with the model's own text.
        wer: word error rate.
        own_wer: word error rate of the model itself.
        factor: seconds of processing for a second of speech.
        ratio: the same, over that of PyTorch.
    """

    target: str
    megabytes: float
    share: float
    equal: float
    wer: float
    own_wer: float
    factor: float
    ratio: float


def onnx_side(source: Source, folder: Path) -> tuple[Side, Side, Callable[[torch.Tensor], torch.Tensor]]:
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


def sherpa_side(source: Source, folder: Path) -> tuple[Side, Side, Callable[[torch.Tensor], torch.Tensor]]:
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


SIDES = {"onnx": onnx_side, "sherpa-onnx": sherpa_side}


def decoded(source: Source, outputs: torch.Tensor) -> str:
    """Return the greedy text of (frames, tokens) outputs."""
    return source.recogniser.tokens.decode(torch.unique_consecutive(outputs.argmax(1)).tolist())


def measure(source: Source, target: str, options: ExportOptions, recordings: Sequence[Any], folder: Path) -> Row:
    """Export a model, and hear recordings with both."""
    export(source, target, folder, options, overwrite=True)
    there, here, prepared = SIDES[target](source, folder)
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
    rates = [score([one.text for one in recordings], own) for own in texts]
    size = (folder / "model.onnx").stat().st_size / 1e6
    equal = sum(a == b for a, b in zip(*texts, strict=True)) / len(recordings)
    name = f"{target}, int8" if options.int8 else target
    return Row(name, size, 1.0, equal, rates[0].wer, rates[1].wer, spent[0] / seconds, spent[0] / spent[1])


def main(
    model: Path,
    data: Path,
    language: str | None = None,
    profile: Path | None = None,
    most: int | None = None,
    out: Path | None = None,
) -> None:
    """Measure every target that is here, as float32 and int8.

    Args:
        model: model folder, or a run folder.
        data: manifest or folder of recordings with transcripts.
        language: head to export, where the model has several.
        profile: speaker's profile to fold in.
        most: most recordings to hear; None for all.
        out: JSON file for the figures.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        command = ExportCommand(model=model, to="onnx", out=Path(scratch), language=language, profile=profile)
        source = open_source(command, print)
        speech = read_speech(data, source.recogniser.speaks, source.recogniser.case())
        recordings = take(speech, None, most, 0)
        rows: list[Row] = []
        for target in (name for name in SIDES if name in TARGETS):
            whole = measure(source, target, ExportOptions(), recordings, Path(scratch) / target)
            small = measure(source, target, ExportOptions(int8=True), recordings, Path(scratch) / target)
            rows += [whole, Row(**{**asdict(small), "share": small.megabytes / whole.megabytes})]
    table = Table(title=f"{model} on {len(recordings)} recordings, one at a time, one thread", box=None)
    headings = ("MB", "of float32", "equal texts", "WER", "of the model", "real-time factor", "of torch's")
    table.add_column("target")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        percent = (f"{100 * value:.1f} %" for value in (row.share, row.equal, row.wer, row.own_wer))
        table.add_row(row.target, f"{row.megabytes:.1f}", *percent, f"{row.factor:.4f}", f"{row.ratio:.2f}")
    Console(width=140).print(table)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps([asdict(row) for row in rows], indent=2), encoding="utf-8")


if __name__ == "__main__":
    try:
        jsonargparse.auto_cli(main)
    except AsrTransferError as error:
        sys.exit(f"export.py: {error}")
