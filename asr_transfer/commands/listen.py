"""Opens a recogniser as the command line asks: with which head, which words, which search."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from asr_transfer import audio
from asr_transfer.commands.language import AUTO, find_head, require_a_head
from asr_transfer.commands.options import ListenOptions, OnlineOptions, settings_from
from asr_transfer.commands.profile_folders import open_profile
from asr_transfer.commands.profile_on_model import load_with_profile, put_on
from asr_transfer.commands.word_files import file_of, files_of, say_without
from asr_transfer.data.byte_pairs import BytePairTokens
from asr_transfer.data.features import model_input
from asr_transfer.data.lexicon import read_for
from asr_transfer.data.manifest import Utterance, read_audio
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.biasing import PrefixSearch
from asr_transfer.decoding.decoders import SentenceDecoder, SpellingDecoder, WordDecoder
from asr_transfer.decoding.folder import heads_in, speaks_many
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.identify import Identified, accuracy, confusions, identify, told_confusions
from asr_transfer.decoding.lexicon_search import explain
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SearchConfig, WritingConfig
from asr_transfer.decoding.token_bias import TokenBias
from asr_transfer.devices import find_device
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.normalisation import normalise
from asr_transfer.evaluation.scoring import Hypothesis
from asr_transfer.language_codes import same_language
from asr_transfer.training.hypotheses import paired

if TYPE_CHECKING:
    from asr_transfer.adaptation.online import Session


ENGLISH = "en"
"""Language of the models of sequence to sequence that know no marks of languages."""


def load(
    model: str | Path,
    *,
    profile: str | Path | None = None,
    language: str | None = None,
    lexicon: str | Path | None = None,
    sentences: bool = False,
    lm: str | Path | None = None,
    hotwords: str | Path | None = None,
    search: SearchConfig = SearchConfig(),
    writing: WritingConfig = WritingConfig(),
    device: str = "auto",
) -> Recogniser:
    """Load a model to listen with; the parameters are options of `asr-transfer transcribe`, described in `--help`.

    Args:
        model: model folder, or the run folder of `train` or `adapt`.
        profile: speaker's profile to put on the model.
        language: head to listen with, where the model has several, by default that of the profile; `auto` is the
            command line's alone.
        lexicon: words that can be said, with their pronunciations.
        sentences: whether each recording is a sentence of the lexicon's words, instead of one of them.
        lm: language model of the sentences, ARPA text; without a lexicon one of letters.
        hotwords: file of words or phrases to listen for.
        search: settings of the search for sentences and hot words.
        writing: settings by which a model of sequence to sequence writes.
        device: device to listen on: `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU when there is one.

    Returns:
        The recogniser, whose `transcribe` takes audio files and returns their texts.

    Raises:
        AsrTransferError: a folder, file or option is wrong; the message says how to mend it.

    Example:
        >>> import asr_transfer as at
        >>> at.load("my_model").transcribe(["new.wav"])
        ['...']
    """
    options = settings_from(ListenOptions, locals())
    if options.language == AUTO:
        raise ConfigError(
            "a recogniser listens in one language; load the model once for each instead of with language='auto', or "
            "use `asr-transfer transcribe --language auto`."
        )
    return open_recogniser(options)


def open_recogniser(options: ListenOptions) -> Recogniser:
    """Load the model that the options name, with its profile and the decoder that they ask for.

    With the language to be found out, each head has the words and the decoder of its own language.

    Raises:
        ModelError: a folder is missing or damaged, the head must be named, or the profile is of another one.
        ConfigError: the language is to be found out, but the model has one only, or the words are of one only; or
            there is no such device.
        DataError: lexicon, hot words or language model are damaged, or hold what the model does not know.
    """
    device = find_device(options.device)
    recogniser = _opened(options)
    recogniser.model.to(device)
    return recogniser


def _opened(options: ListenOptions) -> Recogniser:
    if speaks_many(options.model):
        return _of_many_languages(options)
    if options.writing != WritingConfig():
        raise ConfigError(
            f"`writing` is about models that write token after token, but {options.model} has CTC; leave it out."
        )
    path = options.model / "model" if (options.model / "model").is_dir() else options.model
    if options.language == AUTO:
        heads = heads_in(path)
        require_a_head(path, heads)
        if len(heads) < 2:
            raise ConfigError(f"{path}: knows the language '{heads[0]}' only; leave --language out.")
        recogniser = load_with_profile(options.model, None, heads[0])
        if options.profile is not None:
            put_on(recogniser, open_profile(options.profile))
        return _with_all_words(recogniser, options)
    language = find_head(options.model, options.language, _beside, profile=options.profile)
    recogniser = load_with_profile(options.model, options.profile, language)
    files = WordFiles(
        *(file_of(name, getattr(options, name), recogniser.head) for name in ("lexicon", "lm", "hotwords"))
    )
    return _with_words(recogniser, files, options)


def _beside(line: str) -> None:
    print(f"asr-transfer: {line}", file=sys.stderr)  # texts alone stand on the standard output


def _of_many_languages(options: ListenOptions) -> Recogniser:
    """Load a model that writes many languages through one head."""
    if (given := next((name for name in ("lexicon", "lm") if getattr(options, name) is not None), None)) is not None:
        raise ConfigError(
            f"`{given}` is for a search in the outputs of a model with CTC, but {options.model} writes its texts "
            "token after token; leave it out, or take another model."
        )
    if options.writing.prompt and options.hotwords is None:
        raise ConfigError("`writing.prompt` puts hot words into the prompt; give them with --hotwords.")
    words = options.hotwords
    if words is not None and words.is_dir():
        if options.language in (None, AUTO):
            raise ConfigError(
                f"{words}: is a folder of hot words by language; name one with --language, or give a file."
            )
        words = file_of("hotwords", words, str(options.language))
    hot = None if words is None else HotWords.read(words)
    recogniser = load_with_profile(options.model, options.profile)
    recogniser.writing = options.writing
    if hot is not None:
        assert isinstance(recogniser.tokens, BytePairTokens)
        recogniser.bias = TokenBias.of(hot, recogniser.tokens, options.search.hot_weight)
        recogniser.before = ", ".join(word.text for word in hot.words) if options.writing.prompt else ""
    return listening_for(recogniser, options.language)


def listening_for(recogniser: Recogniser, language: str | None) -> Recogniser:
    """Return a recogniser of many languages that listens for one, or by `auto` for whatever it hears.

    Args:
        recogniser: model that writes many languages through one head.
        language: code of the language; None for that of each utterance, where that is known.

    Raises:
        DataError: the model does not know the language.
    """
    if language is None:
        return recogniser
    if isinstance(recogniser.tokens, BytePairTokens) and not recogniser.tokens.languages:
        return _listening_for_english(recogniser, language)
    chosen = replace(recogniser, language=language)
    chosen.language_of(Utterance("", "", 0.0, "", "", ""))
    return chosen


def _listening_for_english(recogniser: Recogniser, language: str) -> Recogniser:
    """Return a recogniser of English alone, which needs no mark for it, as one that says its language."""
    if language != AUTO and same_language(re.split("[-_]", language)[0], [ENGLISH]) != ENGLISH:
        raise DataError(f"--language: the model writes English alone, not '{language}'; leave --language out.")
    return replace(recogniser, language=ENGLISH)


def hot_words_of(options: ListenOptions, recogniser: Recogniser) -> list[str]:
    """Return the hot words that were listened for; of a folder those of all languages that were.

    Words that a normalisation leaves nothing of are left out.
    """
    path = options.hotwords
    if path is None:
        return []
    files: list[Path | None] = [path]
    if path.is_dir() and options.language == AUTO:
        files = list(files_of("hotwords", path, recogniser.model.head_names()).values())
    elif path.is_dir():
        files = [file_of("hotwords", path, recogniser.speaks)]
    words = dict.fromkeys(word.text for file in files if file is not None for word in HotWords.read(file).words)
    return [word for word in words if normalise(word, recogniser.normalisation)]


class WordFiles(NamedTuple):
    """Files of one language; None for none.

    Attributes:
        lexicon: words that can be said, with their pronunciations.
        lm: language model of the sentences.
        hotwords: words or phrases to listen for.
    """

    lexicon: Path | None = None
    lm: Path | None = None
    hotwords: Path | None = None


def _with_all_words(recogniser: Recogniser, options: ListenOptions) -> Recogniser:
    """Give each head the words of its language, and say which languages have none."""
    heads = recogniser.model.head_names()
    lexica = files_of("lexicon", options.lexicon, heads)
    models = files_of("lm", options.lm, heads)
    hot = files_of("hotwords", options.hotwords, heads)
    for head in heads:
        used = options.lexicon is None or head in lexica
        own = WordFiles(lexica.get(head), models.get(head) if used else None, hot.get(head))
        found = _with_words(recogniser.for_head(head), own, options)
        # Made once for all recordings: a decoder that is not given is made again whenever its head listens.
        recogniser = replace(found, decoder=found.decode)
    recogniser = recogniser.for_head(heads[0])
    without = [head for head in heads if head not in recogniser.lexica]
    if options.lexicon is not None:
        say_without("lexicon", options.lexicon, without, "so recordings in these are spelled without words")
    if options.lm is not None:
        lacking = [head for head in heads if (options.lexicon is None or head in lexica) and head not in models]
        say_without("lm", options.lm, lacking, "so their texts are searched for without a language model")
    if options.hotwords is not None:
        say_without(
            "hotwords", options.hotwords, [head for head in heads if head not in hot], "which have no hot words"
        )
    return recogniser


def _with_words(recogniser: Recogniser, files: WordFiles, options: ListenOptions) -> Recogniser:
    """Return the recogniser of one language with its words and the search for them."""
    lexicon = None if files.lexicon is None else read_for(files.lexicon, recogniser.tokens)
    hot = None if files.hotwords is None else HotWords.read(files.hotwords)
    if lexicon is not None and not options.sentences:
        return replace(recogniser, lexicon=lexicon)
    model = None if files.lm is None else NgramModel.read(files.lm)
    if lexicon is not None:
        if hot is not None:
            lexicon = hot.boosted(lexicon, options.search.hot_weight)
        search = SentenceSearch(lexicon, recogniser.tokens, options.search, model)
        return replace(recogniser, lexicon=lexicon, decoder=SentenceDecoder(search))
    if hot is not None or model is not None:
        if hot is not None and spells_phones(recogniser.tokens.units):
            raise ConfigError(
                f"{files.hotwords}: the tokens of the model are phones, so hot words need pronunciations; "
                "give a --lexicon that holds them, with --sentences."
            )
        search_letters = PrefixSearch(recogniser.tokens, options.search, hot, model=model)
        return replace(recogniser, decoder=SpellingDecoder(search_letters))
    return recogniser


def open_session(recogniser: Recogniser, options: OnlineOptions) -> Session | None:
    """Begin a sitting in which speakers are adapted to while they are listened to, where the options ask for one.

    Raises:
        ConfigError: the model has no CTC or no bands, holds a warp already, or keeps no statistics.
        ModelError: the model was not trained with summaries of speakers, or holds one already.
    """
    if options.online_profile == "warp":
        from asr_transfer.adaptation.online_warp import WarpSession  # loads scipy, which nothing else needs to listen

        return WarpSession(recogniser)
    if options.online_profile == "film":
        from asr_transfer.adaptation.online_film import FilmSession

        return FilmSession(recogniser)
    if options.online_profile == "adabn":
        from asr_transfer.adaptation.online_statistics import StatisticsSession

        return StatisticsSession(recogniser)
    return None


def listen(
    recogniser: Recogniser, spoken: Spoken, language: str | None, session: Session | None = None
) -> tuple[list[str], list[str]]:
    """Return the language that each utterance was taken to be in, and what was heard.

    Args:
        recogniser: result of `open_recogniser`.
        spoken: speech to recognise; its texts are not read and may be empty.
        language: `auto` finds it out, with the offsets that the model keeps, else by the heads' scores as they are;
            otherwise it is the recogniser's head.
        session: sitting in which speakers are adapted to, of `open_session`.
    """
    if session is not None:
        return [recogniser.head] * len(spoken), session.listen(spoken)
    if recogniser.can_run_away:
        languages, texts = recogniser.listen_for_languages(spoken)
        return [found or recogniser.language for found in languages], texts
    if language != AUTO:
        return [recogniser.head] * len(spoken), recogniser.listen(spoken)
    heads = [found for found, _ in identify(recogniser, spoken)]
    return heads, recogniser.listen(spoken, heads)


def recordings(files: Sequence[str], language: str) -> list[Utterance]:
    """Return audio files as utterances without text.

    Raises:
        DataError: a file cannot be read.
    """
    return [Utterance(file, str(Path(file).absolute()), audio.probe(file).duration, "", "", language) for file in files]


def told_way(recogniser: Recogniser) -> str:
    """Say by which scores the recogniser's languages are told apart."""
    if recogniser.can_run_away:
        if recogniser.language == ENGLISH:
            return "the model writes English alone"
        return "languages are told apart by the model's own tokens for them"
    if recogniser.offsets:
        return "languages are told apart by the heads' calibrated scores"
    return "languages are told apart by the heads' raw scores: the model, as it is now, was not calibrated for that"


def by_found_language(recogniser: Recogniser, spoken: Spoken) -> tuple[list[Hypothesis], dict[str, Any]]:
    """Recognise utterances in the language that each seems to be in.

    Returns:
        What was heard, and how well the languages were identified: whether `calibrated`, the number of `utterances`
        that name their language, the `share` of them identified rightly as mean over languages, the same of each in
        `languages` with its number of `utterances`, and the most frequent mistakes, `confusions`. An utterance in a
        language that the model does not know is one of its mistakes.
    """
    heads, texts = listen(recogniser, spoken, AUTO)
    found = [(head, u.language) for head, u in zip(heads, spoken.utterances, strict=True) if u.language]
    return paired(recogniser, spoken, heads, texts), _identified(found, bool(recogniser.offsets))


def _identified(found: Sequence[tuple[str, str]], calibrated: bool) -> dict[str, Any]:
    """Return the record of `by_found_language` of what was found and what is true."""
    record: dict[str, Any] = {"calibrated": calibrated, "utterances": len(found)}
    if not found:
        return record
    names: Identified = [(name, {}) for name, _ in found]
    truth = [true for _, true in found]
    languages = {}
    for language in sorted(set(truth)):
        own = [one for one, true in zip(names, truth, strict=True) if true == language]
        languages[language] = {"utterances": len(own), "share": round(accuracy(own, [language] * len(own)), 4)}
    share = round(accuracy(names, truth), 4)
    return {**record, "share": share, "languages": languages, "confusions": confusions(names, truth)}


def told_identification(record: Mapping[str, Any]) -> str:
    """Return a line on how well languages were identified."""
    if not record["utterances"]:
        return "no utterance names its language, so what was identified cannot be judged"
    languages = record["languages"]
    each = ", ".join(f"{name} {100 * own['share']:.1f} % of {own['utterances']}" for name, own in languages.items())
    mistakes = told_confusions(record["confusions"])
    mean = f"mean over {len(languages)} languages" if len(languages) > 1 else "one language"
    return f"identified rightly: {100 * record['share']:.1f} % ({mean}): {each}" + (
        f"; most often mistaken: {mistakes}" if mistakes else ""
    )


@torch.no_grad()
def explained(recogniser: Recogniser, utterance: Utterance, word: str) -> str:
    """Say how well a word of the recogniser's lexicon fits a recording, and which words beat it.

    Raises:
        DataError: the file cannot be read, or the lexicon does not hold the word.
    """
    if not isinstance(recogniser.decode, WordDecoder):
        raise DataError(
            f"{utterance.id}: there is no lexicon of '{recogniser.head}', a word of which `explain` could tell about; "
            "give it with --lexicon."
        )
    features = model_input(torch.from_numpy(read_audio(utterance)), recogniser.model.inputs)[None]
    logits, _ = recogniser.logits(features, torch.tensor([features.shape[1]]))
    return str(explain(logits[0].log_softmax(-1), word, recogniser.decode.tree))
