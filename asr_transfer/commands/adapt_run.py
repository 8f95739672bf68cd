"""Takes the steps of `asr-transfer adapt`: a speaker's utterances in, adapted model and honest scores out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.adapted_recogniser import AdaptedRecogniser
from asr_transfer.adaptation.before_after import before_and_after
from asr_transfer.adaptation.choice import AUTO, refit_settings, trial_settings
from asr_transfer.adaptation.forecast import Forecast, forecast
from asr_transfer.adaptation.kept import (
    NOT_MEASURED,
    excess,
    in_its_languages,
    judged_speech,
    kept_speech,
    mixed_in_trials,
    without_judged,
)
from asr_transfer.adaptation.long_recordings import cut_long
from asr_transfer.adaptation.one_speaker import remark_on_second_speaker
from asr_transfer.adaptation.unsupervised import labeller, pseudo_label
from asr_transfer.adaptation.untranscribed import beside
from asr_transfer.adaptation.usable_recordings import vet
from asr_transfer.commands.adapt import AdaptCommand
from asr_transfer.commands.adapt_asked import (
    changes,
    reads_transcripts,
    refuse_impossible,
    refuse_nothing_to_hear,
    takes_source,
)
from asr_transfer.commands.adapt_choice import choose_method, choose_unread, print_table
from asr_transfer.commands.adapt_languages import lost_abroad, recalibrated
from asr_transfer.commands.adapt_result import save_adapted
from asr_transfer.commands.adapt_speech import Speech, distinct, open_record, refuse_shared
from asr_transfer.commands.adapt_untranscribed import choose_with_untranscribed, usable_untranscribed
from asr_transfer.commands.options import Say
from asr_transfer.commands.speech import take
from asr_transfer.data.features import build_store
from asr_transfer.data.kept_source import FOLDER, JUDGED, Summary, summary_folder
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.voice import diagnose
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.plain import to_plain
from asr_transfer.runs.emptying import RECORD, in_use
from asr_transfer.training import distributed
from asr_transfer.training.precision import settle


def adapt_run(
    command: AdaptCommand, base: Recogniser, source: Recogniser, speech: Speech, say: Say
) -> AdaptedRecogniser:
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
    refuse_shared([*speech.own, *speech.untranscribed], speech.test)
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
    if not speech.source and takes_source(command) and (labelled or command.method != AUTO):
        of_languages = in_its_languages(kept, FOLDER, command.model, source)
        replayed = [u for own in of_languages.values() for u in own]
    if replayed:
        replayed = take(replayed, None, min(command.source_utterances, len(replayed)), command.seed)
    unheard = in_its_languages(kept, JUDGED, command.model, source) if changes(command) else {}
    refuse_impossible(command, source, replace(speech, source=[*speech.source, *replayed]), labelled)
    # A folder in use is refused or gone on with at once; a run is replaced only by one that has recordings to learn.
    record = open_record(command, speech) if in_use(command.out) and (command.resume or not command.overwrite) else None
    if record is not None and record.finished_before:
        say(f"{command.out}: the run is finished already; nothing to do")
        told = record.values.get("adaptation", {}).get("forecast")
        found = Forecast.from_plain(told, f"{command.out / RECORD}: `adaptation.forecast`")
        return AdaptedRecogniser.of(Recogniser.load(command.out, source.head), found)
    given = speech
    lines: list[str] = []

    def note(line: str) -> None:
        say(line)
        lines.append(line)

    if offered > len(speech.source):
        note(
            f"{offered - len(speech.source)} utterances of --source are not mixed in: the model keeps them to judge on"
        )
    speech = distinct(speech if labelled else replace(speech, own=[replace(u, text="") for u in speech.own]))
    refit = command.choice.refit_speeds if command.method == AUTO else ()
    speeds = tuple(dict.fromkeys((*command.speeds, *refit)))
    cut_out: Sequence[tuple[str, str]] = ()
    if labelled:
        cut = cut_long(source, speech.own, speeds, note)
        speech, cut_out = replace(speech, own=cut.utterances), cut.left_out
    everything = [*speech.own, *speech.untranscribed, *speech.test, *speech.others, *speech.source]
    store = build_store(everything, source.model.inputs, speeds)
    place = summary_folder(command.model) if replayed else command.source
    if replayed:
        note(f"{place}: {len(replayed)} training utterances serve as source; --use_summary false leaves them out")
        more, store = Summary(replayed, kept[FOLDER].store).joined(store)
        speech = replace(speech, source=more)
    if unheard:
        flat = Summary([u for own in unheard.values() for u in own], kept[JUDGED].store)
        renamed, store = flat.joined(store)
        unheard = {head: [renamed.pop(0) for _ in own] for head, own in unheard.items()}
    judged = judged_speech(unheard, source, () if replayed else speech.source, command.choice, command.use_summary)
    vetted = vet(source, Spoken(speech.own, store), command.speeds, command.keep_suspicious, labelled, note)
    known = [Spoken(summary.utterances, summary.store) for summary in kept.values()]
    firsts = (vetted.groups.index(group) for group in dict.fromkeys(vetted.groups))  # copies are no further witnesses
    remark_on_second_speaker(source, vetted.spoken.subset(firsts), known)
    rest = usable_untranscribed(command, source, Spoken(speech.untranscribed, store), vetted, note)
    refuse_nothing_to_hear(command, source, vetted.spoken)
    voice = diagnose(vetted.spoken.utterances)
    print_table(voice.table())
    if "pseudo-label" in command.method.split("+"):
        teacher = labeller(source, command.settings, command.suta)
        pseudo_label(teacher, vetted.spoken, command.settings.confidence)
    record = record or open_record(command, given)
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
        choice = choose_unread(command, source, vetted, Spoken(speech.test, store), tell, record.log)
    else:
        choice = choose_method(command, source, vetted, speech.source, judged, tell, record.log)
    if labelled:
        foretold = forecast(source, vetted.spoken.utterances, choice)
    else:
        foretold = Forecast("without transcripts nobody knows how many errors there are")
    learnt, helping = vetted.spoken, None
    if rest:
        mixed = Spoken(mixed_in_trials(speech.source, judged), store)
        choice, helping = choose_with_untranscribed(command, source, vetted, rest, mixed, choice, tell)
        learnt = beside(learnt, helping.spoken)
    settings = refit_settings(command, choice, command.choice if command.method == AUTO else None)
    adapted = adapt(source, learnt, choice.method, settings, command.out, record.log, Spoken(speech.source, store))
    if choice.method != "none":
        say(str(adapted.plan))
    if adapted.warp:
        say(adapted.warp.describe())
    if adapted.described:
        say(adapted.described.describe())
    if adapted.normalised:
        say(adapted.normalised.describe())
    scores = {}
    if speech.test:
        scores["test"] = before_and_after("test", source, adapted.recogniser, Spoken(speech.test, store), record, say)
    if adapted.is_warped:
        say("others: heard without the warp, which is this speaker's own; with it they would be understood worse")
    if adapted.statistics_before:
        say(
            "others: heard by the statistics that the model had before; those of these recordings are the speaker's own"
        )
    about = {"others": judged.what if judged.sure else NOT_MEASURED} if adapted.end else {}
    abroad: dict[str, Any] = {}
    with adapted.for_others() as for_others:
        if speech.others:
            heard = Spoken(speech.others, store)
            scores["others"] = before_and_after("others", source, for_others, heard, record, say)
        if about and source.head in unheard:
            heard = Spoken(unheard[source.head], store)
            scores["judged"] = before_and_after("judged", source, for_others, heard, record, say, judged.what)
            before, after = (scores["judged"][when]["cer"] for when in ("before", "after"))
            if command.method == AUTO and (line := excess(before, after, command.choice)):
                tell(line)
        elif about and not speech.others:
            say(f"others: {about['others']}")
        if adapted.end and source.others:
            abroad = lost_abroad(command, source, adapted, judged.abroad, store, record, tell)
    if adapted.end and (source.offsets or base.offsets):
        adapted = replace(adapted, recogniser=recalibrated(adapted.recogniser, unheard, store, tell))
    if labelled:
        tell(str(foretold))
    save_adapted(command, base, source, adapted, learnt, choice, kept, record, say)
    record.finish(
        scores=scores,
        history=adapted.result.history,
        adaptation={
            "cpu_seconds": round(adapted.result.cpu_seconds, 2),
            "choosing_cpu_seconds": round(choice.cpu_seconds, 2),
            "plan": adapted.plan.rows(),
            "method": choice.method,
            "reason": choice.reason,
            **({"warp": to_plain(adapted.warp)} if adapted.warp else {}),
            **({"speaker": adapted.described.plain()} if adapted.described else {}),
            **({"statistics": to_plain(adapted.normalised)} if adapted.normalised else {}),
            **about,
            **({"head": source.head, "other_languages": abroad} if source.others else {}),
            **({"untranscribed": helping.to_plain()} if helping else {}),
            "forecast": foretold.to_plain(),
            "ladder": [rung.to_plain() for rung in choice.ladder],
            "voice": voice.to_plain(),
            "left_out": [f"{name}: {reason}" for name, reason in [*cut_out, *vetted.dropped, *adapted.report.dropped]],
        },
    )
    spent = choice.cpu_seconds + (helping.cpu_seconds if helping else 0) + adapted.result.cpu_seconds
    say(f"{command.out / 'model'}: written after {spent:.1f} CPU-seconds of adaptation")
    return AdaptedRecogniser.of(adapted.recogniser, foretold)


def _settled(command: AdaptCommand, source: Recogniser, say: Say) -> AdaptCommand:
    """Return the command with a precision instead of `auto`: one for all that is tried, and for a resumed run."""
    model, device = source.model, distributed.join(command.device)
    return replace(
        command, precision=settle(command.out, command.precision, model, device, command.batch_budget, say=say)
    )
