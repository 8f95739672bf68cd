"""Takes the steps of `asr-transfer learn`: recordings of a language in, a model that knows it and honest scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asr_transfer.commands.learn import LearnCommand
from asr_transfer.commands.learn_model import load_source, require_ways
from asr_transfer.commands.learn_speech import read_given
from asr_transfer.commands.options import Say
from asr_transfer.commands.speech import read_speech
from asr_transfer.config import Precision, TrainerConfig, Units, to_record
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.judged import symbols_of_units
from asr_transfer.data.kept_source import FOLDER, JUDGED, Summary, load_summaries, remarks, writers
from asr_transfer.data.manifest import checksum
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.identify import calibrated
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError
from asr_transfer.evaluation.clusters import reduction
from asr_transfer.evaluation.language_rates import LanguageRate, language_rates, markdown
from asr_transfer.evaluation.percentages import percent
from asr_transfer.evaluation.scoring import Hypothesis, align, write_scores
from asr_transfer.experiments.core.tables import Table
from asr_transfer.languages.choice import HOPELESS, Chosen, Taken, Tried, choose_way, mean_rise, plan_ways
from asr_transfer.languages.config import LanguageConfig, Mode
from asr_transfer.languages.held_out import Parts, divide
from asr_transfer.languages.transfer import Learnt, learn_language
from asr_transfer.languages.ways import WAYS
from asr_transfer.runs.console import show
from asr_transfer.runs.record import RunRecord
from asr_transfer.training import distributed
from asr_transfer.training.precision import settle
from asr_transfer.training.session import hypotheses


@dataclass(frozen=True)
class Beside:
    """Speech of the model's other languages.

    Attributes:
        replay: utterances to mix in, with their inputs.
        judged: utterances that the model was not trained on, on which is seen what these languages lose.
        kept: summaries that the model's folder keeps, by their folders.
    """

    replay: Spoken
    judged: Spoken
    kept: Mapping[str, Summary]


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
    source = load_source(command.model)
    given = read_given(command, source, say)
    language, units, known = given.language, given.units, given.known
    if known:
        source = source.for_head(language)
    parts = divide(given.own, command.seed, symbols_of_units(units), given.dev, given.test)
    every = [*parts.train, *parts.dev, *parts.test]
    store = build_store(every, source.model.inputs, tuple(sorted({1.0, *command.speeds})))
    beside = _beside(command, source, language, store)
    plan = plan_ways(parts.minutes, known, bool(beside.replay))
    ways: tuple[Mode, ...] = plan.ways if command.way == "auto" else (command.way,)
    require_ways(source, ways, bool(beside.replay), command.source is not None)
    record = RunRecord(command.out, to_record(command), resume=command.resume, overwrite=command.overwrite)
    record.data("given", command.data, given.own)
    for name, part in (("train", parts.train), ("dev", parts.dev), ("test", parts.test)):
        record.data(name, command.data, part)
    if record.finished_before:
        say(f"{command.out}: the run is finished already; nothing to do")
        return Recogniser.load(command.out, language)
    for line in given.notes:
        record.log(line)
    tell = record.say
    tell(f"learning '{language}' from {parts.minutes:.1f} minutes in {len(parts.train)} recordings, in {units}")
    if parts.how:
        tell(parts.how)
    if command.way == "auto":
        tell(f"ways tried: {', '.join(ways)}: {plan.reason}")
    dev, before = Spoken(parts.dev, store), _rates(source, beside.judged)
    precision = settle(
        command.out, "auto", source.model, distributed.join(command.device), command.batch_budget, say=tell
    )
    tried, learnt = list[Tried](), dict[Taken, Learnt]()
    if known:
        tried.append(Tried("none", _error(source, dev), 0.0 if before else None))
    for way in ways:
        config = _config(command, way, units, known, precision)
        made = learn_language(
            source, Spoken(parts.train, store), dev, config, command.out / "ways" / way, record.log,
            beside.replay if WAYS[way].uses_source else None,
        )  # fmt: skip
        after = _rates(made.recogniser, beside.judged) if WAYS[way].needs_source else {}
        rise = mean_rise(_values(before), _values(after)) if after else None
        learnt[way] = made
        tried.append(Tried(way, _error(made.recogniser, dev), rise, made.result.steps, made.result.cpu_seconds))
        tell(f"{way}: {percent(tried[-1].error)} % errors on the held-out recordings")
    chosen = choose_way(tried)
    show(_ladder(chosen).terminal())
    tell(f"chosen: {chosen.way}: {chosen.reason}")
    best = chosen.ladder[0]
    if best.error > HOPELESS:
        raise DataError(
            f"{percent(best.error)} % of the held-out recordings are still wrong after {best.steps} steps, so nothing "
            "was learnt and no model is written; record more, or take more --steps."
        )
    final = source if chosen.way == "none" else learnt[chosen.way].recogniser
    final = _calibrated(final, beside.judged, dev, tell)
    scores, figures = _scores(command, source if known else None, final, Spoken(parts.test, store), tell)
    lost = _others(source, final, before, beside.judged, tell)
    _save(command, final, chosen, parts, beside, Spoken(every, store), figures, record)
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
            "cpu_seconds": round(sum(one.cpu_seconds for one in tried), 2),
            "left_out": [f"{name}: {why}" for name, why in [*given.left_out, *_left_out(learnt, chosen.way)]],
        },
    )
    say(f"{command.out / 'model'}: written after {sum(one.cpu_seconds for one in tried):.0f} CPU-seconds of training")
    return final


def _tokens(recogniser: Recogniser) -> dict[str, object]:
    return {**recogniser.others, recogniser.head: recogniser.tokens}


def _beside(command: LearnCommand, source: Recogniser, language: str, store: FeatureStore) -> Beside:
    """Return speech of the model's other languages: the user's, or what the model's folder keeps."""
    kept = load_summaries(command.model, source.model.inputs) if command.use_summary else {}
    others = {name for name in _tokens(source) if name != language}

    def of_others(summary: Summary | None) -> Spoken:
        if summary is None:
            return Spoken([], store)
        return Spoken([u for u in summary.utterances if u.language in others], summary.store)

    replay = of_others(kept.get(FOLDER))
    if command.source is not None:
        own = read_speech(command.source, "", "kept")
        foreign = next((u for u in own if u.language not in others), None)
        if foreign is not None:
            raise DataError(
                f"{command.source}: utterance '{foreign.id}' is in '{foreign.language}', which is none of the model's "
                f"other languages ({', '.join(sorted(others))}); leave it out."
            )
        replay = Spoken(own, build_store(own, source.model.inputs))
    return Beside(replay, of_others(kept.get(JUDGED)), kept)


