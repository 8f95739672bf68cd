"""Settles the precision of training: what is asked for, or for `auto` the faster one here, measured once and
remembered.

Processors and cards that compute in bf16 train up to 1.6 times as fast in it; on others it is the slower one.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch.nn import functional

from asr_transfer import textfiles
from asr_transfer.cache import cache_folder
from asr_transfer.config import ModelConfig, Precision, TrainerConfig
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.models.contract import SequenceModel, SpeechModel
from asr_transfer.models.kinds import make_network
from asr_transfer.plain import to_json
from asr_transfer.training import distributed

Taken = Literal["fp32", "bf16"]

Network = SpeechModel | ModelConfig
"""A network, or the settings that describe one."""

VARIABLE = "ASR_TRANSFER_PRECISION"
"""Environment variable that answers instead of a measurement, for clusters of unlike machines."""
FILE = "precision.json"
"""In a run folder: what was taken, so that a run that is resumed keeps it wherever that is."""
LIMITS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
"""Environment variables that keep the libraries from what the processor can."""
GAIN = 1.02
"""Times as fast as fp32 that bf16 must be to be taken: of what is equally fast, the exact one."""
STEPS = 8
"""Steps that a measurement takes, about."""
FEW = 4
"""Utterances of the steps that tell how long a network takes."""
HOPELESS = 0.3
"""Seconds of a first step in bf16 that is not worth a second one, where it took many times as long as in fp32."""
LONG = 5.0
"""Processor seconds of the first steps, behind which none is repeated: what builds kernels is a small part of them."""
SECONDS = 0.7
"""Processor seconds after which no further steps are measured."""

_remembered: dict[str, float] = {}


@dataclass(frozen=True)
class Choice:
    """A precision and why it was taken.

    Attributes:
        precision: number format of the training.
        speed: factor by which bf16 was faster than fp32; None where that was not measured.
        reason: reason for the precision, where that was not measured.
    """

    precision: Taken
    speed: float | None = None
    reason: str = ""

    def __str__(self) -> str:
        why = self.reason if self.speed is None else f"bf16 is {self.speed:.2f} times as fast here"
        return f"precision: {self.precision} ({why})"


def settle(
    folder: Path | None,
    asked: Precision,
    model: Network | None,
    device: str,
    batch_budget: int = 6000,
    threads: int = 1,
    say: Callable[[str], None] | None = None,
) -> Taken:
    """Return the precision to train in: the one asked for, or for `auto` the one that the run in `folder` has taken.

    A run that has taken none yet takes the faster one, which is noted in the folder and said.

    Args:
        folder: run folder; None for a training that is not resumed.
        asked: precision that the settings ask for.
        model: network to train, or the settings that describe it; None for one that is not of speech, which `auto`
            trains in fp32.
        device: `cpu` or a GPU, as of `distributed.join`.
        batch_budget: frames of a batch.
        threads: CPU threads of the training.
        say: function that is called with a line where the precision is taken now.

    Raises:
        ConfigError: the environment variable holds something else than a precision.
        DataError: the choice cannot be noted in the folder.
    """
    if asked != "auto":
        return asked
    file = folder / FILE if folder is not None else None
    found = _noted(file) if distributed.is_main() else None
    if found is None and distributed.is_main():
        choice = choose(model, device, batch_budget, threads)
        found = choice.precision
        if file is not None:
            _note(file, choice, device)
        if say is not None:
            say(str(choice))
    return get_args(Taken)[distributed.of_main(get_args(Taken).index(found) if found else 0, device)]  # type: ignore


def choose(model: Network | None, device: str = "cpu", batch_budget: int = 6000, threads: int = 1) -> Choice:
    """Return the faster precision for a network on this machine, measured where that is not known; see `settle`."""
    told = os.environ.get(VARIABLE, "").strip()
    if told:
        if told not in get_args(Taken):
            raise ConfigError(f"the environment variable {VARIABLE} is '{told}'; set it to fp32 or bf16, or unset it.")
        return Choice(told, reason=f"as {VARIABLE} says")  # type: ignore[arg-type]
    if device.startswith("cuda"):
        if torch.cuda.is_bf16_supported():
            return Choice("bf16", reason="which this GPU computes in")
        return Choice("fp32", reason="for this GPU does not compute in bf16")
    if model is None:
        return Choice("fp32", reason="bf16 is measured only for networks that listen to speech")
    if isinstance(model, SpeechModel):
        model = model.network or model
    elif model.pretrained is not None:
        model = make_network(model, {"probe": 40})
    items = max(2, min(16, batch_budget // 300))
    key = _key(model, items, threads)
    speed = _recall(key)
    if speed is None:
        speed = measure(model, items, threads)
        _remember(key, speed)
    return Choice("bf16" if speed >= GAIN else "fp32", speed)


def precise(
    trainer: TrainerConfig,
    folder: Path | None,
    model: Network | None,
    say: Callable[[str], None] | None = None,
) -> TrainerConfig:
    """Return settings with a precision instead of `auto`; see `settle` for the arguments."""
    device = distributed.join(trainer.device)
    taken = settle(folder, trainer.precision, model, device, trainer.batch_budget, trainer.threads, say)
    return replace(trainer, precision=taken)


def measure(model: Network, items: int, threads: int = 1) -> float:
    """Return how many times as fast as in fp32 a network learns in bf16 on this processor.

    Forward and backward passes over noise in either precision take turns; the median of the ratios counts. It takes a
    second or less, but for networks of which a single step takes longer.

    Args:
        model: network, or the settings that describe it.
        items: utterances of a second in a batch.
        threads: CPU threads of the training.
    """
    # The time of one thread is its own, whoever else is at work on the machine.
    clock = time.process_time if threads == 1 else time.perf_counter
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(0)
            step = _stepper(model)

            def timed(precision: Taken, items: int) -> float:
                start = clock()
                step(precision, items)
                return max(clock() - start, 1e-9)

            # Of a network that hears windows of one length, each utterance costs a window.
            few = 1 if isinstance(model, SpeechModel) and model.window is not None else FEW
            begin = clock()
            timed("fp32", few)  # builds kernels, as the first step of every shape
            exact = timed("fp32", few)
            first = timed("bf16", few)
            if (first > HOPELESS and first > 8 * exact) or clock() - begin > LONG:
                return _rounded(exact / first)
            coarse = timed("bf16", few)
            # Where the difference is plain, or a network so large that a few utterances take long, that is enough.
            if coarse > 3 * exact or clock() - begin > SECONDS:
                return _rounded(exact / coarse)
            items = max(FEW, min(items, round(FEW * SECONDS / STEPS / exact)))
            for precision in get_args(Taken):
                timed(precision, items)
            ratios: list[float] = []
            while len(ratios) < 7:
                order = get_args(Taken) if len(ratios) % 2 else get_args(Taken)[::-1]
                seconds = {precision: timed(precision, items) for precision in order}
                ratios.append(seconds["fp32"] / seconds["bf16"])
                if clock() - begin > SECONDS and (len(ratios) >= 3 or not 0.8 < statistics.median(ratios) < 1.25):
                    break
    finally:
        torch.set_num_threads(before)
    return _rounded(statistics.median(ratios))


def _rounded(ratio: float) -> float:
    return float(f"{ratio:.3g}")


def _stepper(network: Network) -> Callable[[Taken, int], None]:
    """Return what takes a step in a precision on so many utterances, short of changing the weights."""
    if isinstance(network, SpeechModel):
        model = copy.deepcopy(network).cpu().train()
    else:
        model = make_network(network, {"probe": 40}).train()
    name = model.head_names()[0]
    frames, labels = round(1 / model.inputs.shift), 8 + (model.prompt if isinstance(model, SequenceModel) else 0)
    tokens = int(model.head(name).out_features)  # type: ignore[arg-type]

    def step(precision: Taken, items: int) -> None:
        inputs = torch.randn(items, frames, model.inputs.dim)
        lengths = torch.linspace(0.8 * frames, frames, items).long()
        targets, asked = torch.randint(1, tokens, (items, labels)), torch.full((items,), labels)
        model.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            states, kept = model(inputs, lengths)
            hidden, kept = model.answered(states, kept, targets, asked)
            logits = model.head(name)(hidden).float()
        if model.criterion == "ctc":
            assert kept is not None
            scores = logits.log_softmax(-1).transpose(0, 1)
            loss = functional.ctc_loss(scores, targets, kept, asked, zero_infinity=True)
        else:
            loss = functional.cross_entropy(logits.flatten(0, 1), targets[:, -logits.shape[1] :].flatten())
        loss.backward()  # type: ignore[no-untyped-call]

    return step


def _key(model: Network, items: int, threads: int) -> str:
    """Return what a measurement holds for: processor, library and network."""
    if isinstance(model, SpeechModel):
        network = {"kind": type(model).__qualname__, **model.describe(), "inputs": model.inputs.plain()}
    else:
        network = {
            **{name: getattr(model, name) for name in ("encoder", "layers", "dim", "channels", "strides")},
            "mels": model.features.mels,
        }
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ]
    sizes = [f"threads {threads}", f"items {items}", json.dumps(network, default=str)]
    return "; ".join([_processor(), f"torch {torch.__version__}", *limits, *sizes])


def _processor() -> str:
    """Return the processor's name, and a digest of what it can do."""
    try:
        lines = textfiles.read_bytes("/proc/cpuinfo").decode("utf-8", "replace").splitlines()
    except DataError:
        return f"{platform.machine()} {platform.processor()}"
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    can = said.get("flags", said.get("Features", ""))
    return f"{said.get('model name', platform.machine())} {hashlib.sha256(can.encode()).hexdigest()[:8]}"


def _recall(key: str) -> float | None:
    if key not in _remembered:
        found = _read(_cache()).get(key)
        if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found < 1000:
            _remembered[key] = float(found)
    return _remembered.get(key)


def _remember(key: str, speed: float) -> None:
    """Keep a measurement for this process, and for later ones where the cache folder can be written."""
    _remembered[key] = speed
    file = _cache()
    if file is None:
        return
    with contextlib.suppress(DataError):  # it is measured again next time, which takes a second
        textfiles.write_text(file, to_json({**_read(file), key: speed}, indent=1))


def _cache() -> Path | None:
    try:
        return cache_folder() / FILE
    except (OSError, RuntimeError, ConfigError):
        return None  # there is no home folder


def _read(file: Path | None) -> dict[str, Any]:
    try:
        values = json.loads(textfiles.read_text(file)) if file is not None else {}
    except (DataError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _noted(file: Path | None) -> Taken | None:
    taken = _read(file).get("taken")
    return taken if taken in get_args(Taken) else None


def _note(file: Path, choice: Choice, device: str) -> None:
    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()
    noted = {"asked": "auto", "taken": choice.precision, "bf16_speed": choice.speed, "processor": where}
    textfiles.write_text(file, to_json(noted) + "\n")
