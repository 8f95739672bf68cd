"""Writes a model with CTC for sherpa-onnx, which runs on phones, in browsers and from a dozen programming languages.

Models on Kaldi's filter banks go in where Zipformer models do, for that is what it computes for those. All others take
the waveform, as its Omnilingual models do: their features are computed inside the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer import audio
from asr_transfer.data.inputs import Inputs, KaldiFbank, LogMel, Waveform
from asr_transfer.data.lexicon import read_for
from asr_transfer.data.tokens import Tokens
from asr_transfer.deployment.agreement import Agreement, Hear, agreement, noises
from asr_transfer.deployment.normalised import Normalised, can_be_normalised
from asr_transfer.deployment.onnx import hears, no_ctc, spelled_tokens, write_tokens
from asr_transfer.deployment.quantised import finish_graph
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.spectra import Spectra, Unscaled, can_be_computed
from asr_transfer.deployment.target import ExportOptions, Report, Target, register
from asr_transfer.deployment.tracing import Listening, graphed, run, session, write_graph
from asr_transfer.deployment.word_graph import word_graph
from asr_transfer.models.contract import SpeechModel
from asr_transfer.textfiles import write_bytes, write_text

FBANK_SHIFT, WAVE_SHIFT = 0.04, 0.02
"""Seconds that sherpa-onnx takes an output frame for, of Zipformer and of Omnilingual models."""
FLOOR = 1e-5
"""Number that it adds to a waveform's variance before it divides by its square root."""


