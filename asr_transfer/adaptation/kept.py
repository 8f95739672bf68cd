"""Decides on which speech it is judged what an adaptation makes others lose, and what the adapted model keeps.

A model knows what it was trained on by heart, so only speech that it was not trained on tells what it forgets: what
`train` held out and keeps in the model's folder. It is never mixed in. Of recordings that a user gives as source nobody
knows whether the model was trained on them: where there is nothing better, a third of them is judged on while a method
is chosen, and the figure says so.

Of a model of several languages, others are the speakers of the language that is adapted, and those of every other
language, who are listened to through its own head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asr_transfer.adaptation.choice import lasting
from asr_transfer.adaptation.settings import ChoiceConfig
from asr_transfer.data.kept_source import JUDGED, Summary, judged_apart, load_summaries, summary_folder
from asr_transfer.data.manifest import Utterance
from asr_transfer.decoding.recogniser import Recogniser

NOT_MEASURED = (
    "not measured, for the model keeps no other people's speech that it was not trained on (`train --keep_judged` "
    "does); --others DATA scores some before and after"
)
LEFT_OUT = "not measured, for --use_summary false leaves out the speech that the model keeps for that"
UNKNOWN = "utterances of --source, which the model may have been trained on: others may lose more"


@dataclass(frozen=True)
class Judged:
    """Speech on which it is judged what others lose.

    Attributes:
        utterances: speech to measure on; empty where nothing is measured.
        what: description of these utterances, or the reason why nothing is measured.
        sure: whether it is known that the source model was not trained on them; otherwise they were given to be mixed
            in.
        abroad: kept speech of the model's other languages, by language.
    """

    utterances: Sequence[Utterance]
    what: str
    sure: bool = True
    abroad: Mapping[str, Sequence[Utterance]] = field(default_factory=dict)

    @property
    def everything(self) -> list[Utterance]:
        """Return the utterances of all languages."""
        return [*self.utterances, *(u for own in self.abroad.values() for u in own)]


def kept_speech(model: Path, source: Recogniser, own: Sequence[Utterance]) -> dict[str, Summary]:
    """Return what a model's folder keeps of its source, and the adapted model's will, by folder.

    What there is to judge on comes without the speakers of `own`, who are no others any more.
    """
    kept = load_summaries(model, source.model.inputs)
    if JUDGED in kept:
        judged, speakers = kept.pop(JUDGED), {u.speaker for u in own}
        if rest := [u for u in judged.utterances if u.speaker not in speakers]:
            kept[JUDGED] = Summary(rest, judged.store)
    return kept


def in_its_languages(
    kept: Mapping[str, Summary], name: str, model: Path, source: Recogniser
) -> dict[str, list[Utterance]]:
    """Return what the model keeps in a folder by the head that listens to it, its own one first.

    Raises:
        DataError: a transcript cannot be spelled; the folder belongs to another model.
    """
    place = summary_folder(model, name)
    found: dict[str, list[Utterance]] = {}
    if name not in kept or place is None:
        return found
    for head in (source.head, *sorted(source.others)):
        known = [u for u in kept[name].utterances if not source.others or u.language == head]
        if known:
            Summary(known, kept[name].store).require_spelled(source.tokens_for(head), place)
            found[head] = known
    return found


def without_judged(given: Sequence[Utterance], kept: Summary | None) -> list[Utterance]:
    """Return a user's source recordings without those that the model keeps to judge on, such as of its own corpus."""
    known = {_identity(u) for u in kept.utterances} if kept else set()
    return [u for u in given if _identity(u) not in known]


def judged_speech(
    kept: Mapping[str, Sequence[Utterance]],
    source: Recogniser,
    given: Sequence[Utterance],
    choice: ChoiceConfig,
    use_summary: bool,
) -> Judged:
    """Return what is judged on.

    Args:
        kept: utterances that the model keeps to judge on, by the head that listens to them.
        source: the model.
        given: the user's source recordings.
        choice: settings that limit the amount of these.
        use_summary: whether to use what the model keeps.
    """
    abroad = {head: own for head, own in kept.items() if head != source.head}
    if own := kept.get(source.head):
        speakers = len({u.speaker for u in own})
        many = f"{speakers} speaker{'s' if speakers > 1 else ''}"
        whose = (
            f"of {many} that the model was not trained on"
            if judged_apart(source.origin, source.head)
            else f"that the model was not trained on, of {many} that it was trained on"
        )
        return Judged(own, f"{len(own)} utterances {whose}", abroad=abroad)
    doubtful = lasting(given[2::3], choice.check_seconds)  # the others are mixed in
    if doubtful:
        return Judged(doubtful, f"{len(doubtful)} {UNKNOWN}", sure=False, abroad=abroad)
    return Judged((), NOT_MEASURED if use_summary else LEFT_OUT, abroad=abroad)


def mixed_in_trials(given: Sequence[Utterance], judged: Judged) -> list[Utterance]:
    """Return the source utterances that methods mix in while one is chosen: none that is judged on."""
    held = set() if judged.sure else {u.id for u in judged.utterances}
    return [u for u in given if u.id not in held]


def excess(before: float, after: float, choice: ChoiceConfig, whose: str = "others") -> str:
    """Return that others lose more by what `auto` made than it tolerates, given character error rates; else nothing."""
    if after - before <= choice.tolerance:
        return ""
    return (
        f"{whose}: that is {100 * (after - before):.1f} points of the character error rate, more than the "
        f"{100 * choice.tolerance:g} that `auto` tolerates, for the last training is longer than those it judged by; "
        "--choice.refit 1 makes it as short, or leave others to the model as it was"
    )


def _identity(utterance: Utterance) -> tuple[str, str, str, float]:
    return utterance.id, utterance.speaker, utterance.text, round(utterance.duration, 3)
