"""Exports Whisper to the ggml file that whisper.cpp runs.

The file is a header of sizes, the mel filters, the bytes of every token, and the tensors by the names of OpenAI's own
code, weights of sixteen bits, all in the byte order of small computers (`models/convert-h5-to-ggml.py` of whisper.cpp).
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from asr_transfer.data.inputs.whisper_mel import filterbank
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.target import ExportOptions, Report, Target, register
from asr_transfer.deployment.whisper_check import MOST, Heard, compared, heard, language_of
from asr_transfer.deployment.whisper_files import whisper_of, whisper_refusal
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.whisper_folder import published_tensors
from asr_transfer.plain import to_json

FILE = "ggml-model.bin"
RUNTIME = "pywhispercpp"
MAGIC = 0x67676D6C
VOCABULARIES = (51864, 51865, 51866)
"""Sizes of vocabularies that whisper.cpp knows: where its marks are follows from the size alone."""
WINDOW = 30.0

_LAYER = {
    "self_attn.k_proj": "attn.key",
    "self_attn.q_proj": "attn.query",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.q_proj": "cross_attn.query",
    "encoder_attn.v_proj": "cross_attn.value",
    "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}
_OTHERS = {
    "encoder.layer_norm": "encoder.ln_post",
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.layer_norm": "decoder.ln",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens": "decoder.token_embedding",
}


@register("whisper.cpp")
class WhisperCpp(Target):
    """A ggml file for whisper.cpp and what is built on it."""

    runtime = "whisper.cpp"
    takes: ClassVar[frozenset[str]] = frozenset({"fp16"})
    nearest = ("faster-whisper", "transformers", "onnx")

    def refusal(self, source: Source, options: ExportOptions) -> str | None:
        """See `Target.refusal`."""
        if (reason := whisper_refusal(source)) is not None:
            return reason
        model, tokens = whisper_of(source)
        if len(tokens) not in VOCABULARIES:
            return f"it finds its marks by the number of tokens, {', '.join(map(str, VOCABULARIES))}, not {len(tokens)}"
        if {model.sizes.feed_forward, model.decoder_sizes.feed_forward} != {4 * model.sizes.dim}:
            return "it takes feed-forward parts four times as wide as the layers alone"
        if model.window != WINDOW:
            return f"it hears {WINDOW:g} seconds at once, and the model {model.window:g}"
        return None

    def write(self, source: Source, folder: Path, options: ExportOptions) -> Report:
        """See `Target.write`."""
        with (folder / FILE).open("wb") as out:
            _write(out, source)
        _require_weights(source, folder / FILE)
        if find_spec(RUNTIME) is not None:
            return _checked(source, folder / FILE)
        line = (
            "the file was read again and holds the model's weights; whisper.cpp itself was not run, for "
            f"{RUNTIME} is not installed (pip install {RUNTIME})"
        )
        return Report({"tensors": len(published_tensors(whisper_of(source)[0]))}, [line])

    def usage(self, source: Source, options: ExportOptions) -> str:
        """See `Target.usage`."""
        language = language_of(source) or "en"
        return (
            f"```sh\nwhisper-cli -m {FILE} -l {language} -f new.wav\n```\n\n"
            f"`whisper-cli` is built from whisper.cpp's sources; `whisper-quantize {FILE} small.bin q5_0` makes the "
            f"file smaller. In Python, `pip install {RUNTIME}` brings it compiled:\n\n"
            "```python\nfrom pywhispercpp.model import Model\n\n"
            f'print(" ".join(one.text for one in Model("{FILE}", language="{language}").transcribe("new.wav")))\n```'
        )


def read_tensors(file: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield names and tensors of a ggml file, behind its sizes, filters and tokens.

    Raises:
        ModelError: It is cut off, or none.
    """
    with file.open("rb") as stream:
        if _integers(stream, 1)[0] != MAGIC:
            raise ModelError(f"{file}: is no ggml file.")
        _integers(stream, 11)
        rows, columns = _integers(stream, 2)
        stream.seek(4 * rows * columns, 1)
        for _ in range(_integers(stream, 1)[0]):
            stream.seek(_integers(stream, 1)[0], 1)
        while stream.peek(1):
            axes, length, kind = _integers(stream, 3)
            shape = _integers(stream, axes)[::-1]
            name = stream.read(length).decode()
            dtype = np.dtype("<f2" if kind else "<f4")
            data = stream.read(dtype.itemsize * int(np.prod(shape)))
            yield name, np.frombuffer(data, dtype).reshape(shape)


