"""Exports models of CTC to folders that SpeechBrain's `EncoderASR` transcribes with."""

from __future__ import annotations

import base64
import contextlib
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.data.tokens import Tokens
from asr_transfer.deployment.ctc_files import ctc_logits, ctc_report
from asr_transfer.deployment.sounds import SECONDS, sounds
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.target import ExportOptions, Report, Target, register
from asr_transfer.models.kinds import describe
from asr_transfer.plain import to_json
from asr_transfer.textfiles import write_text

SETTINGS, WEIGHTS = "hyperparams.yaml", "encoder.ckpt"

_SETTINGS = """\
# Read by speechbrain.inference.ASR.EncoderASR.from_hparams; what `!new:` names is made of asr-transfer and SpeechBrain.
sample_rate: {rate}
encoder: !new:asr_transfer.deployment.speechbrain_parts.Encoder
  description: {description}
  head: {head}
tokenizer: !new:asr_transfer.deployment.speechbrain_parts.Speller
  symbols: {symbols}
  units: {units}
  pieces: {pieces}
modules:
  encoder: !ref <encoder>
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
  blank_id: 0
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables:
    encoder: !ref <encoder>
"""


@register("speechbrain")
class SpeechBrain(Target):
    """A folder for `EncoderASR.from_hparams`."""

    runtime = "SpeechBrain"
    nearest = ("transformers", "onnx")

    def refusal(self, source: Source, options: ExportOptions) -> str | None:
        """See `Target.refusal`."""
        if source.recogniser.model.criterion != "ctc":
            return "EncoderASR decodes by CTC, and this model writes token after token"
        return None

    def write(self, source: Source, folder: Path, options: ExportOptions) -> Report:
        """See `Target.write`."""
        recogniser = source.recogniser
        state = {f"model.{name}": tensor.cpu() for name, tensor in recogniser.model.state_dict().items()}
        torch.save(state, folder / WEIGHTS)
        write_text(folder / SETTINGS, settings(describe(recogniser.model), recogniser.head, recogniser.tokens))
        report = _checked(source, folder)
        lexicon = "its lexicon stays behind: SpeechBrain writes what the tokens spell"
        return Report(report.check, [*report.lines, *([lexicon] if recogniser.lexicon is not None else [])])

    def usage(self, source: Source, options: ExportOptions) -> str:
        """See `Target.usage`."""
        window = source.recogniser.model.window
        limit = "" if window is None else f" Recordings of more than {window:g} seconds have to be cut before."
        return (
            "```python\n"
            "from speechbrain.inference.ASR import EncoderASR\n\n"
            'recogniser = EncoderASR.from_hparams(source=".", savedir="cache")\n'
            'print(recogniser.transcribe_file("new.wav"))\n'
            "```\n\n"
            f"`{SETTINGS}` names classes of asr-transfer, which has to be installed beside SpeechBrain; SpeechBrain "
            f"makes whatever such a file names, so read it in folders of strangers.{limit}"
        )

    def front_matter(self, source: Source, options: ExportOptions) -> Mapping[str, Any]:
        """See `Target.front_matter`."""
        return {"library_name": "speechbrain", "pipeline_tag": "automatic-speech-recognition"}


def settings(description: Mapping[str, Any], head: str, tokens: Tokens) -> str:
    """Return the text of `hyperparams.yaml`.

    Args:
        description: result of `models.kinds.describe`.
        head: name of the head.
        tokens: tokens of the head.
    """
    pieces = "" if tokens.model is None else base64.b64encode(tokens.model.data).decode()
    return _SETTINGS.format(
        rate=SAMPLE_RATE,
        # As a text, whose numbers and marks no reader of YAML takes for anything else.
        description=_quoted(to_json(description)),
        head=_quoted(head),
        symbols=to_json(tokens.symbols[1:]),
        units=_quoted(tokens.units),
        pieces=_quoted(pieces),
    )


def _quoted(text: str) -> str:
    return to_json(text)  # YAML reads every text as JSON writes it


def _checked(source: Source, folder: Path) -> Report:
    """Compare log-probabilities and texts in SpeechBrain with the model's."""
    made = import_module("speechbrain.inference.ASR")
    worst, equal = 0.0, 0
    with tempfile.TemporaryDirectory() as cache, torch.no_grad(), contextlib.redirect_stdout(None):
        theirs = made.EncoderASR.from_hparams(source=str(folder.resolve()), savedir=cache, run_opts={"device": "cpu"})
        for sound in sounds(source.recogniser.model.window):
            mine, text = ctc_logits(source, sound)
            whole = torch.ones(1)
            found, wanted = theirs.encode_batch(sound[None], whole)[0], mine.log_softmax(-1)
            worst = max(worst, float((found - wanted).abs().max() / wanted.abs().max()))
            equal += theirs.transcribe_batch(sound[None], whole)[0][0] == text
    return ctc_report("SpeechBrain", len(SECONDS), equal, worst, 1e-3, len(SECONDS))
