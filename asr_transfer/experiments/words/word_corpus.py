"""Assembles what an experiment on unseen words needs: utterances with pronunciations in one notation, and a lexicon.

Short utterances of the test corpus are the words to find, whole as they are said: "agent" as well as "hold time". What
is longer is a sentence. The lexicon is the corpus's own, or holds every short utterance and every word of the corpora.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from asr_transfer.data.g2p import Source, pronounce
from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.data.notations import Scheme
from asr_transfer.data.pronounce import pronounce_utterances
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.words.isolated_words import spelling
from asr_transfer.experiments.words.unseen import Words
from asr_transfer.ranges import Count, CountOrNone, Ranged
from asr_transfer.runs.record import RunRecord

Say = Callable[[str], None]

MANIFESTS = ("train", "judging", "dev", "test", "sentences", "pieces")
LEXICON, BY_RULE = "lexicon.txt", "by_rule.txt"


@dataclass(frozen=True)
class MaterialConfig(Ranged, section="material"):
    """How an experiment's utterances and lexicon are made.

    Attributes:
        scheme: notation of pronunciations that are looked up or guessed; None where manifests and lexicon have all.
        manifest_phones: whether to take the manifests' pronunciations where they have some; otherwise all are made
            anew, for corpora with a notation of their own.
        spoken: pronunciations of single words that go before every dictionary, phones between spaces.
        phrase_words: greatest number of words of a test utterance that is an entry of the lexicon; longer ones are
            sentences.
        hold_out: words that are kept from training: no utterance that holds one is trained on.
        cut: whether test words are cut out of the test sentences, and out of what is held out, by forced alignment.
        pieces: random runs of a few phones cut out of each training utterance and trained on as well, so that a network
            hears less than words.
    """

    scheme: Scheme | None = None
    manifest_phones: bool = True
    spoken: Mapping[str, str] = field(default_factory=dict)
    phrase_words: Count = 3
    hold_out: tuple[str, ...] = ()
    cut: bool = False
    pieces: CountOrNone = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spoken and self.scheme is None:
            raise ConfigError("`material.spoken` gives pronunciations; say in which notation with `material.scheme`.")
        if not self.manifest_phones and self.scheme is None:
            raise ConfigError(
                "`material.manifest_phones` false has all pronunciations made anew; say in which notation with "
                "`material.scheme`."
            )


@dataclass(frozen=True)
class SpokenWords:
    """Utterances as manifests have them.

    Attributes:
        train: trained on, of one language or several.
        judging: speech that the best weights are chosen on; may be empty.
        dev, test: splits of the test corpus, of one language.
        own: training utterances of the test corpus, be they trained on or not: held-out words are cut out of them.
        beside: texts whose words join the lexicon; their recordings are not used.
        lexicon: lexicon of the test corpus, where it has one.
    """

    train: Sequence[Utterance]
    judging: Sequence[Utterance]
    dev: Sequence[Utterance]
    test: Sequence[Utterance]
    own: Sequence[Utterance] = ()
    beside: Sequence[Utterance] = ()
    lexicon: Lexicon | None = None


def assemble(spoken: SpokenWords, config: MaterialConfig, say: Say) -> Words:
    """Give all utterances pronunciations, sort short ones from sentences, and make the lexicon.

    With `config.hold_out`, training and judging utterances of the test language that hold such a word are left out; a
    test word is one of them, or any other: the table tells them apart.

    Raises:
        DataError: nothing is left to test or to train on, or the test utterances are in several languages.
        ConfigError: the notation is needed and not given, or does not go with the language.
    """
    if not spoken.test:
        raise DataError("there are no test words; check the manifest.")
    language = spoken.test[0].language
    if other := next((u for u in spoken.test if u.language != language), None):
        raise DataError(
            f"test utterance '{other.id}' is in '{other.language}' but the first is in '{language}'; test one language."
        )
    train, judging = (kept(part, config.hold_out, language) for part in (spoken.train, spoken.judging))
    if config.hold_out:
        say(f"{len(spoken.train) - len(train)} training utterances hold a word that is held out, and are left out")
    train, judging, dev, test = (
        pronounced(part, config, language, say) for part in (train, judging, spoken.dev, spoken.test)
    )
    if not train:
        raise DataError("nothing is left to train on; hold fewer words out, or check the manifest.")
    short = [u for u in test if _length(u) <= config.phrase_words]
    sentences = [u for u in test if _length(u) > config.phrase_words]
    lexicon = spoken.lexicon
    if lexicon is None:
        said = [*spoken.own, *spoken.train, *spoken.judging, *spoken.beside]
        own = [u for u in said if u.language == language]
        lexicon = make_lexicon([*spoken.test, *spoken.dev, *own], [*dev, *test], config, language, say)
    listed = set(lexicon.words)
    words = [u for u in short if spelling(u) in listed]
    if not words and not config.cut:
        raise DataError(
            f"no test utterance has at most {config.phrase_words} words (`material.phrase_words`) and stands in the "
            "lexicon; raise it, or cut words out with `material.cut`."
        )
    if len(words) < len(short):
        say(f"{len(short) - len(words)} short test utterances are not in the lexicon and left out")
    checks = [u for u in dev if _length(u) <= config.phrase_words and spelling(u) in listed]
    found = Words(train, checks, words, lexicon, sentences, None, judging)
    return replace(found, by_rule=rule_lexicon(found, config, language))


def kept(utterances: Sequence[Utterance], hold_out: Iterable[str], language: str) -> list[Utterance]:
    """Return the utterances that hold none of these words; other languages' are kept."""
    unwanted = frozenset(hold_out)
    return [u for u in utterances if u.language != language or unwanted.isdisjoint(spelling(u).split())]


