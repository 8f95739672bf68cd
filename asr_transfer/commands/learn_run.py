"""Takes the steps of `asr-transfer learn`: recordings of a language in, a model that knows it and honest scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from asr_transfer.commands.learn import LearnCommand
from asr_transfer.commands.options import Say
from asr_transfer.commands.speech import read_speech
from asr_transfer.config import Units, to_record
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.judged import symbols_of_units
from asr_transfer.data.manifest import Utterance, by_language
from asr_transfer.data.pronounce import pronounce_utterances
from asr_transfer.data.speech import Spoken
from asr_transfer.data.subsets import nested_subsets
from asr_transfer.data.tokens import pieces_of, spells_phones
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.evaluation.clusters import reduction
from asr_transfer.evaluation.language_rates import LanguageRate, language_rates
from asr_transfer.evaluation.percentages import percent
from asr_transfer.evaluation.scoring import Hypothesis, align, write_scores
from asr_transfer.experiments.core.tables import Table
from asr_transfer.language_codes import require_code
from asr_transfer.languages.choice import Chosen, Taken, mean_rise
from asr_transfer.languages.held_out import divide
from asr_transfer.languages.learning import (
    Beside,
    bare,
    kept_beside,
    learn_by_ways,
    load_any_head,
    phone_heads,
    plan_learning,
    rates_of_others,
    save_learnt,
    tokens_by_head,
)
from asr_transfer.languages.transfer import Learnt
from asr_transfer.runs.console import show
from asr_transfer.runs.record import RunRecord
from asr_transfer.training.session import hypotheses

FOREIGN = 0.3
"""Share of the letters of new texts that a head may lack; beyond it the texts are hardly in the head's language."""


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
    source = load_any_head(command.model)
    language, given = _speech(command, source)
    known = language in tokens_by_head(source)
    units = _units(command, source, language)
    utterances = _spelled(given, units, command, say)
    if known:
        source = source.for_head(language)
        _refuse_foreign(utterances, source)
    own = {name: _read(path, language, source) if path else [] for name, path in _places(command).items()}
    parts = divide(
        _amount(utterances, command), command.seed, symbols_of_units(units),
        *(_spelled(own[name], units, command, say) for name in ("dev", "test")),
    )  # fmt: skip
    every = [*parts.train, *parts.dev, *parts.test]
    store = build_store(every, source.model.inputs, tuple(sorted({1.0, *command.speeds})))
    beside = _beside(command, source, language, store)
    planned = plan_learning(source, language, units, parts.minutes, beside, command)
    record = RunRecord(command.out, to_record(command), resume=command.resume, overwrite=command.overwrite)
    record.data("given", command.data, given)
    for name, part in (("train", parts.train), ("dev", parts.dev), ("test", parts.test)):
        record.data(name, command.data, part)
    if record.finished_before:
        say(f"{command.out}: the run is finished already; nothing to do")
        return Recogniser.load(command.out, language)
    tell = record.say
    tell(f"learning '{language}' from {parts.minutes:.1f} minutes in {len(parts.train)} recordings, in {units}")
    if parts.how:
        tell(parts.how)
    if planned.reason:
        tell(f"ways tried: {', '.join(planned.ways)}: {planned.reason}")
    outcome = learn_by_ways(
        source, planned, Spoken(parts.train, store), Spoken(parts.dev, store), beside, command, command.out, tell,
        record.log, lambda chosen: show(_ladder(chosen).terminal()),
    )  # fmt: skip
    final, chosen, learnt, before = outcome.recogniser, outcome.chosen, outcome.learnt, outcome.before
    scores, figures = _scores(command, source if known else None, final, Spoken(parts.test, store), tell)
    lost = _others(before, rates_of_others(final, beside.judged), tell)
    save_learnt(outcome, command.out / "model", str(command.model), parts, store, beside, command, figures)
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
            "cpu_seconds": round(outcome.cpu_seconds, 2),
            "left_out": [f"{name}: {why}" for name, why in _left_out(learnt, chosen.way)],
        },
    )
    say(f"{command.out / 'model'}: written after {outcome.cpu_seconds:.0f} CPU-seconds of training")
    return final


def _places(command: LearnCommand) -> dict[str, Path | None]:
    return {"dev": command.dev, "test": command.test}


