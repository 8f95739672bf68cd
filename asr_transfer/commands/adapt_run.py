"""Takes the steps of `asr-transfer adapt`: a speaker's utterances in, adapted model and honest scores out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from asr_transfer.adaptation import methods
from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.before_after import before_and_after
from asr_transfer.adaptation.candidates import BEYOND_CHANCE, Candidate, Loss, ladder_table, mean_abroad
from asr_transfer.adaptation.checks import digest
from asr_transfer.adaptation.choice import (
    AUTO,
    Choice,
    candidates,
    choose,
    lasting,
    refit_settings,
    trial_settings,
    usual_choice,
)
from asr_transfer.adaptation.kept import (
    NOT_MEASURED,
    Judged,
    excess,
    in_its_languages,
    judged_speech,
    kept_speech,
    mixed_in_trials,
    without_judged,
)
from asr_transfer.adaptation.methods import build, default_learning_rate, needs_source, require_fitting, uses_source
from asr_transfer.adaptation.profile import Profile, ProfileFacts, save_profile
from asr_transfer.adaptation.self_training import SelfTraining
from asr_transfer.adaptation.unsupervised import labeller, pseudo_label
from asr_transfer.adaptation.untranscribed import beside, with_untranscribed
from asr_transfer.adaptation.usable_recordings import Vetted, vet
from asr_transfer.adaptation.without_transcripts import choose_without_transcripts
from asr_transfer.commands.adapt import AdaptCommand
from asr_transfer.commands.options import Say
from asr_transfer.commands.profile import open_profile
from asr_transfer.commands.speech import take
from asr_transfer.config import to_record
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.kept_source import FOLDER, JUDGED, Summary, remarks, summary_folder, writers
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken, spell
from asr_transfer.data.voice import diagnose
from asr_transfer.decoding.identify import calibrated
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.standard_error import in_points
from asr_transfer.runs.emptying import in_use
from asr_transfer.runs.record import RunRecord
from asr_transfer.training import distributed
from asr_transfer.training.precision import settle

CHECK_FOLDS = 3
"""Folds on which a named method is tried before it is used: enough to see a loss, cheaper than `auto`'s."""


@dataclass(frozen=True)
class Speech:
    """The recordings of an adaptation run.

    Attributes:
        own: recordings of the new speaker, to adapt to.
        test: other recordings of the same speaker, to score on; may be empty.
        others: recordings of other speakers, to score on; may be empty.
        source: recordings like those that the model was trained on, to mix in; may be empty.
        untranscribed: further recordings of the new speaker, without transcripts; may be empty. Where `own` is, a
            method is chosen that reads none.
    """

    own: Sequence[Utterance]
    test: Sequence[Utterance] = ()
    others: Sequence[Utterance] = ()
    source: Sequence[Utterance] = ()
    untranscribed: Sequence[Utterance] = ()