class OfWaveform(nn.Module):
    """A model that takes waveforms as sherpa-onnx scales them, one at a time.

    Args:
        model: model that listens.
        head: name of its head.
        times: number of equal frames that each frame becomes.
    """

    def __init__(self, model: SpeechModel, head: str, times: int) -> None:
        super().__init__()
        self.unscaled, self.spectra = Unscaled(FLOOR), Spectra(model.inputs)
        self.listening = Listening(model, head, Normalised(model.inputs), times)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map (1, samples) to (1, frames, tokens) logarithmic probabilities."""
        log_probs: torch.Tensor = self.listening(*self.spectra(self.unscaled(waveform)))[0]
        return log_probs


@register("sherpa-onnx")
class SherpaOnnx(Target):
    """`model.onnx`, `tokens.txt` and a program of ten lines, `test.py`."""

    runtime = "sherpa-onnx"
    takes: ClassVar[frozenset[str]] = frozenset({"int8", "lexicon", "sentences"})
    needs: ClassVar[Mapping[str, str]] = {"onnx": "export", "onnxruntime": "export"}
    nearest = ("onnx", "faster-whisper", "whisper.cpp", "transformers")

    def refusal(self, source: Source, options: ExportOptions) -> str | None:
        """See `Target.refusal`."""
        recogniser = source.recogniser
        model, inputs = recogniser.model, recogniser.model.inputs
        if reason := no_ctc(source):
            return reason
        if not can_be_normalised(inputs) or not can_be_computed(inputs):
            return f"features of the kind {inputs.kind} are not computed inside graphs"
        if reason := no_tokens(recogniser.tokens):
            return reason
        if options.lexicon is not None and not hears_fbank(model):
            return "sherpa-onnx searches a lexicon for models on Kaldi's filter banks alone, and this one hears others"
        if repeats(model) is None:
            shift, wanted = 1000 * model.frame_shift(), 1000 * (FBANK_SHIFT if hears_fbank(model) else WAVE_SHIFT)
            return f"it has a frame every {shift:g} ms, which sherpa-onnx cannot time: it counts {wanted:g} ms for each"
        return None

    def write(self, source: Source, folder: Path, options: ExportOptions) -> Report:
        """See `Target.write`."""
        recogniser = source.recogniser
        model, inputs, file = recogniser.model, recogniser.model.inputs, folder / "model.onnx"
        fbank, times = hears_fbank(model), repeats(model)
        assert times is not None
        metadata = {"model_type": "zipformer2_ctc" if fbank else "omnilingual-asr-ctc", "language": recogniser.head}
        with graphed(source.model):
            if fbank:
                module: nn.Module = Listening(model, recogniser.head, Normalised(inputs), times).eval()
                short, long = (inputs.analyse(one) for one in noises((1.0, 1.6)))
                fed = nn.utils.rnn.pad_sequence([long, short], batch_first=True)
                names = {"x": {0: "N", 1: "T"}, "x_lens": {0: "N"}}
                results = {"log_probs": {0: "N", 1: "frames"}, "log_probs_lens": {0: "N"}}
                sizes = torch.tensor([len(long), len(short)])
                write_graph(module, (fed, sizes), file, names, results, metadata, options.int8)
            else:
                module = OfWaveform(model, recogniser.head, times).eval()
                wave = as_sherpa_scales(noises((1.6,))[0])
                write_graph(
                    module,
                    (wave[None],),
                    file,
                    {"x": {0: "N", 1: "samples"}},
                    {"log_probs": {0: "N", 1: "frames"}},
                    metadata,
                    options.int8,
                )
            check, lines = finish_graph(file, partial(self._held, source), options.int8)
        write_tokens(recogniser.tokens, folder / "tokens.txt")
        listening = call(model, options)
        write_text(folder / "test.py", (WORDS_PROGRAM if options.lexicon else PROGRAM).format(call=listening))
        if options.lexicon is not None:
            lines.append(write_words(recogniser.tokens, options.lexicon, options.sentences, folder))
        if (same := written_there(source, folder)) is not None:
            check["same_texts"] = same
            lines.append(f"sherpa-onnx itself wrote the model's own text of {same['equal']} of {same['of']} of them")
        if hears_offset(inputs):
            lines.append("sherpa-onnx takes a constant offset out of a recording, which the model otherwise hears")
        door = "from_zipformer_ctc" if fbank else "from_omnilingual_asr_ctc"
        return Report(check, lines, {"door": door, "frames_repeated": times})

    def usage(self, source: Source, options: ExportOptions) -> str:
        """See `Target.usage`."""
        model = source.recogniser.model
        cut = f"It hears at most {model.window:g} s at once" if model.window else "Long recordings need much memory"
        fed = "batches" if hears_fbank(model) else "one recording at a time, whose features the graph computes itself"
        return USAGE.format(call=call(model, options), cut=cut, fed=fed)

    def _held(self, source: Source, file: Path) -> Agreement:
        """Hold a graph against the model, fed as sherpa-onnx feeds it."""
        model, head, times = source.recogniser.model, source.recogniser.head, repeats(source.recogniser.model)
        assert times is not None
        made, fbank, own = session(file), hears_fbank(model), hears(model, head)

        def heard(recordings: Sequence[torch.Tensor]) -> list[torch.Tensor]:
            if not fbank:
                return [run(made, as_sherpa_scales(one)[None])[0][0] for one in recordings]
            features = [model.inputs.analyse(one) for one in recordings]
            counts = torch.tensor([len(one) for one in features])
            found, lengths = run(made, nn.utils.rnn.pad_sequence(features, batch_first=True), counts)
            return [one[:length] for one, length in zip(found, lengths.tolist(), strict=True)]

        def truth(recordings: Sequence[torch.Tensor]) -> list[torch.Tensor]:
            return [one.repeat_interleave(times, dim=0) for one in own(recordings)]

        return agreement(heard, truth, model.window, batched=fbank)


PROGRAM = '''"""Writes the text of recordings; after `pip install sherpa-onnx soundfile`: python test.py my.wav"""
import pathlib, sys  # noqa: E401
import sherpa_onnx, soundfile  # noqa: E401
model, tokens = (str(pathlib.Path(__file__).with_name(name)) for name in ("model.onnx", "tokens.txt"))
recogniser = sherpa_onnx.OfflineRecognizer.{call}
for name in sys.argv[1:]:
    samples, rate = soundfile.read(name, dtype="float32", always_2d=True)
    stream = recogniser.create_stream()
    stream.accept_waveform(rate, samples.mean(axis=1))
    recogniser.decode_stream(stream)
    print(name, stream.result.text.strip(), sep="\\t")
'''

WORDS_PROGRAM = (
    PROGRAM.replace("model, tokens =", "model, tokens, graph, words =")
    .replace('"tokens.txt"))', '"tokens.txt", "words.fst", "words.txt"))')
    .replace("for name in sys", 'said = ["", *open(words, encoding="utf-8").read().split("\\n")]\nfor name in sys')
    .replace("stream.result.text.strip()", '" ".join(said[number] for number in stream.result.words)')
)

USAGE = """```sh
pip install sherpa-onnx soundfile
python test.py my.wav
```

`test.py` opens the model by

```python
recogniser = sherpa_onnx.OfflineRecognizer.{call}
```

