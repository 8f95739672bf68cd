"""Exports to folders that plain Transformers loads: Whisper's, and those of its CTC families."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from asr_transfer.deployment import ctc_files, peft_folder, whisper_files
from asr_transfer.deployment.libraries import library, quiet
from asr_transfer.deployment.sounds import SECONDS
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.target import ExportOptions, Report, Target, register
from asr_transfer.deployment.whisper_check import MOST, Heard, compared, heard, language_of
from asr_transfer.models.pretrained.whisper import Whisper


@register("transformers")
class Transformers(Target):
    """A folder for `from_pretrained`."""

    runtime = "Transformers"
    takes: ClassVar[frozenset[str]] = frozenset({"fp16", "adapters"})
    needs: ClassVar[Mapping[str, str]] = {"transformers": "pretrained"}
    nearest = ("onnx",)

    def refusal(self, source: Source, options: ExportOptions) -> str | None:
        """See `Target.refusal`."""
        whole = isinstance(source.recogniser.model, Whisper)
        reason = whisper_files.whisper_refusal(source) if whole else ctc_files.ctc_refusal(source)
        return reason or (peft_folder.peft_refusal(source, options.fp16) if options.adapters else None)

    def write(self, source: Source, folder: Path, options: ExportOptions) -> Report:
        """See `Target.write`."""
        if options.adapters:
            return _write_adapters(source, folder)
        tolerance, least = (5e-2, 0) if options.fp16 else (1e-3, len(SECONDS))
        if isinstance(source.recogniser.model, Whisper):
            lines = whisper_files.write_whisper(source, folder, options.fp16)
            report = check_whisper(source, folder, folder, tolerance, least)
        else:
            lines = ctc_files.write_ctc(source, folder, options.fp16)
            report = ctc_files.check_ctc(source, folder, folder, tolerance, least)
        return Report(report.check, [*report.lines, *lines])

    def usage(self, source: Source, options: ExportOptions) -> str:
        """See `Target.usage`."""
        if options.adapters:
            return peft_folder.usage(source)
        beams = (
            " The pipeline searches with five hypotheses; asr-transfer takes the likeliest token each time, as the "
            "pipeline does with `generate_kwargs={'num_beams': 1}`."
        )
        return (
            "```python\n"
            "from transformers import pipeline\n\n"
            'recognise = pipeline("automatic-speech-recognition", ".", chunk_length_s=30)\n'
            'print(recognise("new.wav")["text"])\n'
            "```\n\n"
            "`pip install 'transformers>=5.24'` installs what it needs, ffmpeg reads the recordings."
            f"{beams if isinstance(source.recogniser.model, Whisper) else ''}"
        )

    def front_matter(self, source: Source, options: ExportOptions) -> Mapping[str, Any]:
        """See `Target.front_matter`."""
        return {"library_name": "transformers", "pipeline_tag": "automatic-speech-recognition"}


def _write_adapters(source: Source, folder: Path) -> Report:
    """Write the adapters alone, and compare them on their base with the model."""
    with tempfile.TemporaryDirectory() as made:
        plain = Path(made)
        base = peft_folder.base_of(source)
        if isinstance(source.recogniser.model, Whisper):
            whisper_files.write_whisper(base, plain)
        else:
            ctc_files.write_ctc(base, plain)
        peft_folder.write_peft(source, plain, folder)
        check = check_whisper if isinstance(source.recogniser.model, Whisper) else ctc_files.check_ctc
        return check(source, plain, folder, 1e-3, len(SECONDS))


def check_whisper(source: Source, folder: Path, adapters: Path, tolerance: float, least: int) -> Report:
    """Compare a Whisper folder in Transformers with the model, as `check_ctc` does a folder with CTC."""
    made = library("transformers", "pretrained", "transformers")
    with quiet(made):
        model = made.WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        if adapters != folder:
            model = peft_folder.with_adapters(model, adapters)
        return _compared(made, model.eval(), source, folder, tolerance, least)


def _compared(made: Any, model: Any, source: Source, folder: Path, tolerance: float, least: int) -> Report:
    features = made.WhisperFeatureExtractor.from_pretrained(folder)
    language = language_of(source)

    def inputs(one: Heard) -> torch.Tensor:
        found = features(one.sound.numpy(), sampling_rate=16_000, return_tensors="pt").input_features
        return torch.as_tensor(found)

    @torch.no_grad()
    def logits(one: Heard) -> torch.Tensor:
        tokens = torch.tensor([[*one.prompt, *one.text]])
        found: torch.Tensor = model(input_features=inputs(one), decoder_input_ids=tokens).logits[0]
        return found[len(one.prompt) - 1 :]

    @torch.no_grad()
    def text(one: Heard) -> Sequence[int]:
        asked = {} if language is None else {"language": language, "task": "transcribe"}
        end = model.generation_config.eos_token_id
        most = min(MOST, len(one.text) + 1)
        found = model.generate(inputs(one), num_beams=1, do_sample=False, max_new_tokens=most, **asked)[0].tolist()
        written = [token for token in found if token not in one.prompt]
        return written[: written.index(end)] if end in written else written

    return compared(heard(source), logits, text, "Transformers", tolerance, least)