def adapt_run(command: AdaptCommand, base: Recogniser, source: Recogniser, speech: Speech, say: Say) -> Recogniser:
    """Adapt `source` to a speaker and write a run folder with the adapted model and the speaker's profile.

    Args:
        command: options of the run.
        base: the model as it stands on disk.
        source: the model to adapt: the base, with the profile that is gone on from.
        speech: recordings.
        say: function that prints a line.

    Returns:
        The adapted model; of a run that was finished before, the one that it wrote.

    Raises:
        AsrTransferError: utterances, settings or the folder are wrong.
    """
    _refuse_shared([*speech.own, *speech.untranscribed], speech.test)
    if command.method == AUTO:
        command = replace(command, settings=trial_settings(command.settings, source.model))
    # What cannot work is refused before anything is written.
    labelled = reads_transcripts(command.method) and bool(speech.own)
    if not speech.own:
        speech = replace(speech, own=speech.untranscribed, untranscribed=())
    kept = kept_speech(command.model, source, speech.own) if command.use_summary else {}
    offered = len(speech.source)
    speech = replace(speech, source=without_judged(speech.source, kept.get(JUDGED)))
    replayed: list[Utterance] = []
    if not speech.source and _takes_source(command) and (labelled or command.method != AUTO):
        of_languages = in_its_languages(kept, FOLDER, command.model, source)
        replayed = [u for own in of_languages.values() for u in own]
    if replayed:
        replayed = take(replayed, None, min(command.source_utterances, len(replayed)), command.seed)
    unheard = in_its_languages(kept, JUDGED, command.model, source) if _trains(command) else {}
    _refuse_impossible(command, source, replace(speech, source=[*speech.source, *replayed]), labelled)
    # A folder in use is refused or gone on with at once; a run is replaced only by one that has recordings to learn.
    record = _open(command, speech) if in_use(command.out) and (command.resume or not command.overwrite) else None
    if record is not None and record.finished_before:
        say(f"{command.out}: the run is finished already; nothing to do")
        return Recogniser.load(command.out, source.head)
    given = speech
    lines: list[str] = []

    def note(line: str) -> None:
        say(line)
        lines.append(line)

    if offered > len(speech.source):
        note(
            f"{offered - len(speech.source)} utterances of --source are not mixed in: the model keeps them to judge on"
        )
    speech = _distinct(speech if labelled else replace(speech, own=[replace(u, text="") for u in speech.own]))
    everything = [*speech.own, *speech.untranscribed, *speech.test, *speech.others, *speech.source]
    refit = command.choice.refit_speeds if command.method == AUTO else ()
    speeds = tuple(dict.fromkeys((*command.speeds, *refit)))
    store = build_store(everything, source.model.inputs, speeds)
    place = summary_folder(command.model) if replayed else command.source
    if replayed:
        note(f"{place}: {len(replayed)} training utterances serve as source; --use_summary false leaves them out")
        more, store = Summary(replayed, kept[FOLDER].store).joined(store, {u.id for u in everything})
        everything, speech = [*everything, *more], replace(speech, source=more)
    if unheard:
        flat = Summary([u for own in unheard.values() for u in own], kept[JUDGED].store)
        renamed, store = flat.joined(store, {u.id for u in everything})
        unheard = {head: [renamed.pop(0) for _ in own] for head, own in unheard.items()}
    judged = judged_speech(unheard, source, () if replayed else speech.source, command.choice, command.use_summary)
    vetted = vet(source, Spoken(speech.own, store), command.speeds, command.keep_suspicious, labelled, note)
    rest = _untranscribed(command, source, Spoken(speech.untranscribed, store), vetted, note)
    voice = diagnose(vetted.spoken.utterances)
    _print(voice.table())
    if "pseudo-label" in command.method.split("+"):
        teacher = labeller(source, command.settings, command.suta)
        pseudo_label(teacher, vetted.spoken, command.settings.confidence)
    record = record or _open(command, given)
    for line in lines:
        record.log(line)

    def tell(line: str) -> None:
        say(line)
        record.log(line)

    record.data("adapt", command.data, vetted.spoken.utterances)
    if replayed:
        record.data("source", place or "", speech.source)
    if unheard:
        kept_to_judge = [u for own in unheard.values() for u in own]
        record.data("judged", summary_folder(command.model, JUDGED) or "", kept_to_judge)
    if rest:
        record.data("untranscribed", command.data, rest.utterances)
    command = _settled(command, source, tell)
    if command.method == AUTO and not labelled:
        choice = _choose_unread(command, source, vetted, Spoken(speech.test, store), tell, record.log)
    else:
        choice = _choose(command, source, vetted, speech.source, judged, tell, record.log)
    learnt, helping = vetted.spoken, None
    if rest:
        mixed = Spoken(mixed_in_trials(speech.source, judged), store)
        choice, helping = _with_untranscribed(command, source, vetted, rest, mixed, choice, tell)
        learnt = beside(learnt, helping.spoken)
    settings = refit_settings(command, choice, command.choice if command.method == AUTO else None)
    adapted = adapt(source, learnt, choice.method, settings, command.out, record.log, Spoken(speech.source, store))
    say(str(adapted.plan))
    scores = {
        name: before_and_after(name, source, adapted.recogniser, Spoken(part, store), record, say)
        for name, part in (("test", speech.test), ("others", speech.others))
        if part
    }
    about = {"others": judged.what if judged.sure else NOT_MEASURED} if adapted.end else {}
    if about and source.head in unheard:
        spoken = Spoken(unheard[source.head], store)
        lost = before_and_after("judged", source, adapted.recogniser, spoken, record, say, judged.what)
        scores["judged"] = lost
        if command.method == AUTO and (line := excess(lost["before"]["cer"], lost["after"]["cer"], command.choice)):
            tell(line)
    elif about and not speech.others:
        say(f"others: {about['others']}")
    abroad: dict[str, Any] = {}
    if adapted.end and source.others:
        abroad = _lost_abroad(command, source, adapted, judged.abroad, store, record, tell)
    if adapted.end and (source.offsets or base.offsets):
        adapted = replace(adapted, recogniser=_recalibrated(adapted.recogniser, unheard, store, tell))
    _save(command, base, source, adapted, learnt, choice, kept, record, say)
    record.finish(
        scores=scores,
        history=adapted.result.history,
        adaptation={
            "cpu_seconds": round(adapted.result.cpu_seconds, 2),
            "choosing_cpu_seconds": round(choice.cpu_seconds, 2),
            "plan": adapted.plan.rows(),
            "method": choice.method,
            "reason": choice.reason,
            **about,
            **({"head": source.head, "other_languages": abroad} if source.others else {}),
            **({"untranscribed": helping.to_plain()} if helping else {}),
            "ladder": [rung.to_plain() for rung in choice.ladder],
            "voice": voice.to_plain(),
            "left_out": [f"{name}: {reason}" for name, reason in [*vetted.dropped, *adapted.report.dropped]],
        },
    )
    spent = choice.cpu_seconds + (helping.cpu_seconds if helping else 0) + adapted.result.cpu_seconds
    say(f"{command.out / 'model'}: written after {spent:.1f} CPU-seconds of adaptation")
    return adapted.recogniser