def _config(command: LearnCommand, way: Mode, units: Units, known: bool, precision: Precision) -> LanguageConfig:
    trainer = TrainerConfig(
        steps=command.steps,
        learning_rate=command.learning_rate,
        batch_budget=command.batch_budget,
        validate_every=max(1, min(100, command.steps // 4)),
        patience=command.patience,
        seed=command.seed,
        device=command.device,
        precision=precision,
    )
    moves = way in ("all", "joint", "gradual")
    return LanguageConfig(
        mode=way,
        units=units,
        trainer=trainer,
        speeds=command.speeds,
        encoder_rate=command.encoder_rate if moves else 1.0,
        keep_head=known,
        monitor="cer" if units in ("characters", "subwords") else "wer",
        pieces=command.pieces,
    )


def _error(recogniser: Recogniser, spoken: Spoken) -> float:
    """Return the error rate of speech in one language, in characters or phones."""
    rates = language_rates(hypotheses(recogniser, spoken), _phones(recogniser))
    if not rates:
        raise DataError("the held-out recordings have empty transcripts; correct them.")
    return rates[0].estimate.value


def _phones(recogniser: Recogniser) -> list[str]:
    every = {**recogniser.others, recogniser.head: recogniser.tokens}
    return [name for name, tokens in every.items() if spells_phones(tokens.units)]


def _rates(recogniser: Recogniser, judged: Spoken) -> dict[str, LanguageRate]:
    """Return the error rate of each language of the held-out speech, with its own head."""
    if not judged:
        return {}
    found = language_rates(hypotheses(recogniser, judged, by_head=True), _phones(recogniser))
    return {one.language: one for one in found}


def _values(rates: Mapping[str, LanguageRate]) -> dict[str, float]:
    return {name: one.estimate.value for name, one in rates.items()}


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


def _calibrated(recogniser: Recogniser, judged: Spoken, dev: Spoken, say: Say) -> Recogniser:
    """Return the model with offsets that tell its languages apart, where there is speech of all of them."""
    if not recogniser.others:
        return recogniser
    if not judged:
        return calibrated(recogniser, dev, say)
    more, store = Summary(judged.utterances, judged.store).joined(dev.store, {u.id for u in dev.utterances})
    return calibrated(recogniser, Spoken([*more, *dev.utterances], store), say)


def _scores(
    command: LearnCommand, before: Recogniser | None, after: Recogniser, test: Spoken, say: Say
) -> tuple[dict[str, object], list[LanguageRate]]:
    """Score the held-out recordings, and where the model knew the language before, what it gained."""
    heard = hypotheses(after, test)
    total = write_scores(command.out, heard)
    rates = language_rates(heard, _phones(after))
    unit = "phones" if rates[0].unit == "word" else "characters"
    line = f"test: {rates[0]} of the {unit} wrong, {test and len(test)} recordings that were never learnt from"
    scores: dict[str, object] = {"test": {**total.to_plain(), "by_language": [one.to_plain() for one in rates]}}
    if before is not None:
        first = hypotheses(before, test)
        speakers = [h.speaker for h in heard] if rates[0].over == "speakers" else None
        gain = reduction(_errors(first, rates[0]), _errors(heard, rates[0]), speakers)
        scores["before"] = language_rates(first, _phones(before))[0].to_plain()
        scores["fewer_errors"] = {"share": gain.value, "low": gain.low, "high": gain.high}
        line += f", {percent(gain.value, 0)} % fewer than before"
    say(line)
    return scores, rates


def _errors(heard: Sequence[Hypothesis], like: LanguageRate) -> list[float]:
    return [float(value) for value in align(heard, like.unit).errors]


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
    after = _rates(final, judged)
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
    mean = mean_rise(_values(before), _values(after))
    say(f"other languages: {percent(mean, 1, '+')} points of errors in the mean of {len(rows)}")
    return [{"language": name, "before": before[name].to_plain(), "after": after[name].to_plain()} for name in rows]


def _rise(before: Mapping[str, LanguageRate], after: Mapping[str, LanguageRate], name: str) -> float:
    return after[name].estimate.value - before[name].estimate.value


def _left_out(learnt: Mapping[Taken, Learnt], way: Taken) -> Sequence[tuple[str, str]]:
    return learnt[way].report.dropped if way in learnt else ()


def _save(
    command: LearnCommand,
    final: Recogniser,
    chosen: Chosen,
    parts: Parts,
    beside: Beside,
    spoken: Spoken,
    figures: Sequence[LanguageRate],
    record: RunRecord,
) -> None:
    """Write the model, with what it keeps of all its languages and a card."""
    own = {
        FOLDER: Summary.draw(parts.train, spoken.store, command.keep_source, command.seed),
        JUDGED: Summary.draw(parts.test, spoken.store, len(parts.test), command.seed),
    }
    summaries = {
        name: _together(beside.kept.get(name), summary, final) for name, summary in own.items() if summary.utterances
    }
    apart = parts.apart and final.origin.get(JUDGED) != "utterances"
    origin = {
        **final.origin,
        "trained_on": checksum(parts.train),
        "learnt": final.head,
        JUDGED: "speakers" if apart else "utterances",
    }
    heads = ", ".join(sorted(final.model.head_names()))
    card = (
        f"# Speech recogniser ({heads})\n\n`{final.head}` was learnt by `asr-transfer learn` from {parts.minutes:.1f} "
        f"minutes in {len(parts.train)} recordings, beginning with `{command.model}`, by the way `{chosen.way}`: "
        f"{chosen.reason}; see `../run.json`.\n\nErrors on recordings that it was not trained on:\n\n"
        f"{markdown(figures)}"
    )
    final.save(command.out / "model", card + remarks(summaries), origin, writers(summaries))


def _together(old: Summary | None, new: Summary, final: Recogniser) -> Summary:
    """Return what is kept of the earlier languages and of the new one as one."""
    if old is None:
        return new
    languages = set(final.model.head_names())
    known = Summary([u for u in old.utterances if u.language in languages], old.store)
    more, store = known.joined(new.store, {u.id for u in new.utterances})
    return Summary([*more, *new.utterances], store)
