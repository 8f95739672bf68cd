"""Trains a speaker-independent model: `asr-transfer train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from asr_transfer.commands.options import Command, ResumableOptions, Say, add_settings, settings_of
from asr_transfer.commands.profile_speakers import put_beside
from asr_transfer.commands.trained_model import kept_in
from asr_transfer.config import KEEP_JUDGED, KEEP_SOURCE, ProfileKind, SourceConfig, to_record
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.scoring import Score, write_scores
from asr_transfer.evaluation.unwritable import find_unwritable
from asr_transfer.ranges import CountOrNone
from asr_transfer.runs.console import say
from asr_transfer.runs.emptying import in_use
from asr_transfer.runs.record import RunRecord
from asr_transfer.textfiles import read_text, require_writable_folder

if not TYPE_CHECKING:
    pass
else:  # not of `if TYPE_CHECKING`, which the parser runs to resolve the types of the options below
    from asr_transfer.decoding.recogniser import Recogniser


@dataclass(frozen=True, kw_only=True)
class TrainCommand(SourceConfig, ResumableOptions):
    """Train a speaker-independent model, which the run folder then holds in `model`.

    Attributes:
        train: manifest to train on.
        dev: manifest that the best weights are chosen on; without it the last weights are kept.
        dev_speakers: number of speakers of `train` to hold out instead of giving `dev`.
        test: manifest to score the finished model on.
        keep_source: number of training utterances, drawn by the seed, that the model's folder keeps as features and
            transcripts, for `adapt` to mix in; 0 for none.
        keep_judged: approximate number of utterances of each language to hold out from training, whole speakers where
            there are several, and to keep in the model's folder, where they show `adapt` what others lose. Development
            speech serves instead where there is enough of it: it chooses the best weights but is not trained on. At
            most a tenth of the training utterances is taken, and none where that is too few; 0 for none.
        about: text file that goes on the model's card, such as the corpora and their licences that `asr-transfer
            prepare languages` lists.
        speaker_profiles: kind of the profiles, `lhuc`, `lin` or `lora`, that are made of the training speakers when the
            model is trained; what they have in common comes with the model, for `adapt` to describe new speakers by few
            numbers. Eight speakers need to be named in the manifest, with two recordings each. None makes none.
    """

    train: Path
    dev: Path | None = None
    dev_speakers: CountOrNone = 0
    test: Path | None = None
    keep_source: CountOrNone = KEEP_SOURCE
    keep_judged: CountOrNone = KEEP_JUDGED
    about: Path | None = None
    speaker_profiles: ProfileKind | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dev is not None and self.dev_speakers:
            raise ConfigError("`dev` and `dev_speakers` exclude each other; give one.")
        if self.trainer.patience and self.dev is None and not self.dev_speakers:
            raise ConfigError("`trainer.patience` needs development data; give `dev` or `dev_speakers`.")


def train_run(command: TrainCommand, say: Say) -> Score | None:
    """Train a speaker-independent model into a run folder; score it where a test manifest is given.

    Raises:
        AsrTransferError: manifests, audio, settings or the folder are wrong.
    """
    from asr_transfer.adaptation.adaptable_source import require_trainable, train_source
    from asr_transfer.adaptation.named_speakers import require_enough_speakers
    from asr_transfer.adaptation.speaker_profiles import space_of_training
    from asr_transfer.adaptation.warp import prior_of_training
    from asr_transfer.data.features import FeatureStore, build_store
    from asr_transfer.data.judged import hold_out, symbols_of
    from asr_transfer.data.kept_source import judged_origin, keep, remarks, writers
    from asr_transfer.data.speech import Spoken
    from asr_transfer.decoding.identify import calibrated
    from asr_transfer.evaluation.language_rates import language_rates, markdown
    from asr_transfer.models.folder import update_card
    from asr_transfer.models.kinds import network_inputs
    from asr_transfer.models.pretrained.door import open_pretrained
    from asr_transfer.models.pretrained.hub import local_folder
    from asr_transfer.models.speaker_space import MAKING
    from asr_transfer.training import distributed
    from asr_transfer.training.hypotheses import hypotheses
    from asr_transfer.training.precision import precise
    from asr_transfer.training.session import hold_out_speakers

    if distributed.is_main():
        require_writable_folder(command.out)
    about = read_text(command.about, "give the text of the card") if command.about else ""
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
    features = network_inputs(command.model)

    def computed() -> FeatureStore:
        if main and test:  # used at the end only, when it is late to hear that a recording cannot be read
            build_store(test, features)
        # At the speed that was spoken too: so everything but the training hears it.
        speeds = command.speeds if 1.0 in command.speeds else (*command.speeds, 1.0)
        return build_store([*everything, *(dev if command.dev else [])], features, speeds)

    # A folder in use is refused or gone on with at once; a run is replaced only by one that can begin.
    store = None
    if (command.overwrite and not command.resume) or not in_use(command.out):
        store = computed()
        unlearnable = require_trainable(Spoken(train, store), Spoken(dev, store), command)
        if command.speaker_profiles is not None:
            left_out = {name for name, _ in unlearnable.dropped}
            require_enough_speakers(
                [u for u in train if u.id not in left_out], str(command.train), "leave `speaker_profiles` out"
            )
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
    model, how = command.out / "model", "use it as it is, or see to that and go on with --resume"

    def rescue(plain: Recogniser) -> None:
        if main:
            plain.save(model, f"# Speech recogniser\n\nTrained in part by `asr-transfer train`.\n{about}", {})

    with kept_in(model, how, say):
        recogniser, result, report = train_source(
            Spoken(train, store),
            Spoken(dev, store),
            command,
            command.out,
            record.log if record else None,
            rescue=rescue,
        )
    if record is None:
        return None
    languages = ", ".join(sorted({u.language for u in train}))
    card = (
        f"# Speech recogniser ({languages})\n\nTrained on {len(train)} utterances of "
        f"{len({u.speaker for u in train})} speakers by `asr-transfer train`; see `../run.json`.\n"
    )
    card += f"\n{about}" if about else ""
    origin = {"trained_on": record.values["data"]["train"]["checksum"], **judged_origin(held)}
    recogniser.save(model, card, origin)  # so that nothing that fails from here on loses it
    training = {
        "cpu_seconds": round(result.cpu_seconds, 2),
        "loading_seconds": round(result.loading_seconds, 2),
        "steps": result.steps,
        "skipped_steps": result.skipped,
        "audio_seconds_per_cpu_second": round(
            recogniser.model.inputs.seconds(result.cost) / max(result.cpu_seconds, 1e-9), 1
        ),
        "left_out": [f"{name}: {reason}" for name, reason in report.dropped],
    }
    scores, total, more = {}, None, dict[str, Any]()
    with kept_in(model, how, say):
        if command.model.pretrained is not None:
            new = ", ".join(f"'{name}' of {len(own)} rows" for name, own in sorted(recogniser.tokens_by_head.items()))
            for name, old in open_pretrained(local_folder(command.model.pretrained), "ctc").tokens.items():
                record.say(f"vocabulary: the published head '{name}' of {len(old)} rows is left out; new: {new}")
        if calibration := dev or held.judged:
            recogniser = calibrated(recogniser, Spoken(calibration, store), say)
        kept = keep(held, report, store, command.keep_source, command.trainer.seed)
        origin |= prior_of_training(recogniser, train, report, store, command.trainer.seed)
        recogniser.save(model, card + remarks(kept), origin, writers(kept))
        if test:
            heard = hypotheses(recogniser, Spoken(test, build_store(test, features)), by_head=True)
            total = write_scores(command.out, heard)
            by_language = language_rates(heard, _phone_languages(recogniser))
            scores["test"] = {**total.to_plain(), "by_language": [one.to_plain() for one in by_language]}
            rates = f"\nErrors on speech that it was not trained on:\n\n{markdown(by_language)}"
            update_card(model, card + rates + remarks(kept) + recogniser.base_remark)
            say(f"test: {total}")
            if lacking := find_unwritable(heard, recogniser.written(by_head=True), recogniser.writes):
                say(f"test: {lacking.sentence(str(command.out))}")
                more["unwritable"] = lacking.to_plain()
    if command.speaker_profiles is not None:
        left_out = {name for name, _ in report.dropped}
        how = f"it lacks speaker profiles alone, which {MAKING} makes of {command.train}, as does --resume here"
        with kept_in(model, how, say):
            space = space_of_training(
                recogniser, [u for u in train if u.id not in left_out], store, command.speaker_profiles,
                command.trainer.seed, record.say, Spoken(held.judged, store), device,
            )  # fmt: skip
            put_beside(model, space)
    record.finish(history=result.history, best=result.best, training=training, scores=scores, **more)
    say(f"{model}: written after {result.steps} steps, {result.cpu_seconds:.0f} CPU-seconds")
    return total


def _phone_languages(recogniser: Recogniser) -> list[str]:
    """Return the languages whose heads write phones."""
    from asr_transfer.data.tokens import spells_phones

    return [language for language, tokens in recogniser.tokens_by_head.items() if spells_phones(tokens.units)]


def _refuse_shared(train: Sequence[Utterance], other: Sequence[Utterance], name: str) -> None:
    shared = {u.id for u in train} & {u.id for u in other}
    if shared:
        raise DataError(
            f"utterance '{min(shared)}' stands in the training and the {name} manifest; a model must not be judged on "
            "what it learnt from, remove it from one."
        )


def _run(arguments: Namespace) -> int:
    train_run(settings_of(TrainCommand, arguments), say)
    return 0


COMMAND = Command("train a speaker-independent model", _run, partial(add_settings, kind=TrainCommand))