def reads_transcripts(method: str) -> bool:
    """Return whether a method, a combination or `auto` reads the speaker's transcripts.

    Raises:
        ConfigError: there is no such method.
    """
    return method == AUTO or methods.reads_transcripts(method)


def _refuse_impossible(command: AdaptCommand, source: Recogniser, speech: Speech, labelled: bool) -> None:
    """Refuse methods, options and transcripts that cannot work or would be ignored."""
    tried = [command.method]
    if command.method == AUTO:
        for option, given, instead in (
            ("learning_rate", command.learning_rate is not None, "give factors with --choice.rates"),
            ("strength", command.strength != 1, "give --choice.strengths"),
            ("check", not command.check, "leave it on"),
        ):
            if given:
                raise ConfigError(f"`{option}` is for a named method, `auto` tries several; {instead}, or a --method.")
        tried = list(dict.fromkeys(c.method for c in candidates(command.choice, bool(speech.source), source.model)))
        if not labelled:
            tried = list(command.choice.without_transcripts)
            if reading := [name for name in tried if reads_transcripts(name)]:
                raise ConfigError(f"`choice.without_transcripts` names `{reading[0]}`, which reads transcripts.")
    for name in tried:
        require_fitting(name, source.model)
        recipe = build(name, source.model, command.settings, source.head)
        recipe.plan.apply(copy.deepcopy(source.model))
        if needs_source(name) and not speech.source:
            raise ConfigError(f"`{name}` mixes source utterances in; give some with --source.")
    if command.source is not None and not _reads_source(command):
        raise ConfigError(f"`{command.method}` as asked for reads no source utterances; leave --source out.")
    for utterance in speech.own if labelled else ():
        spell(utterance, source.tokens)
    for utterance in speech.source:
        spell(utterance, source.tokens_for(utterance.language))


def _reads_source(command: AdaptCommand) -> bool:
    """Return whether source utterances are learnt from, or serve to see what is forgotten."""
    return _takes_source(command) or _checked(command)


