"""Measures what an adaptation makes the model's other languages lose, and sets anew how they are told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from asr_transfer.adaptation.adapt import Adapted
from asr_transfer.adaptation.before_after import before_and_after
from asr_transfer.adaptation.choice import AUTO
from asr_transfer.adaptation.kept import excess
from asr_transfer.adaptation.loss_of_others import BEYOND_CHANCE, Loss, mean_abroad
from asr_transfer.commands.adapt import AdaptCommand
from asr_transfer.commands.options import Say
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.identify import calibrated
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.evaluation.standard_error import in_points
from asr_transfer.runs.record import RunRecord


def lost_abroad(
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


def recalibrated(
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
