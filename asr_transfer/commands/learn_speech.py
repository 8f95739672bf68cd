"""Reads the recordings that `asr-transfer learn` is given, and refuses those that no language can be learnt from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr_transfer.adaptation.checks import check_audio, digest
from asr_transfer.commands.learn import LearnCommand
from asr_transfer.commands.options import Say
from asr_transfer.commands.speech import named_as, read_partly, read_speech
from asr_transfer.config import Units
from asr_transfer.data.manifest import UNKNOWN, Utterance, by_language
from asr_transfer.data.pronounce import pronounce_utterances
from asr_transfer.data.subsets import nested_subsets
from asr_transfer.data.tokens import Tokens, pieces_of, spells_phones
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.language_codes import is_code, require_code, same_language, varieties
from asr_transfer.orthography import Case

FOREIGN = 0.3
"""Share of the letters of new texts that a head may lack; beyond it the texts are hardly in the head's language."""
MANY, RARE = 100, 1 / 3
"""Number of different characters from which on a script is one of words or syllables, and the share of them that may
stand in a single recording: nobody learns a character from one example."""


@dataclass(frozen=True)
class Given:
    """The recordings of the language that is learnt.

    Attributes:
        language: its ISO 639 code.
        known: whether the model has a head of it.
        units: kind of text that a token of its head is.
        own: utterances to divide, or to train on where both others are given.
        dev, test: utterances that the user held out; none where there are no such.
        untranscribed: further utterances of the language, without transcripts.
        notes: lines that were printed, for the log.
        left_out: id and reason of each utterance that cannot be used.
    """

    language: str
    known: bool
    units: Units
    own: Sequence[Utterance]
    dev: Sequence[Utterance]
    test: Sequence[Utterance]
    untranscribed: Sequence[Utterance]
    notes: Sequence[str]
    left_out: Sequence[tuple[str, str]]


def read_given(command: LearnCommand, source: Recogniser, say: Say) -> Given:
    """Read and check the recordings of a run of `learn`.

    Args:
        command: options of the run.
        source: the model, with any of its heads.
        say: function that prints a line.

    Raises:
        DataError: recordings are missing, damaged, in another language, all of one text, the same in two places, or
            cannot be spelled.
        ConfigError: the language is no code or is not said, or units do not go with the model.
    """
    notes, left_out = list[str](), list[tuple[str, str]]()

    def note(line: str) -> None:
        say(line)
        notes.append(line)

    heads = source.tokens_by_head
    language, own, bare = _language(command, source, note)
    units = _units(command, heads, language)
    parts: dict[str, Sequence[Utterance]] = {
        "test": _held_out(command.test, language, source),
        "dev": _held_out(command.dev, language, source),
        "data": [*_amount(own, command), *(bare if command.use_untranscribed else [])],
    }
    parts = _told_apart(parts, command)
    bare, parts["data"] = ([u for u in parts["data"] if bool(u.text) is with_text] for with_text in (False, True))
    for name, part in parts.items():
        parts[name] = _spelled(part, units, command, note, left_out)
    if language in heads:
        _refuse_foreign(parts["data"], language, heads[language])
    else:
        _refuse_rare(parts["data"], units)
    parts = _sound(parts, command, note, left_out)
    bare = _usable(bare, [u for part in parts.values() for u in part], note, left_out)
    return Given(language, language in heads, units, parts["data"], parts["dev"], parts["test"], bare, notes, left_out)


def _language(command: LearnCommand, source: Recogniser, say: Say) -> tuple[str, list[Utterance], list[Utterance]]:
    """Return the language that is learnt, and its recordings with a transcript and without."""
    if command.language is not None:
        require_code(command.language)
    elif command.data.is_dir():
        raise ConfigError(f"{command.data}: a folder does not say its language; give its code with --language.")
    heads = source.tokens_by_head
    named = None if command.language is None else same_language(command.language, heads)
    transcribed, bare = read_partly(command.data, named or "", _case(source, named))
    if not transcribed:
        raise DataError(
            f"{command.data}: no recording has a transcript, which a language is learnt from; write some, in a .txt "
            "file beside each recording or in one table with the columns `file` and `text`."
        )
    codes = list(dict.fromkeys(u.language for u in transcribed))
    known = [*heads, *([named] if named else [])]
    for code in codes:
        known += [code] if same_language(code, known) == code else []
    transcribed, bare = (named_as(part, known) for part in (transcribed, bare))
    there = by_language(transcribed)
    if named is None and len(there) > 1:
        raise DataError(
            f"{command.data}: holds recordings in {', '.join(there)}; say with --language which is to be learnt."
        )
    language = named or next(iter(there))
    if language not in there:
        raise DataError(
            f"{command.data}: holds recordings in {', '.join(there)}, none in '{language}'; correct --language or the "
            "manifest."
        )
    require_code(language)
    _tell_names(command.language or codes[0], language, heads, say)
    texts = {u.text for u in there[language]}
    if len(texts) < 2:
        raise DataError(
            f"{command.data}: all {len(there[language])} recordings have the text '{min(texts)}'; a language is learnt "
            "from many different ones."
        )
    ours = (language, "", UNKNOWN["language"])
    return language, there[language], [replace(u, language=language) for u in bare if u.language in ours]