def _takes_source(command: AdaptCommand) -> bool:
    return command.method == AUTO or uses_source(command.method)


def _trains(command: AdaptCommand) -> bool:
    return command.method == AUTO or (bool(default_learning_rate(command.method)) and command.strength > 0)


def _checked(command: AdaptCommand) -> bool:
    """Return whether a named method is tried on held-out recordings before it is used."""
    return command.method != AUTO and command.check and _trains(command) and reads_transcripts(command.method)


def _open(command: AdaptCommand, speech: Speech) -> RunRecord:
    """Open the run folder, and note the recordings that were given."""
    record = RunRecord(command.out, to_record(command), resume=command.resume, overwrite=command.overwrite)
    for name, path, part in (
        ("given", command.data, [*speech.own, *speech.untranscribed]),
        ("test", command.test, speech.test),
        ("others", command.others, speech.others),
        ("source", command.source, speech.source),
    ):
        if part:
            record.data(name, path or "", part)
    return record


def _settled(command: AdaptCommand, source: Recogniser, say: Say) -> AdaptCommand:
    """Return the command with a precision instead of `auto`: one for all that is tried, and for a resumed run."""
    model, device = source.model, distributed.join(command.device)
    return replace(
        command, precision=settle(command.out, command.precision, model, device, command.batch_budget, say=say)
    )


def _distinct(speech: Speech) -> Speech:
    """Rename utterances whose id belongs to another recording too: different folders name their files alike.

    The test utterances, which runs are compared on, keep their ids.
    """
    known: dict[str, tuple[Path, float | None, float]] = {}

    def named(part: str, utterances: Sequence[Utterance]) -> list[Utterance]:
        result = []
        for utterance in utterances:
            where = (Path(utterance.audio).resolve(), utterance.start, utterance.duration)
            while known.setdefault(utterance.id, where) != where:
                utterance = replace(utterance, id=f"{part}/{utterance.id}")
            result.append(utterance)
        return result

    test = named("test", speech.test)
    own, untranscribed = named("data", speech.own), named("data", speech.untranscribed)
    return Speech(own, test, named("others", speech.others), named("source", speech.source), untranscribed)


def _choose(
    command: AdaptCommand,
    source: Recogniser,
    vetted: Vetted,
    more: Sequence[Utterance],
    judged: Judged,
    say: Say,
    log: Say,
) -> Choice:
    """Choose among `auto`'s candidates, or between the named method and leaving the model alone."""
    named = Choice(command.method, command.learning_rate, command.strength, "named by the user", (), 0.0)
    if command.method == AUTO:
        tried, settings = candidates(command.choice, bool(more), source.model), command.choice
    elif not _checked(command):
        return named
    elif len(set(vetted.groups)) < 2:
        say("one recording leaves none to hold out, so the gain is not known; give --test")
        return named
    else:
        tried = [
            Candidate(command.method, command.learning_rate or default_learning_rate(command.method, source.model))
        ]
        folds = min(CHECK_FOLDS, command.choice.folds)
        # Held to what it is for: a named method is refused when it makes the speaker worse, not for a small gain.
        settings = replace(command.choice, folds=folds, strengths=(command.strength,), tolerance=float("inf"))
    mixed = mixed_in_trials(more, judged)
    store = vetted.spoken.store
    others, unheard = Spoken(mixed, store), Spoken(judged.everything, store)
    choice = choose(source, vetted.spoken, command, settings, tried, others, vetted.groups, log, None, unheard)
    if choice.ladder:
        _print(ladder_table(choice.ladder))
        part = len(lasting(judged.utterances, settings.check_seconds))
        some = f"{part} of " if part < len(judged.utterances) else ""
        say(f"others: {'judged on ' * bool(judged.utterances)}{some}{judged.what}")
        if judged.abroad:
            say(f"other languages: judged on speech that the model keeps in {', '.join(judged.abroad)}")
    say(f"chosen: {choice.summary()}: {choice.reason}")
    return choice


