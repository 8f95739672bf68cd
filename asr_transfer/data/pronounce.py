"""Pronounces whole manifests, which models of phones are trained on and scored against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from asr_transfer.data.g2p import Notation, Reader, Source, guess_sentence, has_dictionary, pronounce
from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.manifest import Report, Utterance
from asr_transfer.data.notations import Scheme, scheme_of, to_ipa
from asr_transfer.errors import DataError
from asr_transfer.progress import tracked


def pronounce_utterances(
    utterances: Sequence[Utterance],
    language: str | None = None,
    scheme: Scheme = "ipa",
    lexicon: Lexicon | None = None,
    source: Source = "auto",
    *,
    reader: Reader | None = None,
    notation: Notation | None = None,
    voice: str | None = None,
) -> tuple[list[Utterance], Report]:
    """Return utterances with a pronunciation each, and a report of those that have none and are left out.

    One that is there stays where it is in the notation asked for, and is rewritten where that is IPA. Otherwise the
    words are looked up, in `lexicon` (a whole transcript or one word of it; of several pronunciations the one of the
    highest weight, then the first), then in the dictionary of the language, and are guessed at last. A transcript that
    neither lexicon nor dictionary has a word of is guessed as a sentence, with liaisons and weak forms.

    Args:
        utterances: speech of any languages.
        language: language of all of them, or a voice of espeak-ng such as "en-gb"; None for each utterance's own.
        scheme: notation of the pronunciations.
        lexicon: lexicon in the notation asked for.
        source: origin of the pronunciations: `dictionary` takes no guesses, `espeak` nothing else but the lexicon.
        reader: dictionary of the language.
        notation: marks of stress, length and affricates that are kept.
        voice: language by whose rules the words are read, where there are none of their own.

    Raises:
        DataError: an utterance is in another language than `language`.
        ConfigError: a language, source or notation is unknown or does not go with the others.
    """
    report, kept = Report(), []
    given = _given(utterances)
    speakers: dict[str, _Speaker] = {}
    known = _chosen(lexicon)
    for utterance in tracked(utterances, "pronouncing", len(utterances), "utterance"):
        own = language or utterance.language
        if own.partition("-")[0] != utterance.language.partition("-")[0]:
            raise DataError(
                f"utterance '{utterance.id}' is in '{utterance.language}', not in '{own}'; correct its `language`, or "
                "pronounce each language by itself."
            )
        if utterance.pronunciation is not None and given[utterance.language] == scheme:
            kept.append(utterance)
            continue
        try:
            if utterance.pronunciation is not None and scheme == "ipa":
                phones: Sequence[str] = to_ipa(utterance.pronunciation.split(), given[utterance.language])
            else:
                read_as = voice or own
                speaker = speakers.get(read_as)
                if speaker is None:
                    speaker = speakers[read_as] = _Speaker(read_as, scheme, known, source, reader, notation)
                phones = speaker.say(utterance.text)
        except DataError as error:
            report.drop(utterance.id, str(error))
            continue
        kept.append(replace(utterance, pronunciation=" ".join(phones)))
    report.kept = len(kept)
    return kept, report


class _Speaker:
    """Pronounces the transcripts of a language, each word and each transcript once."""

    def __init__(
        self,
        language: str,
        scheme: Scheme,
        known: Mapping[str, Sequence[str]],
        source: Source,
        reader: Reader | None,
        notation: Notation | None,
    ) -> None:
        self.language, self.scheme, self.source = language, scheme, source
        self.reader, self.notation = reader, notation
        self._known: dict[str, Sequence[str] | DataError] = dict(known)
        rules = source == "espeak" or (source == "auto" and reader is None and not has_dictionary(language))
        self._by_sentence = rules

    def say(self, text: str) -> list[str]:
        """Return the phones of a transcript; raises as `pronounce`."""
        text = " ".join(text.split())
        words = [text] if text in self._known else text.split()
        if not words:
            raise DataError("the transcript is empty; leave the utterance out.")
        if len(words) > 1 and self._by_sentence and not any(word in self._known for word in words):
            return guess_sentence(text, self.language, self.scheme, self.notation)
        return [phone for word in words for phone in self._word(word)]

    def _word(self, word: str) -> Sequence[str]:
        if word not in self._known:
            try:
                first, *_ = pronounce(
                    [word],
                    self.language,
                    self.source,
                    scheme=self.scheme,
                    reader=self.reader,
                    notation=self.notation,
                    where={word: "the transcript"},
                )
                self._known[word] = first.phones
            except DataError as error:
                self._known[word] = error
        found = self._known[word]
        if isinstance(found, DataError):
            raise found
        return found


def _chosen(lexicon: Lexicon | None) -> dict[str, Sequence[str]]:
    """Return the pronunciation of each word that is most likely."""
    best: dict[str, Entry] = {}
    for entry in lexicon or ():
        if entry.word not in best or entry.weight > best[entry.word].weight:
            best[entry.word] = entry
    return {word: entry.phones for word, entry in best.items()}


def _given(utterances: Sequence[Utterance]) -> dict[str, Scheme]:
    """Return the notation of each language's pronunciations; a single utterance may be too short to tell."""
    symbols: dict[str, set[str]] = {}
    for utterance in utterances:
        if utterance.pronunciation is not None:
            symbols.setdefault(utterance.language, set()).update(utterance.pronunciation.split())
    return {language: scheme_of(found) for language, found in symbols.items()}