def _write(out: BinaryIO, source: Source) -> None:
    model, tokens = whisper_of(source)
    sizes, decoder = model.sizes, model.decoder_sizes
    header = [MAGIC, decoder.tokens, sizes.positions, sizes.dim, sizes.heads, sizes.layers]
    header += [decoder.positions, sizes.dim, decoder.heads, decoder.layers, sizes.mels, 1]
    out.write(struct.pack("<12i", *header))
    filters = filterbank(sizes.mels).T.numpy().astype("<f4")
    out.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
    pieces = tokens.pieces[: tokens.end]  # it makes the marks behind them itself
    out.write(struct.pack("<i", len(pieces)))
    for piece in pieces:
        out.write(struct.pack("<i", len(piece)) + piece)
    for name, tensor in _tensors(source):
        kind = int(tensor.dtype == np.dtype("<f2"))
        encoded = name.encode()
        out.write(struct.pack(f"<{3 + tensor.ndim}i", tensor.ndim, len(encoded), kind, *tensor.shape[::-1]))
        out.write(encoded + tensor.tobytes())


def _tensors(source: Source) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield tensors by whisper.cpp's names: of 16 bits, but for vectors and positions, which have 32.

    The convolutions are computed in 16 bits alone, so that a file of 32 is taken and then aborts.
    """
    for name, tensor in published_tensors(whisper_of(source)[0]).items():
        own = _name(name.removeprefix("model."))
        array = tensor.float().numpy()
        if own.endswith(("conv1.bias", "conv2.bias")):
            array = array[:, None]
        short = tensor.dim() > 1 and not own.endswith("positional_embedding")
        yield own, np.ascontiguousarray(array, "<f2" if short else "<f4")


def _name(name: str) -> str:
    """Return whisper.cpp's name of a published tensor: `encoder.layers.0.fc1.bias` is `encoder.blocks.0.mlp.0.bias`."""
    parts = name.split(".")
    if parts[1] == "layers":
        return ".".join([parts[0], "blocks", parts[2], _LAYER[".".join(parts[3:-1])], parts[-1]])
    for there, here in _OTHERS.items():
        if name.startswith(there):
            return here + name.removeprefix(there)
    return name


def _require_weights(source: Source, file: Path) -> None:
    """Refuse a file that does not hold the model's weights.

    Raises:
        ModelError: It does not.
    """
    wanted = dict(_tensors(source))
    found = dict(read_tensors(file))
    if wanted.keys() != found.keys() or any(not np.array_equal(wanted[name], found[name]) for name in wanted):
        raise ModelError(f"{file.name}: does not hold the model's weights; the disk may be full or damaged.")


def _checked(source: Source, file: Path) -> Report:
    """Compare the texts that whisper.cpp writes with the model's.

    Raises:
        ModelError: It does not take the file, or writes nothing that the model does.
    """
    _, tokens = whisper_of(source)
    ours = heard(source)
    # In a process of its own, for what it does not take ends the process that it runs in.
    given = {"file": str(file), "language": language_of(source) or "en", "sounds": [one.sound.tolist() for one in ours]}
    done = subprocess.run([sys.executable, "-c", _RUN], input=to_json(given), capture_output=True, text=True)
    if done.returncode or len(done.stdout.splitlines()) < len(ours):
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
        raise ModelError(f"{source.model}: whisper.cpp does not take the file that was written ({reason}).")
    written = dict(zip(map(id, ours), done.stdout.splitlines()[-len(ours) :], strict=True))

    def text(one: Heard) -> Sequence[int]:
        return one.text if " ".join(written[id(one)].split()) == tokens.decode(one.text) else (*one.text, -1)

    return compared(ours, None, text, "whisper.cpp", 0.0, 1)


_RUN = """
import json, sys
import numpy
from pywhispercpp.model import Model
given = json.load(sys.stdin)
model = Model(
    given["file"], language=given["language"], no_timestamps=True, single_segment=True, no_context=True, n_threads=1,
    temperature_inc=0.0, suppress_nst=True, no_speech_thold=2.0, print_progress=False, max_tokens=MOST,
)
texts = ["".join(one.text for one in model.transcribe(numpy.array(sound, "float32"))) for sound in given["sounds"]]
print()
for text in texts:
    print(" ".join(text.split()))
""".replace("MOST", str(MOST))
"""Program that reads file, language and sounds as JSON, and writes a line with what whisper.cpp hears in each sound."""


def _integers(stream: BinaryIO, count: int) -> tuple[int, ...]:
    data = stream.read(4 * count)
    if len(data) < 4 * count:
        raise ModelError("the ggml file is cut off.")
    return struct.unpack(f"<{count}i", data)