def _lost_abroad(
    command: AdaptCommand,
    source: Recogniser,
    adapted: Adapted,
    abroad: Mapping[str, Sequence[Utterance]],
    store: FeatureStore,
    record: RunRecord,
    say: Say,
) -> dict[str, Any]:
    """Score the model's other languages before and after, each through its own head, and say what they lost.

    Returns:
        The scores by language, as those of other speakers; of languages that nothing was changed for, none.
    """
    inside = tuple(f"{path}." for path in source.model.own_parts(source.head))
    moved = [name for name, tensor in adapted.end.items() if not torch.equal(adapted.start[name], tensor)]
    if adapted.recogniser.model.state_dict().keys() == source.model.state_dict().keys() and all(
        name.startswith(inside) for name in moved
    ):
        say(f"other languages: lose nothing, for only what the head '{source.head}' alone needs was trained")
        return {}
    if lacking := sorted(source.others.keys() - abroad.keys()):
        say(f"others in {', '.join(lacking)}: not measured, for the model keeps no speech of theirs to judge on")
    found: dict[str, Any] = {}
    for head, own in abroad.items():
        before, after = source.for_head(head), adapted.recogniser.for_head(head)
        whose, spoken = f"others in {head}", Spoken(own, store)
        speakers = len({u.speaker for u in own})
        what = f"{len(own)} kept utterances of {speakers} speaker{'s' if speakers > 1 else ''}"
        found[head] = before_and_after(whose, before, after, spoken, record, say, what)
    if len(found) > 1:
        say(f"other languages: {_on_average(found)}")
    if command.method == AUTO:
        for head, lost in found.items():
            # A little more may be chance, for there are many languages and little speech of each.
            doubt = BEYOND_CHANCE * (lost["cer_change"]["standard_error"] or 0.0) if len(found) > 1 else 0.0
            after_cer = lost["after"]["cer"] - doubt
            if line := excess(lost["before"]["cer"], after_cer, command.choice, f"others in {head}"):
                say(line)
    return found


def _on_average(found: Mapping[str, Mapping[str, Any]]) -> str:
    lost = {
        head: Loss(one["cer_change"]["value"], one["cer_change"]["standard_error"])
        for head, one in found.items()
        if one["cer_change"]["value"] is not None
    }
    mean, worst = mean_abroad(lost), max(lost, key=lambda head: lost[head].risen)
    return (
        f"CER {in_points(mean.risen, mean.error)} points on average of {len(lost)}, most in {worst} "
        f"({in_points(lost[worst].risen, lost[worst].error)})"
    )


def _recalibrated(
    adapted: Recogniser, unheard: Mapping[str, Sequence[Utterance]], store: FeatureStore, say: Say
) -> Recogniser:
    """Return a recogniser with offsets for its new weights, from the speech that the model keeps of every language."""
    lacking = sorted(set(adapted.model.head_names()) - unheard.keys())
    if lacking:
        say(
            "languages are told apart without offsets from now on, which held for the weights before: the model keeps "
            f"no speech of {', '.join(lacking)} to judge on, and new ones need some of every language "
            "(`train --keep_judged`)"
        )
        return replace(adapted, offsets={})
    spoken = Spoken([u for own in unheard.values() for u in own], store)
    found = calibrated(adapted, spoken, say)
    say(f"the offsets that tell languages apart are set anew, on {len(spoken)} utterances that the model keeps")
    return found


def _choose_unread(
    command: AdaptCommand, source: Recogniser, vetted: Vetted, test: Spoken, say: Say, log: Say
) -> Choice:
    """Choose among methods that read no transcripts, by the test recordings where there are some."""
    choice = choose_without_transcripts(source, vetted.spoken, command, command.choice, test, log)
    if choice.ladder:
        _print(ladder_table(choice.ladder))
    say(f"chosen: {choice.summary()}: {choice.reason}")
    return choice


