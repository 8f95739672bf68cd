"""Merges a profile into its model: a model folder that needs neither."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from asr_transfer.commands.options import Say
from asr_transfer.commands.profile_folders import DIGITS, open_profile, told_by_sentence
from asr_transfer.commands.profile_on_model import offsets_with, require_head
from asr_transfer.errors import ModelError
from asr_transfer.textfiles import require_writable_folder

_MODEL_FILES = re.compile(
    r"(model|speakers)\.safetensors|config\.yaml|README\.md|(tokens|lexicon)(\.[\w-]+)?\.txt|tokens(\.[\w-]+)?\.(model|json)"
)


def merge_profile(
    model: Path, profile: Path, out: Path, say: Say, *, head: str | None = None, overwrite: bool = False
) -> None:
    """Write a model folder that holds the base with the profile, so that neither is needed any more.

    Args:
        model: model folder of the base, or the run folder of `train`; stays as it is.
        profile: profile folder, or the run folder of `adapt`.
        out: model folder to write.
        say: function that prints a line.
        head: head to listen with, where the model has several; None takes the profile's.
        overwrite: whether to replace the model that `out` holds.

    Raises:
        ModelError: a folder is missing or damaged, the profile belongs to another model, or `out` holds something
            that must not be replaced.
    """
    from asr_transfer.adaptation.profile import merged
    from asr_transfer.commands.language import find_head
    from asr_transfer.data.features import FRAMES
    from asr_transfer.data.kept_source import FILES, FOLDER, JUDGED, load_summaries, remarks, writers
    from asr_transfer.decoding.recogniser import Recogniser
    from asr_transfer.models.adapters import adapter_specs

    for source, what in ((model, "model"), (profile, "profile")):
        if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
            raise ModelError(f"{out}: lies in the folder of the {what} that is merged; choose another --out.")
    require_writable_folder(out)
    with told_by_sentence():
        names = {path.relative_to(out).as_posix() for path in out.rglob("*")} if out.is_dir() else set()
    # A folder like a model's with other files besides would lose them.
    known = {path for kept in (FOLDER, JUDGED) for path in (kept, *(f"{kept}/{name}" for name in (*FILES, *FRAMES)))}
    if foreign := sorted(name for name in names - known if not _MODEL_FILES.fullmatch(name)):
        raise ModelError(f"{out}: holds other things than a model ({foreign[0]}); choose another --out.")
    if names and not overwrite:
        raise ModelError(f"{out}: already holds a model; give --overwrite to replace it, or another --out.")
    recogniser = Recogniser.load(model, find_head(model, head, say, profile=profile))
    loaded = open_profile(profile)
    whole = merged(recogniser.model, loaded)
    require_head(loaded, recogniser.head)
    kept = adapter_specs(whole)
    folded = [str(spec) for spec in loaded.specs if spec not in kept]
    parts = [f"folded into its weights: {', '.join(folded)}"] if folded else []
    parts += [f"kept as adapters inside it: {', '.join(map(str, kept))}"] if kept else []
    facts = loaded.facts
    parts += ["it adapts to each utterance while recognising it"] if facts.test_time else []
    card = (
        f"# Speech recogniser ({recogniser.head}), merged with a speaker's profile\n\nThe model `{model}` "
        f"({loaded.base[:DIGITS]}) with the profile `{profile}` ({loaded.checksum[:DIGITS]}), which `{facts.method}` "
        f"learnt from {facts.utterances} utterances ({facts.seconds:.1f} s) at {facts.created}. It needs neither of "
        f"them. {''.join(f'{part[0].upper()}{part[1:]}. ' for part in parts)}".rstrip()
        + "\n"
    )
    came = {"method": facts.method, "base": loaded.base, "profile": loaded.checksum}
    test_time = facts.test_time or recogniser.test_time
    kept_speech = load_summaries(model, whole.inputs)
    offsets = offsets_with(recogniser, loaded)
    adapted = replace(recogniser, model=whole, test_time=test_time, offsets=offsets)
    adapted.save(out, card + remarks(kept_speech), came, writers(kept_speech))
    say(f"{out}: written, a model that needs no profile{''.join(f'; {part}' for part in parts)}")
