"""Takes the steps of `asr-transfer learn`: recordings of a language in, a model that knows it and honest scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from asr_transfer.commands.learn import LearnCommand
from asr_transfer.commands.learn_model import load_source, require_ways
from asr_transfer.commands.learn_speech import read_given
from asr_transfer.commands.learn_untranscribed import of_trained_speakers, with_untranscribed
from asr_transfer.commands.options import Say
from asr_transfer.commands.speech import named_as, read_speech
from asr_transfer.config import to_record
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.judged import symbols_of_units
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError
from asr_transfer.evaluation.clusters import reduction
from asr_transfer.evaluation.language_rates import LanguageRate, language_rates
from asr_transfer.evaluation.percentages import percent
from asr_transfer.evaluation.scoring import Hypothesis, align, write_scores
from asr_transfer.experiments.core.tables import Table
from asr_transfer.language_codes import require_code
from asr_transfer.languages.choice import Chosen, Taken, mean_rise
from asr_transfer.languages.heads import renamed, told_rows
from asr_transfer.languages.held_out import divide
from asr_transfer.languages.learning import (
    Beside,
    bare,
    kept_beside,
    learn_by_ways,
    phone_heads,
    plan_learning,
    rates_of_others,
    save_learnt,
)
from asr_transfer.languages.transfer import Learnt
from asr_transfer.models.pretrained.provenance import BASE
from asr_transfer.runs.console import show
from asr_transfer.runs.record import RunRecord
from asr_transfer.training.hypotheses import hypotheses


def learn_run(command: LearnCommand, say: Say) -> Recogniser:
    """Teach a model a language and write a run folder with the new model.

    Args:
        command: options of the run.
        say: function that prints a line.

    Returns:
        The model, listening in the language; of a run that was finished before, the one that it wrote.

    Raises:
        AsrTransferError: model, recordings, settings or the folder are wrong.
    """
    source = load_source(command.model, command.top)
    if command.head is not None and command.language is not None:
        require_code(command.language)
        source = renamed(source, command.head, command.language)
        say(f"the head '{command.head}' is taken for that of '{command.language}'")
    given = read_given(command, source, say)
    language, units, known = given.language, given.units, given.known
    if known:
        source = source.for_head(language)
    parts = divide(given.own, command.seed, symbols_of_units(units), given.dev, given.test)
    rest = of_trained_speakers(given.untranscribed, parts)
    every = [*parts.train, *parts.dev, *parts.test, *rest]
    store = build_store(every, source.model.inputs, tuple(sorted({1.0, *command.speeds})))
    beside = _beside(command, source, language, store)
    planned = plan_learning(source, language, units, parts.minutes, beside, command)
    require_ways(source, planned.ways, bool(beside.replay), command.source is not None)
    record = RunRecord(command.out, to_record(command), resume=command.resume, overwrite=command.overwrite)
    record.data("given", command.data, given.own)
    for name, part in (("train", parts.train), ("dev", parts.dev), ("test", parts.test)):
        record.data(name, command.data, part)
    if rest:
        record.data("untranscribed", command.data, rest)
    if record.finished_before:
        say(f"{command.out}: the run is finished already; nothing to do")
        return Recogniser.load(command.out, language)
    for line in given.notes:
        record.log(line)
    tell = record.say
    tell(f"learning '{language}' from {parts.minutes:.1f} minutes in {len(parts.train)} recordings, in {units}")
    if BASE in source.origin and units != "subwords":
        spelled = Tokens.from_texts((u.spelled(units) for u in parts.train), units)
        if rows := told_rows(language, source.tokens_by_head, spelled):
            tell(rows)
    if parts.how:
        tell(parts.how)
    if len(rest) < len(given.untranscribed):
        tell(
            f"{len(given.untranscribed) - len(rest)} recordings without transcript are of speakers who are held out, "
            "so they are not used"
        )
    if planned.reason:
        tell(f"ways tried: {', '.join(planned.ways)}: {planned.reason}")
    if said := command.explained(planned.steps, 60 * parts.minutes):
        tell(said)
    train, dev, helping = Spoken(parts.train, store), Spoken(parts.dev, store), None
    outcome = learn_by_ways(
        source, planned, train, dev, beside, command, command.out, tell, record.log,
        lambda chosen: show(_ladder(chosen).terminal()),
    )  # fmt: skip
    if rest:
        outcome, helping = with_untranscribed(
            source, outcome, planned, train, dev, Spoken(rest, store), beside, command, tell, record.log
        )
    final, chosen, learnt, before = outcome.recogniser, outcome.chosen, outcome.learnt, outcome.before
    scores, figures = _scores(command, source if known else None, final, Spoken(parts.test, store), tell)
    lost = _others(source, final, before, beside.judged, tell)
    save_learnt(outcome, command.out / "model", str(command.model), parts, store, beside, command, figures)
    spent = outcome.cpu_seconds + (helping.cpu_seconds if helping else 0)
    record.finish(
        scores=scores,
        history=learnt[chosen.way].result.history if chosen.way in learnt else [],
        learning={
            "language": language,
            "units": units,
            "way": chosen.way,
            "reason": chosen.reason,
            "ladder": [one.to_plain() for one in chosen.ladder],
            "others": lost,
            "cpu_seconds": round(spent, 2),
            **({"untranscribed": helping.to_plain()} if helping else {}),
            "left_out": [f"{name}: {why}" for name, why in [*given.left_out, *_left_out(learnt, chosen.way)]],
        },
    )
    say(f"{command.out / 'model'}: written after {spent:.0f} CPU-seconds of training")
    return final


def _beside(command: LearnCommand, source: Recogniser, language: str, store: FeatureStore) -> Beside:
    """Return speech of the model's other languages: the user's, or what the model's folder keeps."""
    beside = kept_beside(command.model, source, language, store, command.use_summary)
    if command.source is None:
        return beside
    others = set(source.tokens_by_head) - {language}
    own = named_as(read_speech(command.source, "", "kept"), source.tokens_by_head)
    foreign = next((u for u in own if u.language not in others), None)
    if foreign is not None:
        raise DataError(
            f"{command.source}: utterance '{foreign.id}' is in '{foreign.language}', which is none of the model's "
            f"other languages ({', '.join(sorted(others))}); leave it out."
        )
    return replace(beside, replay=Spoken(own, build_store(own, source.model.inputs)))


