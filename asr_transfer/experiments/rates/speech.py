"""Makes what the rates of adaptations of speech are learnt on: a source model, and others than it was trained on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from asr_transfer.adaptation.adaptable_source import train_source
from asr_transfer.adaptation.meta_training import by_speaker
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.errors import DataError
from asr_transfer.experiments.rates.config import SpeechRates
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.kinds import make_network, network_inputs
from asr_transfer.training.session import language_tasks
from asr_transfer.training.streams import Mixture, Task


def parts(names: Sequence[str], config: SpeechRates, seed: int, what: str) -> tuple[list[str], list[str], list[str]]:
    """Divide speakers or languages into those of the source model, those to learn rates on, and those to try them on.

    Raises:
        DataError: there are too few.
    """
    drawn = sorted(set(names))
    if len(drawn) <= config.learn + config.test:
        raise DataError(
            f"the corpora have {len(drawn)} {what}, too few to leave {config.learn} to learn on and {config.test} to "
            "try on beside those of the source model; lower `learn` and `test`, or name more corpora."
        )
    random.Random(seed).shuffle(drawn)
    first = len(drawn) - config.learn - config.test
    return drawn[:first], drawn[first : first + config.learn], drawn[first + config.learn :]


def speaker_rates(
    utterances: Sequence[Utterance], config: SpeechRates, seed: int, folder: Path, log: Callable[[str], None]
) -> tuple[SpeechModel, Task, Task]:
    """Train a source model without some speakers, and return tasks of these to learn on and to try on.

    Raises:
        DataError: there are too few speakers, or nobody left out has enough recordings.
    """
    source, learn, test = parts([u.speaker for u in utterances], config, seed, "speakers")
    settings = replace(config.source, trainer=replace(config.source.trainer, seed=seed))
    store = build_store(list(utterances), network_inputs(settings.model), settings.speeds)
    trained = [u for u in utterances if u.speaker in source]
    log(f"source model of {', '.join(source[:8])}{' …' if len(source) > 8 else ''}; tried on {', '.join(test)}")
    recogniser, _, _ = train_source(Spoken(trained, store), Spoken([], store), settings, folder, log)

    def task(speakers: Sequence[str]) -> Task:
        own = Spoken([u for u in utterances if u.speaker in speakers], store).spelled(recogniser.tokens)
        kept, _ = own.feasible(recogniser.model.frames)
        return replace(by_speaker(kept, recogniser.head, 2 * config.items), augment=False)

    return recogniser.model, task(learn), task(test)


def language_rates(
    utterances: Sequence[Utterance], config: SpeechRates, seed: int, folder: Path, log: Callable[[str], None]
) -> tuple[SpeechModel, Mixture, Mixture]:
    """Train a source model of some languages, and return mixtures of others, each with a new head.

    Raises:
        DataError: there are too few languages.
    """
    source, learn, test = parts([u.language for u in utterances], config, seed, "languages")
    settings = replace(config.source, trainer=replace(config.source.trainer, seed=seed))
    store = build_store(list(utterances), network_inputs(settings.model), settings.speeds)
    log(f"source model of {', '.join(source)}; rates learnt on {', '.join(learn)}, tried on {', '.join(test)}")
    recogniser, _, _ = train_source(_of(utterances, source, store), Spoken([], store), settings, folder, log)
    plain = replace(settings.only([*learn, *test]), speeds=(1.0,))
    tasks, tokens, _ = language_tasks(_of(utterances, [*learn, *test], store), plain)
    model = make_network(plain.model, {language: len(own) for language, own in tokens.items()})
    known = recogniser.model.state_dict()
    model.load_state_dict({name: own for name, own in known.items() if not name.startswith("heads.")}, strict=False)

    def mixture(name: str, languages: Sequence[str]) -> Mixture:
        chosen = tuple(replace(task, augment=False) for task in tasks if task.head in languages)
        return Mixture(name, chosen, alpha=0.0, apart=True)

    return model, mixture("learn", learn), mixture("test", test)


def _of(utterances: Sequence[Utterance], languages: Sequence[str], store: FeatureStore) -> Spoken:
    return Spoken([u for u in utterances if u.language in languages], store)
