"""Writes a model with CTC as an ONNX graph that takes features, for ONNX Runtime and whatever else reads ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from asr_transfer import audio
from asr_transfer.data.inputs import Waveform
from asr_transfer.data.tokens import Tokens
from asr_transfer.deployment.agreement import Agreement, Hear, agreement, noises
from asr_transfer.deployment.normalised import Normalised, can_be_normalised
from asr_transfer.deployment.quantised import finish_graph
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.spectra import Spectra, can_be_computed
from asr_transfer.deployment.target import ExportOptions, Report, Target, register
from asr_transfer.deployment.tracing import Listening, graphed, run, session, write_graph
from asr_transfer.errors import ModelError
from asr_transfer.models.contract import SequenceModel, SpeechModel
from asr_transfer.plain import to_json, to_plain
from asr_transfer.textfiles import write_text

INPUTS = {"features": {0: "N", 1: "T"}, "lengths": {0: "N"}}
OUTPUTS = {"log_probs": {0: "N", 1: "frames"}, "log_probs_lengths": {0: "N"}}
FEATURES_TOLERANCE = 0.01
"""Difference of logarithmic energies: in quiet bands another order of adding is heard."""
USAGE = """`model.onnx` takes `features`, (N, T, {dim}) float32, and `lengths`, (N,) int64, of recordings{limit}. It
gives `log_probs`, (N, frames, {tokens}), a frame every {shift} ms, and `log_probs_lengths`, (N,). Token 0 is CTC's
blank; `tokens.txt` has a symbol and its number on each line, `▁` for a space.

The graph normalises the features itself. {features}

```python
import onnxruntime

{code}log_probs, lengths = onnxruntime.InferenceSession("model.onnx").run(
    None, {{"features": features, "lengths": lengths}}
)
```
"""
COMPUTED = """`features.onnx` computes them of one recording: `waveform`, (1, samples) float32, mono at {rate} Hz within
±1, to `features` and `lengths`. Their settings are `{plain}`."""
COMPUTING = """features, lengths = onnxruntime.InferenceSession("features.onnx").run(None, {"waveform": samples[None]})
"""
FED = """They are those of mono samples at {rate} Hz within ±1 that `inputs_from_plain(settings, "").analyse(samples)`
of `asr_transfer.data.inputs` gives for the settings `{plain}`; of waveforms they are the samples themselves."""


@register("onnx")
class Onnx(Target):
    """`model.onnx`: features and lengths to logarithmic probabilities; `features.onnx` before it; `tokens.txt`."""

    runtime = "ONNX Runtime"
    takes: ClassVar[frozenset[str]] = frozenset({"int8"})
    needs: ClassVar[Mapping[str, str]] = {"onnx": "export", "onnxruntime": "export"}
    nearest = ("sherpa-onnx", "transformers", "faster-whisper")

    def refusal(self, source: Source, options: ExportOptions) -> str | None:
        """See `Target.refusal`."""
        return no_ctc(source) or no_features(source.recogniser.model)

    def write(self, source: Source, folder: Path, options: ExportOptions) -> Report:
        """See `Target.write`."""
        with graphed(source.model):
            return self._write(source, folder, options)

    def _write(self, source: Source, folder: Path, options: ExportOptions) -> Report:
        recogniser = source.recogniser
        model, inputs = recogniser.model, recogniser.model.inputs
        listening = Listening(model, recogniser.head, Normalised(inputs)).eval()
        facts = {
            "sample_rate": audio.SAMPLE_RATE,
            "features": to_plain({"kind": inputs.kind, **inputs.plain()}),
            "frame_shift_seconds": round(model.frame_shift(), 6),
            "language": recogniser.head,
            "blank": 0,
            "longest_seconds": model.window,
        }
        metadata = {name: value if isinstance(value, str) else to_json(value) for name, value in facts.items()}
        file = folder / "model.onnx"
        fed = nn.utils.rnn.pad_sequence([inputs.analyse(one) for one in reversed(noises((1.0, 1.6)))], batch_first=True)
        lengths = torch.tensor([fed.shape[1], len(inputs.analyse(noises((1.0,))[0]))])
        write_graph(listening, (fed, lengths), file, INPUTS, OUTPUTS, metadata, options.int8)
        truth = hears(model, recogniser.head)

        def held(graph: Path) -> Agreement:
            made = session(graph)

            def heard(recordings: Sequence[torch.Tensor]) -> list[torch.Tensor]:
                features = [inputs.analyse(one) for one in recordings]
                sizes = torch.tensor([len(one) for one in features])
                found, counts = run(made, nn.utils.rnn.pad_sequence(features, batch_first=True), sizes)
                return [one[:count] for one, count in zip(found, counts.tolist(), strict=True)]

            return agreement(heard, truth, model.window)

        check, lines = finish_graph(file, held, options.int8)
        write_tokens(recogniser.tokens, folder / "tokens.txt")
        if computes_features(model):
            found_features = write_features(model, folder / "features.onnx", metadata)
            check["features"] = {"greatest_difference": float(f"{found_features:.2e}")}
            lines.append(f"features of a recording differ by at most {found_features:.1e} from the model's own")
        return Report(check, lines, facts)

    def usage(self, source: Source, options: ExportOptions) -> str:
        """See `Target.usage`."""
        model = source.recogniser.model
        plain = to_json({"kind": model.inputs.kind, **model.inputs.plain()})
        limit = "" if model.window is None else f" of at most {model.window:g} s"
        tokens, shift = len(source.recogniser.tokens), 1000 * model.frame_shift()
        computed = computes_features(model)
        features = (COMPUTED if computed else FED).format(rate=audio.SAMPLE_RATE, plain=plain)
        return USAGE.format(
            dim=model.inputs.dim,
            limit=limit,
            tokens=tokens,
            shift=f"{shift:g}",
            features=features,
            code=COMPUTING if computed else "",
        )


def computes_features(model: SpeechModel) -> bool:
    """Return whether a graph of its own computes a model's features: they are no waveforms, and of a known kind."""
    return can_be_computed(model.inputs) and not isinstance(model.inputs, Waveform)


