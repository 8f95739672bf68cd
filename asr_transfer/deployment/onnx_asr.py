"""Exports to the folders of onnx-asr, whose released version computes the features of few models itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from asr_transfer.data.inputs import ParakeetMel
from asr_transfer.data.subwords import MARK
from asr_transfer.data.tokens import Tokens, spells_phones
from asr_transfer.deployment.agreement import agreement, require_equal
from asr_transfer.deployment.onnx import hears, no_ctc
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.target import ExportOptions, Report, Target, register
from asr_transfer.deployment.tracing import Listening, graphed, run, session, write_graph
from asr_transfer.plain import to_json
from asr_transfer.textfiles import write_text

MODEL, VOCABULARY, SETTINGS = "model.onnx", "vocab.txt", "config.json"
KIND = "nemo-conformer-ctc"
INPUTS = {"audio_signal": {0: "N", 2: "T"}, "length": {0: "N"}}
OUTPUTS = {"logprobs": {0: "N", 1: "frames"}, "lengths": {0: "N"}}


class _BandsFirst(nn.Module):
    """Features as NeMo has them, (batch, mels, time), as they are here, (batch, time, mels)."""

    def forward(self, fed: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return fed.transpose(1, 2), lengths


@register("onnx-asr")
class OnnxAsr(Target):
    """A folder for `onnx_asr.load_model("nemo-conformer-ctc", …)`."""

    runtime = "onnx-asr"
    needs: ClassVar[Mapping[str, str]] = {"onnx": "export", "onnxruntime": "export"}
    nearest = ("sherpa-onnx", "onnx", "faster-whisper", "transformers")

    def refusal(self, source: Source, options: ExportOptions) -> str | None:
        """See `Target.refusal`."""
        recogniser = source.recogniser
        if (reason := no_ctc(source)) is not None:
            return reason
        inputs = recogniser.model.inputs
        if not isinstance(inputs, ParakeetMel):
            return f"its models of CTC hear NeMo's features, and this one {inputs.kind}"
        if spells_phones(recogniser.tokens.units) or recogniser.tokens.units == "words":
            return "it writes no spaces between tokens that are whole words or phones"
        factor = _factor(source)
        if any(recogniser.model.frames(steps) != (steps - 1) // factor + 1 for steps in range(1, 200)):
            return "it counts frames otherwise than this model does"
        return None

    def write(self, source: Source, folder: Path, options: ExportOptions) -> Report:
        """See `Target.write`."""
        with graphed(source.model):
            return self._write(source, folder)

    def _write(self, source: Source, folder: Path) -> Report:
        recogniser = source.recogniser
        model, file = recogniser.model, folder / MODEL
        listening = Listening(model, recogniser.head, _BandsFirst()).eval()
        fed, lengths = torch.randn(2, model.inputs.dim, 300), torch.tensor([300, 211])
        write_graph(listening, (fed, lengths), file, INPUTS, OUTPUTS, {})
        made = session(file)

        def heard(recordings: Sequence[torch.Tensor]) -> list[torch.Tensor]:
            features = [model.inputs.compute(one) for one in recordings]
            sizes = torch.tensor([len(one) for one in features])
            padded = nn.utils.rnn.pad_sequence(features, batch_first=True).transpose(1, 2).contiguous()
            found, counts = run(made, padded, sizes)
            return [one[:count] for one, count in zip(found, counts.tolist(), strict=True)]

        found = agreement(heard, hears(model, recogniser.head), model.window)
        require_equal(found, MODEL)
        write_text(folder / VOCABULARY, vocabulary(recogniser.tokens))
        about = {"model_type": KIND, "features_size": model.inputs.dim, "subsampling_factor": _factor(source)}
        write_text(folder / SETTINGS, to_json(about, indent=2) + "\n")
        return Report({"float32": found.plain()}, [found.line("The graph")])

    def usage(self, source: Source, options: ExportOptions) -> str:
        """See `Target.usage`."""
        return (
            "```python\n"
            "import onnx_asr\n\n"
            f'model = onnx_asr.load_model("{KIND}", ".")\n'
            'print(model.recognize("new.wav"))\n'
            "```\n\n"
            "`pip install 'onnx-asr[cpu]'` installs what it needs; recordings are WAV files."
        )


def vocabulary(tokens: Tokens) -> str:
    """Return the text of `vocab.txt`: a token and its number on each line, the space written as `▁`."""
    names = ["<blk>", *(MARK if symbol == " " else symbol for symbol in tokens.symbols[1:])]
    return "".join(f"{name} {index}\n" for index, name in enumerate(names))


def _factor(source: Source) -> int:
    """Return how many steps of the features make a frame."""
    model = source.recogniser.model
    return round(model.frame_shift() / model.inputs.shift)