def _untranscribed(command: AdaptCommand, source: Recogniser, rest: Spoken, vetted: Vetted, say: Say) -> Spoken:
    """Return those recordings without transcript that can be used: no silence, and no copy of a transcribed one."""
    if not rest:
        return rest
    if source.can_run_away:
        say(f"{len(rest)} recordings without transcript are not used, for that needs a model with CTC")
        return rest.subset(())
    if not _trains(command) or (command.method != AUTO and not command.check):
        say(
            f"{len(rest)} recordings without transcript are not used: `--method {command.method}` as asked for does not"
        )
        return rest.subset(())
    try:
        usable = vet(source, rest, command.speeds, True, False, say).spoken
    except DataError as error:
        say(f"without transcript: {error}")
        return rest.subset(())
    known = {digest(u) for u in vetted.spoken.utterances}
    return usable.subset(n for n, u in enumerate(usable.utterances) if digest(u) not in known)


def _with_untranscribed(
    command: AdaptCommand,
    source: Recogniser,
    vetted: Vetted,
    rest: Spoken,
    mixed: Spoken,
    choice: Choice,
    say: Say,
) -> tuple[Choice, SelfTraining]:
    """Try the recordings without transcript beside the others; return how to adapt, and what is known of them."""
    if command.method == AUTO:
        usual = usual_choice(command.choice, bool(mixed), source.model)
    else:
        rate = command.learning_rate or default_learning_rate(command.method, source.model)
        usual = Choice(command.method, rate, command.strength, "named by the user", (), 0.0)
    found = with_untranscribed(
        source, vetted.spoken, rest, command, command.choice, choice, usual, mixed, vetted.groups, say
    )
    say(f"without transcript: {found[1].reason}")
    if found[0] is not choice:
        say(f"chosen with them: {found[0].summary()}")
    return found


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 132)
    console.print(table)


def _save(
    command: AdaptCommand,
    base: Recogniser,
    source: Recogniser,
    adapted: Adapted,
    spoken: Spoken,
    choice: Choice,
    kept: Mapping[str, Summary],
    record: RunRecord,
    say: Say,
) -> None:
    left_out = {name for name, _ in adapted.report.dropped}
    learnt = [u for u in spoken.utterances if u.id not in left_out] if adapted.end else []
    how = (
        f"Adapted from `{command.model}` to {len(learnt)} utterances by `{choice.method}`"
        if adapted.end
        else f"The weights of `{command.model}`{' with the profile' * bool(command.profile)}, for `{choice.method}` "
        "trains nothing"
    )
    card = f"# Speech recogniser ({base.head}), adapted\n\n{how}; see `../run.json`.\n"
    checksum = record.values["data"]["adapt"]["checksum"]
    origin = {**base.origin, "adapted_to": checksum, "method": choice.method}
    # Kept with the adapted model too, for going on from there.
    adapted.recogniser.save(command.out / "model", card + remarks(kept), origin, writers(kept))
    if not adapted.end and adapted.recogniser.test_time == source.test_time:
        if command.profile:
            say(f"{command.profile}: stays the speaker's profile, for nothing was learnt")
        return
    facts = ProfileFacts(
        choice.method,
        len(learnt),
        round(sum(u.duration for u in learnt), 2),
        parent=open_profile(command.profile).checksum if command.profile else None,
        origin={"adapted_to": checksum, "learning_rate": choice.learning_rate, "strength": choice.strength},
        test_time=adapted.recogniser.test_time,
        head=source.head,
        offsets=adapted.recogniser.offsets if adapted.end else {},
    )
    folder = save_profile(command.out / "profile", base.model, adapted.recogniser.model, facts)
    say(f"{folder}: written, a profile of what changed, {Profile.load(folder).size_bytes / 1000:.0f} kB")


def _refuse_shared(utterances: Sequence[Utterance], test: Sequence[Utterance]) -> None:
    shared = {Path(u.audio).resolve() for u in utterances if u.start is None} & {Path(u.audio).resolve() for u in test}
    if shared:
        raise DataError(
            f"{min(shared)}: stands in the data and in --test; a gain on what was learnt is none, remove it from one."
        )