def _tell_names(given: str, language: str, heads: Collection[str], say: Say) -> None:
    """Tell where a code is another one of a language that the model knows, of another variety of one, or may be that
    of a head that does not say its language.
    """
    if given != language and language in heads:
        say(f"'{given}' is the language of the model's head '{language}', which is taught")
    elif language not in heads and (others := varieties(language, heads)):
        say(
            f"the model knows another variety of the language, '{others[0]}'; '{language}' gets a head of its own "
            f"beside it (--language {others[0]} would teach that one)"
        )
    elif language not in heads and (unnamed := [head for head in heads if not is_code(head)]):
        say(
            f"the model's head '{unnamed[0]}' does not say its language, so '{language}' gets a head of its own beside "
            f"it (--head {unnamed[0]} --language {language} would take that head for it and let it grow)"
        )


def _case(source: Recogniser, language: str | None) -> Case:
    known = language in source.tokens_by_head
    return source.for_head(language).case() if known and language else "lower"


def _held_out(path: Path | None, language: str, source: Recogniser) -> list[Utterance]:
    """Return the recordings in the language that the user held out."""
    if path is None:
        return []
    there = by_language(named_as(read_speech(path, language, _case(source, language)), [language]))
    if language not in there:
        raise DataError(
            f"{path}: holds recordings in {', '.join(there)}, but '{language}' is learnt; give held-out recordings of "
            "that."
        )
    return there[language]


def _units(command: LearnCommand, heads: Mapping[str, Tokens], language: str) -> Units:
    if language not in heads:
        return command.units or "characters"
    known = heads[language].units
    if command.units not in (None, known):
        raise ConfigError(
            f"the model has a head '{language}' of {known}, which grows; leave --units out, or learn {command.units} "
            "with a model that has no such head."
        )
    if command.pieces is not None:
        raise ConfigError(f"the model has a head '{language}' already, whose pieces stay; leave --pieces out.")
    return known


def _amount(utterances: Sequence[Utterance], command: LearnCommand) -> Sequence[Utterance]:
    if command.minutes is None:
        return utterances
    return nested_subsets(utterances, [command.minutes], command.seed)[command.minutes]


def _told_apart(parts: Mapping[str, Sequence[Utterance]], command: LearnCommand) -> dict[str, Sequence[Utterance]]:
    """Return utterances under ids that belong to one part alone.

    Folders name their files alike, so those of a folder get another id; what a manifest names is meant.
    """
    places = {"test": command.test, "dev": command.dev, "data": command.data}
    owner: dict[str, str] = {}
    found: dict[str, Sequence[Utterance]] = {}
    for name, part in parts.items():
        apart: list[Utterance] = []
        for utterance in part:
            first = owner.get(utterance.id)
            if first is None:
                apart.append(utterance)
                continue
            if not any(place is not None and place.is_dir() for place in (places[first], places[name])):
                raise DataError(
                    f"utterance '{utterance.id}' stands in --{first} and in --{name}; a model must not be judged on "
                    "what it learnt from, remove it from one."
                )
            apart.append(replace(utterance, id=f"{name}/{utterance.id}"))
        owner.update((u.id, name) for u in apart)
        found[name] = apart
    return found