def pronounced(utterances: Sequence[Utterance], config: MaterialConfig, language: str, say: Say) -> list[Utterance]:
    """Give utterances the pronunciations that they lack; those that nobody can pronounce are left out, which is said.

    Args:
        utterances: speech of any languages.
        config: notation; `config.spoken` is for the words of `language`.
        language: language of the test words.
        say: function that takes lines for a person to read.

    Raises:
        DataError: an utterance has none and `config.scheme` does not say in which notation to make one.
    """
    if not config.manifest_phones:
        utterances = [replace(u, pronunciation=None, phones=None) for u in utterances]
    lacking = next((u for u in utterances if u.pronunciation is None), None)
    if lacking is None:
        return list(utterances)
    if config.scheme is None:
        raise DataError(
            f"utterance '{lacking.id}': has no `pronunciation`; say with `material.scheme` in which notation one is to "
            "be looked up or guessed."
        )
    spoken = [u for u in utterances if u.language == language]
    found: dict[str, Utterance] = {}
    for part, user in ((spoken, _user_lexicon(config)), ([u for u in utterances if u.language != language], None)):
        own, report = pronounce_utterances(part, None, config.scheme, user)
        found.update({u.id: u for u in own})
        if report.dropped:
            name, reason = report.dropped[0]
            say(f"{len(report.dropped)} utterances have no pronunciation and are left out, such as '{name}': {reason}")
    return [found[u.id] for u in utterances if u.id in found]


def make_lexicon(
    texts: Sequence[Utterance], said: Sequence[Utterance], config: MaterialConfig, language: str, say: Say
) -> Lexicon:
    """Return a lexicon of every short text and every single word of texts of one language.

    Args:
        texts: utterances whose texts it is made of; those first whose entries come first.
        said: utterances with pronunciations, which are taken where there is no notation to make others in.
        config: notation, and how many words are short.
        language: language of all texts.
        say: function that takes a line about words that nobody can pronounce, which are left out.

    Raises:
        DataError: no text is left.
    """
    if config.scheme is None:
        return Lexicon.from_utterances(u for u in said if _length(u) <= config.phrase_words)
    wanted: dict[str, None] = {}
    for text in map(spelling, texts):
        parts = text.split()
        wanted.update(dict.fromkeys([text] if len(parts) <= config.phrase_words else []))
    for text in map(spelling, texts):
        wanted.update(dict.fromkeys(text.split()))
    entries, unsaid = _entries(wanted, language, "auto", config)
    if unsaid:
        say(f"{len(unsaid)} words cannot be pronounced and are not in the lexicon, such as {unsaid[0]!r}")
    return Lexicon(entries, "the lexicon of the texts")