def _ladder(chosen: Chosen) -> Table:
    return Table.of(
        chosen.ladder,
        [
            ("way", lambda one: one.way),
            ("errors, held out, %", lambda one: percent(one.error)),
            ("other languages, points", lambda one: percent(one.others, 1, "+")),
            ("steps", lambda one: str(one.steps)),
            ("CPU-s", lambda one: f"{one.cpu_seconds:.0f}"),
        ],
    )


def _scores(
    command: LearnCommand, before: Recogniser | None, after: Recogniser, test: Spoken, say: Say
) -> tuple[dict[str, object], list[LanguageRate]]:
    """Score the held-out recordings, and where the model knew the language before, what it gained."""
    heard = hypotheses(after, test)
    total = write_scores(command.out, heard)
    rates = language_rates(heard, phone_heads(after))
    unit = "phones" if rates[0].unit == "word" else "characters"
    line = f"test: {rates[0]} of the {unit} wrong, {test and len(test)} recordings that were never learnt from"
    scores: dict[str, object] = {"test": {**total.to_plain(), "by_language": [one.to_plain() for one in rates]}}
    if before is not None:
        first = hypotheses(before, test)
        speakers = [h.speaker for h in heard] if rates[0].over == "speakers" else None
        gain = reduction(_errors(first, rates[0]), _errors(heard, rates[0]), speakers)
        scores["before"] = language_rates(first, phone_heads(before))[0].to_plain()
        scores["fewer_errors"] = {"share": gain.value, "low": gain.low, "high": gain.high}
        line += f", {percent(gain.value, 0)} % fewer than before"
    say(line)
    return scores, rates


def _others(
    source: Recogniser, final: Recogniser, before: Mapping[str, LanguageRate], judged: Spoken, say: Say
) -> list[dict[str, object]]:
    """Print and return what the other languages lose."""
    there = [name for name in source.model.head_names() if name != final.head]
    if there and not set(there) & set(final.model.head_names()):
        say(f"other languages: lost, for the new model is of '{final.head}' alone ({', '.join(there)})")
        return []
    if not before:
        if there:
            say(
                "other languages: not measured, for there is no held-out speech of them (`train --keep_judged` has the "
                "model keep some)"
            )
        return []
    after = rates_of_others(final, judged)
    rows = sorted(before)
    show(
        Table.of(
            rows,
            [
                ("language", lambda name: name),
                ("utterances", lambda name: str(before[name].utterances)),
                ("before, %", lambda name: str(before[name]).replace(" %", "")),
                ("after, %", lambda name: str(after[name]).replace(" %", "")),
                ("points", lambda name: percent(_rise(before, after, name), 1, "+")),
            ],
        ).terminal()
    )
    mean = mean_rise(bare(before), bare(after))
    say(f"other languages: {percent(mean, 1, '+')} points of errors in the mean of {len(rows)}")
    return [{"language": name, "before": before[name].to_plain(), "after": after[name].to_plain()} for name in rows]


def _errors(heard: Sequence[Hypothesis], like: LanguageRate) -> list[float]:
    return [float(value) for value in align(heard, like.unit).errors]


def _rise(before: Mapping[str, LanguageRate], after: Mapping[str, LanguageRate], name: str) -> float:
    return after[name].estimate.value - before[name].estimate.value


def _left_out(learnt: Mapping[Taken, Learnt], way: Taken) -> Sequence[tuple[str, str]]:
    return learnt[way].report.dropped if way in learnt else ()
