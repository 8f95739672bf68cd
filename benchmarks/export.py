"""Measures exported models against the model itself, on the same recordings in one process with one thread.

For each target: how large its files are, how many texts are equal, what the word error rate is, and how long a second
of speech takes, one recording at a time. ONNX Runtime hears features that are computed before, as PyTorch then does;
sherpa-onnx hears the recordings, as the whole recogniser then does. The two sides take turns at every recording, so
that a machine whose speed drifts slows both alike.

    python benchmarks/export.py --models '[DIR, …]' --data PATH --out DIR [--language xx] [--most 130]

The run folder's `run.json`, copied to `docs/results/export.json`, fills the table of `docs/export.md`.
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
from asr_transfer.deployment import TARGETS, ExportOptions, Source, export
from asr_transfer.deployment.sherpa_onnx import hears_fbank
from asr_transfer.deployment.tracing import run, session
from asr_transfer.errors import AsrTransferError
from asr_transfer.evaluation.percentages import percent
from asr_transfer.evaluation.scoring import score
from asr_transfer.experiments.core.tables import Table, show
from asr_transfer.runs.record import RunRecord

Side = Callable[[torch.Tensor], str]
"""Maps (samples,) to a text."""


@dataclass(frozen=True)
class Row:
    """What was measured of a target.

    Attributes:
        model: name of the model.
        target: name of the target, with the number format.
        megabytes: size of its graph.
        share: the same, over that of the float32 graph.
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
    """Measure every target that is here, as float32 and int8, on a model."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        source = open_source(ExportCommand(model=model, to="onnx", out=Path(scratch), language=language), print)
        speech = read_speech(data, source.recogniser.speaks, source.recogniser.case())
        recordings = take(speech, None, most, 0)
        for target in (name for name in SIDES if name in TARGETS):
            whole = measure(source, target, ExportOptions(), recordings, Path(scratch) / target)
            small = measure(source, target, ExportOptions(int8=True), recordings, Path(scratch) / target)
            rows += [whole, replace(small, share=small.megabytes / whole.megabytes)]
    return rows


def main(
    models: list[Path],
    data: Path,
    out: Path,
    language: str | None = None,
    most: int | None = None,
    overwrite: bool = False,
) -> None:
    """Measure every target that is here, as float32 and int8.

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