def rule_lexicon(words: Words, config: MaterialConfig, language: str) -> Lexicon | None:
    """Return the lexicon with each test word's pronunciations made by rule, as for words that no dictionary has.

    None where all of them were made so already, where nothing says in which notation, or where rules write another
    (Mandarin's pinyin).
    """
    test = {spelling(u) for u in words.test}
    known = any(entry.word in test and not entry.guessed for entry in words.lexicon)
    if not known or config.scheme in (None, "pinyin"):
        return None
    entries, unsaid = _entries(test, language, "espeak", replace(config, spoken={}))
    rules: dict[str, list[Entry]] = {}
    for entry in entries:
        rules.setdefault(entry.word, []).append(entry)
    mixed: dict[tuple[str, tuple[str, ...]], Entry] = {}
    for entry in words.lexicon:
        own = rules.get(entry.word, [entry]) if entry.word not in unsaid else [entry]
        mixed.update({(one.word, one.phones): replace(one, line=None) for one in own})
    return Lexicon(mixed.values(), f"{words.lexicon.source}, test words by rule")


def save_words(words: Words, folder: Path) -> None:
    """Write manifests and lexica that `load_words` reads; other processes and other runs use them."""
    for name in MANIFESTS:
        part = getattr(words, name)
        if part:
            write_manifest(folder / f"{name}.jsonl", part)
        else:
            (folder / f"{name}.jsonl").unlink(missing_ok=True)
    words.lexicon.save(folder / LEXICON)
    if words.by_rule is not None:
        words.by_rule.save(folder / BY_RULE)


def note_words(record: RunRecord, words: Words, parts: Sequence[str]) -> None:
    """Note those of the experiment's manifests that are not empty in its record.

    Raises:
        ConfigError: the run began with others.
    """
    for name in parts:
        if utterances := getattr(words, name):
            record.data(name, record.given / "data" / f"{name}.jsonl", utterances)


def note_lexica(record: RunRecord, words: Words) -> None:
    """Note the experiment's lexica in its record.

    Raises:
        ConfigError: the run began with others.
    """
    for name, lexicon in ((LEXICON, words.lexicon), (BY_RULE, words.by_rule)):
        entries = [f"{entry.word}\t{' '.join(entry.phones)}\t{entry.weight:g}" for entry in lexicon or ()]
        record.texts(Path(name).stem, record.given / "data" / name, entries)


def load_words(folder: Path) -> Words:
    """Read what `save_words` wrote.

    Raises:
        DataError: something is missing.
    """
    parts = {
        name: read_manifest(folder / f"{name}.jsonl") if (folder / f"{name}.jsonl").is_file() else []
        for name in MANIFESTS
    }
    rule = Lexicon.read(folder / BY_RULE) if (folder / BY_RULE).is_file() else None
    return Words(lexicon=Lexicon.read(folder / LEXICON), by_rule=rule, **parts)


def _entries(
    words: Iterable[str], language: str, source: Source, config: MaterialConfig
) -> tuple[list[Entry], list[str]]:
    """Return the pronunciations of words, and the words that have none."""
    assert config.scheme is not None
    user = _user_lexicon(config)
    found: dict[tuple[str, tuple[str, ...]], Entry] = {}
    unsaid = []
    for word in words:
        try:
            if config.spoken.keys() & set(word.split()):  # a phrase is looked up as a whole, or not at all
                parts = [
                    pronounce([part], language, source, scheme=config.scheme, lexicon=user) for part in word.split()
                ]
                phones = tuple(phone for first, *_ in parts for phone in first.phones)
                own = [Entry(word, phones, guessed=any(first.guessed for first, *_ in parts))]
            else:
                own = pronounce([word], language, source, scheme=config.scheme)
        except DataError:
            unsaid.append(word)
        else:
            found.update({(entry.word, entry.phones): entry for entry in own})
    return list(found.values()), unsaid


def _user_lexicon(config: MaterialConfig) -> Lexicon | None:
    return Lexicon.from_pairs(config.spoken.items(), "`material.spoken`") if config.spoken else None


def _length(utterance: Utterance) -> int:
    return len(spelling(utterance).split())
