"""Writes what an adaptation made: the adapted model, and a profile of what changed."""

from __future__ import annotations

from collections.abc import Mapping

from asr_transfer.adaptation.adapt import Adapted
from asr_transfer.adaptation.choice import Choice
from asr_transfer.adaptation.profile import WEIGHTS, Profile, ProfileFacts, save_profile
from asr_transfer.commands.adapt import AdaptCommand
from asr_transfer.commands.options import Say
from asr_transfer.commands.profile_folders import open_profile
from asr_transfer.data.kept_source import Summary, remarks, writers
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.configuration import LAST_LANGUAGE
from asr_transfer.runs.record import RunRecord


def save_adapted(
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
    """Write the adapted model with its card and, where something was learnt, the speaker's profile.

    Args:
        command: options of the run.
        base: the model as it stands on disk.
        source: the model that was adapted: the base, with the profile that was gone on from.
        adapted: outcome of the adaptation.
        spoken: speech that was adapted to.
        choice: method that was chosen.
        kept: utterances that go into the adapted model's folder too.
        record: record of the run.
        say: function that prints a line.
    """
    left_out = {name for name, _ in adapted.report.dropped}
    changed = bool(adapted.end) or adapted.warp is not None
    learnt = [u for u in spoken.utterances if u.id not in left_out] if changed else []
    how = (
        f"Adapted from `{command.model}` to {len(learnt)} utterances by `{choice.method}`"
        if changed
        else f"The weights of `{command.model}`{' with the profile' * bool(command.profile)}, for `{choice.method}` "
        "trains nothing"
    )
    card = f"# Speech recogniser ({base.head}), adapted\n\n{how}; see `../run.json`.\n"
    checksum = record.values["data"]["adapt"]["checksum"]
    came = {"adapted_to": checksum, "method": choice.method, LAST_LANGUAGE: source.head}
    # Kept with the adapted model too, for going on from there.
    adapted.recogniser.save(command.out / "model", card + remarks(kept), came, writers(kept))
    if not changed and adapted.recogniser.test_time == source.test_time:
        if command.profile:
            say(f"{command.profile}: stays the speaker's profile, for nothing was learnt")
        return
    given = open_profile(command.profile) if command.profile else None
    facts = ProfileFacts(
        choice.method,
        len(learnt),
        round(sum(u.duration for u in learnt), 2),
        parent=given.checksum if given else None,
        origin={"adapted_to": checksum, "learning_rate": choice.learning_rate, "strength": choice.strength},
        test_time=adapted.recogniser.test_time,
        head=source.head,
        offsets=adapted.recogniser.offsets if adapted.end else {},
    )
    weights = adapted.described.weights if adapted.described else given.tensors.get(WEIGHTS) if given else None
    folder = save_profile(command.out / "profile", base.model, adapted.recogniser.model, facts, weights)
    say(f"{folder}: written, a profile of what changed, {Profile.load(folder).size_bytes / 1000:.0f} kB")