def _spelled(
    utterances: Sequence[Utterance], units: Units, command: LearnCommand, say: Say, left_out: list[tuple[str, str]]
) -> Sequence[Utterance]:
    """Return the utterances with what the units spell: pronunciations are made where phones are and none is given."""
    if not spells_phones(units) or not utterances:
        return utterances
    try:
        made, report = pronounce_utterances(utterances, scheme=command.scheme)
    except ConfigError as error:
        reason = str(error).partition(" Known: ")[0].partition(". ")[0].rstrip(".")
        raise ConfigError(f"{reason}; give manifests with `pronunciation`, or learn --units characters.") from None
    if report.dropped:
        say(str(report))
        left_out += report.dropped
    if not made:
        raise DataError(
            f"none of the {len(utterances)} recordings could be given a pronunciation ({report.dropped[0][1]}); give "
            "manifests with `pronunciation`, or learn --units characters."
        )
    return made


def _refuse_foreign(utterances: Sequence[Utterance], head: str, tokens: Tokens) -> None:
    """Refuse texts that are hardly in the language whose head the model has, or that its pieces cannot spell."""
    known: Collection[str]
    if tokens.model is not None:
        known = tokens.model.characters
        symbols = [letter for u in utterances for letter in u.text if letter != " "]
    else:
        known = tokens.alphabet
        symbols = [symbol for u in utterances for symbol in pieces_of(u.spelled(tokens.units), tokens.units)]
    lacking = Counter(symbol for symbol in symbols if symbol not in known)
    shown = ", ".join(f"'{symbol}'" for symbol in sorted(lacking)[:5])
    if lacking.total() > FOREIGN * len(symbols):
        raise DataError(
            f"the model has a head '{head}' already, which lacks {100 * lacking.total() / len(symbols):.0f} % of the "
            f"symbols of these texts ({shown}); correct --language."
        )
    if lacking and tokens.model is not None:
        raise DataError(
            f"the model has a head '{head}' of subwords, which takes no further letter, and these texts have {shown}; "
            "leave out the recordings with them."
        )


def _refuse_rare(utterances: Sequence[Utterance], units: Units) -> None:
    """Refuse to learn characters of which many have one example, as those of Chinese in little speech."""
    if units != "characters":
        return
    times = Counter(letter for u in utterances for letter in set(u.text))
    once = sum(number == 1 for number in times.values())
    if len(times) > MANY and once > RARE * len(times):
        raise DataError(
            f"{once} of the {len(times)} characters of these texts stand in a single recording each, from which none "
            "is learnt; learn --units phones, of which there are few."
        )


def _sound(
    parts: Mapping[str, Sequence[Utterance]], command: LearnCommand, say: Say, left_out: list[tuple[str, str]]
) -> dict[str, Sequence[Utterance]]:
    """Return the recordings without silence and copies; a copy in another part is refused."""
    every = [u for part in parts.values() for u in part]
    part_of = {u.id: name for name, part in parts.items() for u in part}
    check = check_audio(every)
    for utterance, first in zip(every, check.groups, strict=True):
        one, other = part_of[every[first].id], part_of[utterance.id]
        if one != other and utterance.id not in {f.utterance for f in check.findings if f.kind == "silence"}:
            raise DataError(
                f"utterance '{utterance.id}' of --{other} is the same recording as '{every[first].id}' of --{one}; a "
                "model must not be judged on what it learnt from, remove it from one."
            )
    gone = set[str]()
    for finding in check.findings:
        leaves = finding.kind in ("silence", "duplicate")
        if finding.utterance in gone:
            continue
        say(str(finding) + (" It is left out." if leaves else ""))
        if leaves:
            gone.add(finding.utterance)
            left_out.append((finding.utterance, finding.kind))
    sound: dict[str, Sequence[Utterance]] = {
        name: [u for u in part if u.id not in gone] for name, part in parts.items()
    }
    for name, part in parts.items():
        if part and not sound[name]:
            raise DataError(f"none of the {len(part)} recordings of --{name} can be used; record them again.")
    return sound


def _usable(
    bare: Sequence[Utterance], transcribed: Sequence[Utterance], say: Say, left_out: list[tuple[str, str]]
) -> list[Utterance]:
    """Return recordings without transcript that are neither silent nor a copy of another one, of which there are few.

    Copies of transcribed recordings go silently: a folder may hold what was transcribed twice, and the scored ones
    must not be heard.
    """
    if not bare:
        return []
    gone = set[str]()
    for finding in check_audio(bare).findings:
        if finding.kind == "silence" and finding.utterance not in gone:
            say(f"{finding} It is left out.")
        if finding.kind in ("silence", "duplicate"):
            gone.add(finding.utterance)
            left_out.append((finding.utterance, finding.kind))
    known = {digest(u) for u in transcribed}
    return [u for u in bare if u.id not in gone and digest(u) not in known]
