"""Exports Whisper to CTranslate2, which faster-whisper and WhisperX run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.deployment.eight_bits import fitted
from asr_transfer.deployment.libraries import library, quiet
from asr_transfer.deployment.sounds import SECONDS
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.target import ExportOptions, Report, Target, register
from asr_transfer.deployment.whisper_check import Heard, compared, heard, language_of
from asr_transfer.deployment.whisper_files import whisper_of, whisper_refusal, write_whisper
from asr_transfer.errors import ModelError

EXTRA = "faster-whisper"
BESIDE = ("tokenizer.json", "preprocessor_config.json")
"""Files that faster-whisper reads beside the weights; without the second one it takes 80 mel bands in silence."""


@register("faster-whisper")
class FasterWhisper(Target):
    """A folder for `faster_whisper.WhisperModel`."""

    runtime = "faster-whisper"
    takes: ClassVar[frozenset[str]] = frozenset({"int8", "fp16"})
    needs: ClassVar[Mapping[str, str]] = {"ctranslate2": EXTRA, "transformers": EXTRA}
    nearest = ("transformers", "onnx")

    def refusal(self, source: Source, options: ExportOptions) -> str | None:
        """See `Target.refusal`."""
        if options.int8 and options.fp16:
            return "weights have eight bits or sixteen"
        return whisper_refusal(source)

    def write(self, source: Source, folder: Path, options: ExportOptions) -> Report:
        """See `Target.write`."""
        converters = library("ctranslate2.converters", EXTRA, self.name)
        with tempfile.TemporaryDirectory() as made, quiet(library("transformers", EXTRA, self.name)):
            plain, converted = Path(made) / "plain", Path(made) / "converted"
            plain.mkdir()
            write_whisper(source, plain)
            quantisation = "int8" if options.int8 else "float16" if options.fp16 else "float32"
            try:
                converter = _fitting(converters.TransformersConverter)(str(plain), copy_files=list(BESIDE))
                converter.convert(str(converted), quantization=quantisation)
            except (RuntimeError, ValueError, NotImplementedError, KeyError, AttributeError, TypeError) as error:
                raise ModelError(
                    f"{source.model}: CTranslate2 cannot convert the model ({error}); try the newest ctranslate2 and "
                    "transformers."
                ) from None
            for file in converted.iterdir():
                shutil.copyfile(file, folder / file.name)
        return _checked(source, folder, options)

    def usage(self, source: Source, options: ExportOptions) -> str:
        """See `Target.usage`."""
        language = language_of(source) or "en"
        kind, window = "int8" if options.int8 else "float32", source.recogniser.model.window or 0.0
        return (
            "```python\n"
            "from faster_whisper import WhisperModel\n\n"
            f'model = WhisperModel(".", device="cpu", compute_type="{kind}")\n'
            f'segments, _ = model.transcribe("new.wav", language="{language}")\n'
            'print(" ".join(segment.text.strip() for segment in segments))\n'
            "```\n\n"
            "`pip install faster-whisper` installs what it needs. On a GPU take `float16` or `int8_float16`.\n\n"
            f"What a recording lacks of {window:g} seconds faster-whisper fills with features that are no silence, and "
            "writes some texts otherwise for it. With silence behind the recording it writes what the model itself "
            f"does: `numpy.pad(samples, (0, max(0, {round(window * SAMPLE_RATE)} - len(samples))))`."
        )

    def front_matter(self, source: Source, options: ExportOptions) -> Mapping[str, Any]:
        """See `Target.front_matter`."""
        return {"library_name": "ctranslate2", "pipeline_tag": "automatic-speech-recognition"}


def _fitting(converter: type[Any]) -> type[Any]:
    """Return a converter whose weights of eight bits are as small as their products need (`eight_bits`)."""
    specs = library("ctranslate2.specs.model_spec", EXTRA, "faster-whisper")

    def fit(layer: Any, name: str, value: Any) -> None:
        own = name.rpartition("/")[2]
        scale = getattr(layer, f"{own}_scale", None)
        if scale is not None and getattr(value, "dtype", None) == "int8":
            rows = value.numpy().reshape(value.shape[0], -1)
            weights, factors = fitted(rows, 1)
            setattr(layer, own, specs.NumpyVariable(weights.reshape(value.shape)))
            setattr(layer, f"{own}_scale", specs.NumpyVariable((scale.numpy() * factors).astype(np.float32)))

    class Fitting(converter):
        """The library's own converter up to where its weights are whole numbers."""

        def convert(self, output_dir: str, quantization: str) -> None:
            """Write the model to a new folder."""
            spec = self._load()
            spec.validate()
            spec.optimize(quantization=quantization)
            specs.visit_spec(spec, fit)
            Path(output_dir).mkdir()
            spec.save(output_dir)

    return Fitting


def _checked(source: Source, folder: Path, options: ExportOptions) -> Report:
    made = library("ctranslate2", EXTRA, "faster-whisper")
    kind = "int8" if options.int8 else "float32"
    runtime = made.models.Whisper(str(folder), device="cpu", compute_type=kind, intra_threads=1)
    model, tokens = whisper_of(source)
    results: dict[int, Any] = {}

    def result(one: Heard) -> Any:
        if id(one) not in results:
            steps = round(100 * model.window)
            padded = torch.nn.functional.pad(one.features, (0, 0, 0, max(0, steps - len(one.features))))[:steps]
            features = made.StorageView.from_array(padded.T[None].contiguous().numpy())
            most = 2 * (len(one.prompt) + len(one.text) + 1)  # it writes no more than half of that
            results[id(one)] = runtime.generate(
                features, [list(one.prompt)], beam_size=1, max_length=most, return_logits_vocab=True
            )[0]
        return results[id(one)]

    def logits(one: Heard) -> torch.Tensor:
        return torch.stack(
            [torch.from_numpy(np.array(step.to(made.DataType.float32))) for step in result(one).logits[0][:1]]
        )

    def text(one: Heard) -> Sequence[int]:
        return [token for token in result(one).sequences_ids[0] if token != tokens.end][: len(one.text)]

    tolerance, least = (0.5, 0) if options.int8 else (5e-2, 0) if options.fp16 else (1e-3, len(SECONDS))
    return compared(heard(source), logits, text, "CTranslate2", tolerance, least)