def write_features(model: SpeechModel, file: Path, metadata: Mapping[str, str]) -> float:
    """Write a graph from a waveform to a model's features; return by how much they differ at most.

    Raises:
        ModelError: they are others than the model's own.
    """
    spectra = Spectra(model.inputs).eval()
    results: dict[str, dict[int, str]] = {"features": {1: "T"}, "lengths": {}}
    write_graph(spectra, (noises((1.6,))[0][None],), file, {"waveform": {1: "samples"}}, results, metadata)
    made, worst = session(file), 0.0
    for one in noises((0.5, 2.7)):
        features, lengths = run(made, one[None])
        own = model.inputs.analyse(one)
        if lengths.tolist() != [len(own)] or features.shape[1:] != own.shape:
            raise ModelError(
                f"{file.name}: computes {int(lengths[0])} frames where the model's inputs have {len(own)}."
            )
        worst = max(worst, float((features[0] - own).abs().max()))
    if not worst <= FEATURES_TOLERANCE:
        raise ModelError(f"{file.name}: computes other features than the model's (they differ by {worst:.3g}).")
    return worst


def no_ctc(source: Source) -> str | None:
    """Return why a model cannot be written as one graph with CTC's outputs; None where it can."""
    if isinstance(source.recogniser.model, SequenceModel):
        return "it writes token after token, while a graph with CTC hears all at once"
    return None


def no_features(model: SpeechModel) -> str | None:
    """Return why a graph cannot normalise what a model is fed; None where it can."""
    if can_be_normalised(model.inputs):
        return None
    return f"inputs of the kind {model.inputs.kind} are not normalised inside graphs"


def hears(model: SpeechModel, head: str) -> Hear:
    """Return what a model hears through a head, one recording at a time."""

    def heard(recordings: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        found = []
        with torch.no_grad():
            for one in recordings:
                fed = model.inputs.compute(one)
                hidden, _ = model(fed[None], torch.tensor([len(fed)]))
                found.append(model.head(head)(hidden).log_softmax(-1)[0])
        return found

    return heard


def write_tokens(tokens: Tokens, file: Path) -> None:
    """Write the symbols of a head, one and its number per line, the blank as `<blk>` and a space as `▁`."""
    lines = [f"{symbol} {number}\n" for number, symbol in enumerate(spelled_tokens(tokens))]
    write_text(file, "".join(lines))


def spelled_tokens(tokens: Tokens) -> list[str]:
    """Return the symbols as other programs join them: `▁` is a space, which stands before whole words and phones."""
    apart = "" if tokens.units in ("characters", "subwords") else "▁"
    return ["<blk>", *(apart + symbol.replace(" ", "▁") for symbol in tokens.symbols[1:])]