and other languages have a function of that name. It takes {fed}. {cut}: cut them at pauses, as sherpa-onnx's voice
activity detection does. It hears a whole recording and then writes; as a streaming recogniser (`OnlineRecognizer`) it
cannot be used, for its layers hear forwards and backwards. It takes no hot words for models with CTC; a closed
vocabulary is written by `--lexicon` of `asr-transfer export`.
"""


def write_words(tokens: Tokens, file: Path, sentences: bool, folder: Path) -> str:
    """Write a lexicon as a graph, `words.fst`, and its words, one a line, as `words.txt`; return a sentence on it.

    Raises:
        DataError: the lexicon is damaged, or holds what the model cannot write.
    """
    lexicon = read_for(file, tokens)
    entries = list(lexicon)
    space = tokens.symbols.index(" ") if " " in tokens.symbols else None
    costs = [-entry.weight for entry in entries]
    graph = word_graph(lexicon.targets(tokens), costs, space, sentences)
    write_bytes(folder / "words.fst", graph.binary())
    write_text(folder / "words.txt", "".join(f"{entry.word}\n" for entry in entries))
    what = "sentences of them" if sentences else "one of them in each recording"
    return f"the {len(set(lexicon.words))} words of {file.name} alone are heard, {what}"


def call(model: SpeechModel, options: ExportOptions) -> str:
    """Return the call that opens an exported model, with the names `model` and `tokens` for its files."""
    if options.lexicon is not None:
        return f"from_zipformer_ctc(model=model, tokens=tokens, feature_dim={model.inputs.dim}, ctc_graph=graph)"
    if hears_fbank(model):
        return f"from_zipformer_ctc(model=model, tokens=tokens, feature_dim={model.inputs.dim})"
    return "from_omnilingual_asr_ctc(model=model, tokens=tokens)"


def hears_fbank(model: SpeechModel) -> bool:
    """Return whether sherpa-onnx computes a model's features itself."""
    inputs = model.inputs
    return (
        isinstance(inputs, KaldiFbank)
        and (inputs.window_ms, inputs.hop_ms) == (25.0, 10.0)
        and _times(model.frame_shift(), FBANK_SHIFT) is not None
    )


def hears_offset(inputs: Inputs) -> bool:
    """Return whether inputs of a recording are others where a constant is added to its samples."""
    if isinstance(inputs, Waveform):
        return not inputs.normalised
    return not isinstance(inputs, KaldiFbank) and not (isinstance(inputs, LogMel) and inputs.remove_offset)


def repeats(model: SpeechModel) -> int | None:
    """Return how many of the frames that sherpa-onnx counts one of a model's is; None where that is no whole number."""
    return _times(model.frame_shift(), FBANK_SHIFT if hears_fbank(model) else WAVE_SHIFT)


def _times(shift: float, wanted: float) -> int | None:
    times = round(shift / wanted)
    return times if times >= 1 and abs(shift - times * wanted) < 1e-6 else None


def as_sherpa_scales(samples: torch.Tensor) -> torch.Tensor:
    """Return (samples,) as sherpa-onnx hands it to models of waveforms."""
    mean = samples.mean()
    variance = (samples.square().mean() - mean * mean).clamp(min=0.0)
    return (samples - mean) / (variance + FLOOR).sqrt()


def no_tokens(tokens: Tokens) -> str | None:
    """Return why sherpa-onnx cannot write with the tokens; None where it can."""
    spelled = spelled_tokens(tokens)
    for symbol, own in zip(spelled[1:], tokens.symbols[1:], strict=True):
        if any(mark.isspace() or not mark.isprintable() for mark in symbol):
            return f"its token {own!r} cannot stand in a tokens.txt, whose columns blanks divide"
        if symbol in ("<blk>", "<eps>", "SIL"):
            return f"its token {own!r} means something else there"
        if "▁" in own and tokens.units != "subwords":
            return f"its token {own!r} would become a space"
    if len(set(spelled)) < len(spelled):
        return "two of its tokens would be one there"
    return None


def written_there(source: Source, folder: Path) -> dict[str, int] | None:
    """Return of how many of the recordings of noise sherpa-onnx writes the text that the model writes.

    None where sherpa-onnx is not installed: it runs on other devices than the one that exports.
    """
    try:
        library: Any = import_module("sherpa_onnx")
    except ImportError:
        return None
    recogniser = source.recogniser
    model, tokens = str(folder / "model.onnx"), str(folder / "tokens.txt")
    door = library.OfflineRecognizer
    if hears_fbank(recogniser.model):
        there = door.from_zipformer_ctc(model=model, tokens=tokens, feature_dim=recogniser.model.inputs.dim)
    else:
        there = door.from_omnilingual_asr_ctc(model=model, tokens=tokens)
    equal, recordings = 0, noises((1.2, 2.7, 5.3))
    heard: Hear = hears(recogniser.model, recogniser.head)
    for one in recordings:
        stream = there.create_stream()
        stream.accept_waveform(audio.SAMPLE_RATE, one.numpy())
        there.decode_stream(stream)
        best = heard([one])[0].argmax(1)
        text = recogniser.tokens.decode(torch.unique_consecutive(best).tolist())
        equal += " ".join(stream.result.text.split()) == text
    return {"equal": equal, "of": len(recordings)}