def _read(path: Path, language: str, source: Recogniser) -> list[Utterance]:
    known = language in tokens_by_head(source)
    return read_speech(path, language, source.for_head(language).case() if known else "lower")


def _speech(command: LearnCommand, source: Recogniser) -> tuple[str, list[Utterance]]:
    """Return the language that is learnt, and its recordings."""
    if command.language is not None:
        require_code(command.language)
    elif command.data.is_dir():
        raise ConfigError(f"{command.data}: a folder does not say its language; give its code with --language.")
    read = _read(command.data, command.language or "", source)
    there = by_language(read)
    language = command.language or next(iter(there), "")
    if language not in there:
        raise DataError(
            f"{command.data}: holds recordings in {', '.join(there)}, none in '{language}'."
            f"{nearest_hint(language, there)}"
        )
    if command.language is None and len(there) > 1:
        raise DataError(
            f"{command.data}: holds recordings in {', '.join(there)}; say with --language which is to be learnt."
        )
    require_code(language)
    utterances = there[language]
    texts = {u.text for u in utterances}
    if len(texts) < 2:
        raise DataError(
            f"{command.data}: all {len(utterances)} recordings have the text '{min(texts)}'; a language is learnt from "
            "many different ones."
        )
    return language, utterances


def _units(command: LearnCommand, source: Recogniser, language: str) -> Units:
    every = tokens_by_head(source)
    if language not in every:
        return command.units or "characters"
    known = every[language].units
    if command.units not in (None, known):
        raise ConfigError(
            f"the model has a head '{language}' of {known}, which grows; leave --units out, or learn {command.units} "
            "with a model that has no such head."
        )
    return known


def _spelled(utterances: Sequence[Utterance], units: Units, command: LearnCommand, say: Say) -> list[Utterance]:
    """Return the utterances with what the units spell: pronunciations are made where phones are and none is given."""
    if not spells_phones(units) or not utterances:
        return list(utterances)
    made, report = pronounce_utterances(utterances, scheme=command.scheme)
    if report.dropped:
        say(str(report))
    if not made:
        raise DataError(
            f"none of the {len(utterances)} recordings could be given a pronunciation; give manifests with "
            "`pronunciation`, or learn --units characters."
        )
    return made


def _refuse_foreign(utterances: Sequence[Utterance], source: Recogniser) -> None:
    """Refuse texts that are hardly in the language whose head the model has."""
    units = source.tokens.units
    if units == "subwords":
        return
    symbols = [symbol for u in utterances for symbol in pieces_of(u.spelled(units), units)]
    lacking = [symbol for symbol in symbols if symbol not in source.tokens.alphabet]
    if len(lacking) > FOREIGN * len(symbols):
        shown = ", ".join(f"'{symbol}'" for symbol in sorted(set(lacking))[:5])
        raise DataError(
            f"the model has a head '{source.head}' already, which lacks {100 * len(lacking) / len(symbols):.0f} % of "
            f"the symbols of these texts ({shown}); correct --language."
        )


def _amount(utterances: Sequence[Utterance], command: LearnCommand) -> Sequence[Utterance]:
    if command.minutes is None:
        return utterances
    return nested_subsets(utterances, [command.minutes], command.seed)[command.minutes]


def _beside(command: LearnCommand, source: Recogniser, language: str, store: FeatureStore) -> Beside:
    """Return speech of the model's other languages: the user's, or what the model's folder keeps."""
    beside = kept_beside(command.model, source, language, store, command.use_summary)
    if command.source is None:
        return beside
    others = set(tokens_by_head(source)) - {language}
    own = read_speech(command.source, "", "kept")
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


def _errors(heard: Sequence[Hypothesis], like: LanguageRate) -> list[float]:
    return [float(value) for value in align(heard, like.unit).errors]


def _others(before: Mapping[str, LanguageRate], after: Mapping[str, LanguageRate], say: Say) -> list[dict[str, object]]:
    """Print and return what the other languages lose."""
    if not before:
        say(
            "other languages: not measured, for the model keeps no held-out speech of them (`train --keep_judged` does)"
        )
        return []
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


def _rise(before: Mapping[str, LanguageRate], after: Mapping[str, LanguageRate], name: str) -> float:
    return after[name].estimate.value - before[name].estimate.value


def _left_out(learnt: Mapping[Taken, Learnt], way: Taken) -> Sequence[tuple[str, str]]:
    return learnt[way].report.dropped if way in learnt else ()
