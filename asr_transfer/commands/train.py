"""The runs behind `asr-transfer train` and `evaluate`: data in, run folder out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from asr_transfer.commands.options import TrainCommand
from asr_transfer.config import to_record
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.judged import hold_out, symbols_of
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.data.summary import judged_origin, keep, remarks, writers
from asr_transfer.decoding.identify import calibrated
from asr_transfer.errors import DataError
from asr_transfer.evaluation.scoring import Score, write_scores
from asr_transfer.evaluation.unwritable import find_unwritable
from asr_transfer.runs.emptying import in_use
from asr_transfer.runs.record import RunRecord
from asr_transfer.textfiles import require_writable_folder
from asr_transfer.training import distributed
from asr_transfer.training.precision import precise
from asr_transfer.training.session import hold_out_speakers, hypotheses, require_trainable, train_recogniser

Say = Callable[[str], None]


def train_run(command: TrainCommand, say: Say) -> Score | None:
    """Train a speaker-independent model into a run folder; score it where a test manifest is given.

    Raises:
        AsrTransferError: whatever is wrong with manifests, audio, settings or the folder.
    """
    if distributed.is_main():
        require_writable_folder(command.out)
    everything = read_manifest(command.train)
    dev = read_manifest(command.dev) if command.dev else []
    train = everything
    if command.dev_speakers:
        train, dev = hold_out_speakers(everything, command.dev_speakers, command.trainer.seed)
    test = read_manifest(command.test) if command.test else []
    _refuse_shared(train, dev, "dev")
    _refuse_shared(train, test, "test")
    held = hold_out(train, dev, command.keep_judged, command.trainer.seed, symbols_of(command))
    train, taken = list(held.train), len(train) - len(held.train)
    settings = to_record(command)
    device = distributed.join(command.trainer.device)
    main = distributed.is_main()
    features = command.model.features

    def computed() -> FeatureStore:
        if main and test:  # used at the end only, when it is late to hear that a recording cannot be read
            build_store(test, features)
        return build_store([*everything, *(dev if command.dev else [])], features, command.speeds)

    # A folder in use is refused or gone on with at once; a run is replaced only by one that can begin.
    store = None
    if (command.overwrite and not command.resume) or not in_use(command.out):
        store = computed()
        require_trainable(train, dev, store, command)
    record = RunRecord(command.out, settings, resume=command.resume, overwrite=command.overwrite) if main else None
    for name, path, part in (
        ("train", command.train, train),
        ("dev", command.dev or command.train, dev),
        ("test", command.test or "", test),
        ("judged", command.train if taken else command.dev or command.train, held.judged),
    ):
        if part and record is not None:
            record.data(name, path, part)
    if record is not None and record.finished_before:
        say(f"{command.out}: the run is finished already; nothing to do")
        return None
    say(f"training on {len(train)} utterances of {len({u.speaker for u in train})} speakers ({device})")
    if held.remark:
        say(held.remark)
    command = replace(
        command, trainer=precise(command.trainer, command.out, command.model, record.say if record else None)
    )
    store = store or computed()
    recogniser, result, report = train_recogniser(
        train, dev, store, command, command.out, record.log if record else None
    )
    if record is None:
        return None
    if report.dropped:
        say(str(report))
    if dev:
        recogniser = calibrated(recogniser, dev, store, say)
    languages = ", ".join(sorted({u.language for u in train}))
    card = (
        f"# Speech recogniser ({languages})\n\nTrained on {len(train)} utterances of "
        f"{len({u.speaker for u in train})} speakers by `asr-transfer train`; see `../run.json`.\n"
    )
    kept = keep(held, report, store, command.keep_source, command.trainer.seed)
    origin = {"trained_on": record.values["data"]["train"]["checksum"], **judged_origin(held)}
    recogniser.save(command.out / "model", card + remarks(kept), origin, writers(kept))
    training = {
        "cpu_seconds": round(result.cpu_seconds, 2),
        "loading_seconds": round(result.loading_seconds, 2),
        "steps": result.steps,
        "skipped_steps": result.skipped,
        "audio_seconds_per_cpu_second": round(result.cost * features.hop_ms / 1000 / max(result.cpu_seconds, 1e-9), 1),
        "left_out": [f"{name}: {reason}" for name, reason in report.dropped],
    }
    scores, total, more = {}, None, dict[str, Any]()
    if test:
        heard = hypotheses(recogniser, test, build_store(test, features), by_head=True)
        total = write_scores(command.out, heard)
        scores["test"] = total.to_plain()
        say(f"test: {total}")
        if lacking := find_unwritable(heard, recogniser.written(by_head=True), recogniser.writes):
            say(f"test: {lacking.sentence(str(command.out))}")
            more["unwritable"] = lacking.to_plain()
    record.finish(history=result.history, best=result.best, training=training, scores=scores, **more)
    say(f"{command.out / 'model'}: written after {result.steps} steps, {result.cpu_seconds:.0f} CPU-seconds")
    return total


def _refuse_shared(train: Sequence[Utterance], other: Sequence[Utterance], name: str) -> None:
    shared = {u.id for u in train} & {u.id for u in other}
    if shared:
        raise DataError(
            f"utterance '{min(shared)}' stands in the training and the {name} manifest; a model must not be judged on "
            "what it learnt from, remove it from one."
        )
