"""Makes a small corpus of several languages, spoken by espeak-ng voices: what a language is learnt from without any.

The texts are words of everyday life, one to four in a row, drawn at random. Layout below `out`, a folder per language:

    LANGUAGE/wav/<voice>/<voice>-<number>.flac    16 kHz, mono, 16 bit, with a little noise
    LANGUAGE/train.jsonl                          voices to train on
    LANGUAGE/dev.jsonl                            other sentences of the same voices
    LANGUAGE/test.jsonl                           further sentences of the same voices
    LANGUAGE/new.jsonl                            a child's voice, whose formants lie far above theirs: to adapt to
    made_up.json                                  the settings; written last, so it marks a corpus that is complete

In `test` and `new` a third of the recordings are single words, half of which stand in no other split.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.data.synthesis import random_voice, synthesise
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.plain import to_json, to_plain
from asr_transfer.ranges import Count, Filled, Ranged, Seed
from asr_transfer.textfiles import read_text, write_text

SPLITS = ("train", "dev", "test", "new")
_STAMP = "made_up.json"
_GENERATOR = 1  # raise it when the same settings begin to give other texts or other audio

WORDS: dict[str, str] = {
    "en": """one two three four five six seven eight nine ten house street window door table chair water bread milk
        cheese apple butter morning evening night today tomorrow mother father sister brother friend child school
        garden flower tree bird dog horse summer winter spring rain snow wind sun moon star red green blue yellow black
        white open close give take bring come walk sleep write read old young small large warm cold quick slow""",
    "de": """eins zwei drei vier fünf sechs sieben acht neun zehn haus straße fenster tür tisch stuhl wasser brot milch
        käse apfel butter morgen abend nacht heute gestern mutter vater schwester bruder freund kind schule garten
        blume baum vogel hund pferd sommer winter frühling regen schnee wind sonne mond stern rot grün blau gelb
        schwarz weiß öffnen schließen geben nehmen bringen kommen gehen schlafen schreiben lesen alt jung klein groß
        warm kalt schnell langsam""",
    "es": """uno dos tres cuatro cinco seis siete ocho nueve diez casa calle ventana puerta mesa silla agua pan leche
        queso manzana aceite mañana tarde noche hoy ayer madre padre hermana hermano amigo niño escuela jardín flor
        árbol pájaro perro caballo verano invierno otoño lluvia nieve viento sol luna estrella rojo verde azul amarillo
        negro blanco abrir cerrar dar tomar traer venir andar dormir escribir leer viejo joven pequeño grande caliente
        frío rápido lento""",
    "it": """uno due tre quattro cinque sei sette otto nove dieci casa strada finestra porta tavolo sedia acqua pane
        latte formaggio mela burro mattina sera notte oggi ieri madre padre sorella fratello amico bambino scuola
        giardino fiore albero uccello cane cavallo estate inverno autunno pioggia neve vento sole luna stella rosso
        verde blu giallo nero bianco aprire chiudere dare prendere portare venire andare dormire scrivere leggere
        vecchio giovane piccolo grande caldo freddo veloce lento""",
    "fr": """un deux trois quatre cinq six sept huit neuf dix maison rue fenêtre porte table chaise eau pain lait
        fromage pomme beurre matin soir nuit hier demain mère père sœur frère ami enfant école jardin fleur arbre
        oiseau chien cheval été hiver automne pluie neige vent soleil lune étoile rouge vert bleu jaune noir blanc
        ouvrir fermer donner prendre porter venir marcher dormir écrire lire vieux jeune petit grand chaud froid rapide
        lent""",
    "nl": """een twee drie vier vijf zes zeven acht negen tien elf twaalf huis straat venster deur tafel stoel water
        brood melk kaas appel boter ochtend middag avond nacht vandaag gisteren morgen moeder vader zuster broer vriend
        kind school tuin bloem boom vogel hond paard koe schaap zomer winter lente herfst regen sneeuw wind zon maan
        ster rood groen blauw geel zwart wit bruin grijs openen sluiten geven nemen brengen komen lopen slapen
        schrijven lezen oud jong klein groot warm koud snel langzaam fiets trein schip haven brug rivier berg bos zee
        strand stad dorp kerk toren markt winkel keuken kamer dak muur vloer trap sleutel lamp boek krant brief pen
        papier doos fles glas bord mes vork lepel jas schoen hoed broek hemd hand voet hoofd oog oor neus mond haar
        geluid muziek lied dans feest vraag antwoord verhaal spel week maand jaar uur""",
    "sv": """ett två tre fyra fem sex sju åtta nio tio hus gata fönster dörr bord stol vatten bröd mjölk ost äpple smör
        morgon kväll natt idag igår mor far syster bror vän barn skola trädgård blomma träd fågel hund häst sommar
        vinter vår regn snö vind sol måne stjärna röd grön blå gul svart vit öppna stänga ge ta bära komma gå sova
        skriva läsa gammal ung liten stor varm kall snabb långsam cykel tåg skepp hamn bro flod berg skog hav strand
        stad by kyrka torn torg affär kök rum tak vägg golv trappa nyckel lampa bok tidning brev penna papper""",
}
"""Words by language; the languages to be learnt have more of them."""


@dataclass(frozen=True)
class MadeUpLanguages(Ranged, section="made_up"):
    """How much is spoken in which languages.

    Attributes:
        languages: ISO 639 codes of languages that there are words of.
        voices: number of voices of each language.
        sentences: number of sentences that each voice says in `train`.
        held_out: number of recordings of each language in `dev`, and in `test`.
        new: number of recordings of the new speaker of each language.
        seed: random seed of voices and sentences.
    """

    languages: Annotated[tuple[str, ...], Filled(distinct=True)] = ("en", "de", "es", "it", "fr", "nl")
    voices: Count = 6
    sentences: Count = 40
    held_out: Count = 30
    new: Count = 90
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for language in self.languages:
            if language not in WORDS:
                raise ConfigError(f"`made_up.languages` names '{language}'.{nearest_hint(language, WORDS)}")

    def shortened(self, kept: str) -> MadeUpLanguages:
        """Return a small corpus with three languages, that of `kept` among them."""
        languages = (*[code for code in self.languages if code != kept][:2], kept)
        return replace(self, languages=languages, voices=2, held_out=20, new=50)


def prepare_made_up_languages(config: MadeUpLanguages, out: Path, workers: int = 1) -> dict[str, Path]:
    """Make the corpus in `out`, or find that it is already there, and return the folder of each language.

    Args:
        config: languages and voices.
        out: folder to make.
        workers: voices that speak at the same time.

    Raises:
        ConfigError: espeak-ng is not installed.
        DataError: the folder holds a corpus of other settings.
    """
    settings = to_json({"generator": _GENERATOR, **to_plain(config)}, indent=2) + "\n"
    folders = {language: out / language for language in config.languages}
    stamp = out / _STAMP
    if stamp.is_file():
        if read_text(stamp) != settings:
            raise DataError(f"{out}: holds languages of other settings or of an older version; remove the folder.")
        return folders
    jobs = [job for language in config.languages for job in _jobs(config, language)]
    with ThreadPoolExecutor(workers) as pool:
        spoken = list(pool.map(lambda job: _speak(job, config.seed, folders[job.language] / "wav"), jobs))
    for language, folder in folders.items():
        found: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
        for job, own in zip(jobs, spoken, strict=True):
            if job.language == language:
                for utterance, split in zip(own, job.splits, strict=True):
                    found[split].append(utterance)
        for split, own in found.items():
            write_manifest(folder / f"{split}.jsonl", own)
    write_text(stamp, settings)
    return folders


@dataclass(frozen=True)
class _Job:
    """A voice with its texts, and the split of each."""

    language: str
    voice: str
    texts: tuple[str, ...]
    splits: tuple[str, ...]


def _jobs(config: MadeUpLanguages, language: str) -> list[_Job]:
    draw = np.random.default_rng([config.seed, zlib.crc32(language.encode())])
    words = WORDS[language].split()
    # Half of the single words of `test` and `new` are words of no other split.
    kept = {word for word in words if zlib.crc32(word.encode()) % 6 == 0}
    known = [word for word in words if word not in kept]
    used: set[str] = set()
    train = [_sentence(draw, known, used) for _ in range(config.voices * config.sentences)]
    dev = [_sentence(draw, known, used) for _ in range(config.held_out)]
    test = _mixed(draw, known, sorted(kept), used, config.held_out)
    new = _mixed(draw, known, sorted(kept), set(used), config.new)
    texts = [[*train[n :: config.voices]] for n in range(config.voices)]
    splits = [["train"] * len(own) for own in texts]
    for split, more in (("dev", dev), ("test", test)):
        for n, text in enumerate(more):
            texts[n % config.voices].append(text)
            splits[n % config.voices].append(split)
    jobs = [
        _Job(language, f"{language}-{n:02d}", tuple(own), tuple(parts))
        for n, (own, parts) in enumerate(zip(texts, splits, strict=True))
    ]
    return [*jobs, _Job(language, f"{language}-new", tuple(new), ("new",) * len(new))]


def _mixed(
    draw: np.random.Generator, known: Sequence[str], kept: Sequence[str], used: set[str], count: int
) -> list[str]:
    """Return sentences and single words, of which half are words that no sentence holds."""
    singles = [*_some(draw, kept, count // 6), *_some(draw, known, count // 6)]
    texts = [*singles, *(_sentence(draw, known, used) for _ in range(count - len(singles)))]
    draw.shuffle(texts)
    return texts


def _some(draw: np.random.Generator, words: Sequence[str], count: int) -> list[str]:
    return [words[n] for n in draw.permutation(len(words))[:count]]


def _sentence(draw: np.random.Generator, words: Sequence[str], used: set[str]) -> str:
    """Return two to four words that were not said in this order before."""
    while True:
        text = " ".join(words[n] for n in draw.integers(len(words), size=int(draw.integers(2, 5))))
        if text not in used:
            used.add(text)
            return text


def _speak(job: _Job, seed: int, folder: Path) -> list[Utterance]:
    draw = np.random.default_rng([seed, zlib.crc32(job.voice.encode())])
    kind = "child" if job.voice.endswith("-new") else "ordinary"
    voice = random_voice(int(draw.integers(2**31)), kind, job.language)
    (folder / job.voice).mkdir(parents=True, exist_ok=True)
    utterances = []
    for n, (text, speech) in enumerate(zip(job.texts, synthesise(list(job.texts), voice), strict=True)):
        file = folder / job.voice / f"{job.voice}-{n:03d}.flac"
        noise: Any = draw.standard_normal(len(speech.samples)) * 10 ** (draw.uniform(-50, -35) / 20)
        samples = np.clip(0.8 * speech.samples + noise, -1, 1).astype(np.float32)
        soundfile.write(str(file), samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        utterances.append(Utterance(f"{job.voice}-{n:03d}", str(file), speech.duration, text, job.voice, job.language))
    return utterances
