"""What a model knew of words and languages is there after it learnt another language, a new column beside it too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.commands.listen import open_recogniser
from asr_transfer.commands.options import ListenOptions
from asr_transfer.config import SpecAugmentConfig, TrainerConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.identify import identify
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.languages.config import LanguageConfig, Mode
from asr_transfer.languages.transfer import learn_language


@pytest.mark.parametrize(
    ("mode", "language"), [("head", "xx"), ("all", "lc"), ("progressive", "xx"), ("scratch", "xx")]
)
def test_lexica_of_other_languages_stay(
    mode: Mode, language: str, tongues: Path, tone_corpus: dict[str, Path], tmp_path: Path
) -> None:
    """From scratch nothing stays; the language that is learnt loses its lexicon, for its texts may hold new words."""
    source = Recogniser.load(tongues, "en")
    lexica = {head: Lexicon.from_pairs([("face", "f a c e")]) for head in ("lc", "ls")}
    source = replace(source, other_lexica=lexica)
    said = [replace(u, language=language) for u in read_manifest(tone_corpus["train"])[:6]]
    trainer = TrainerConfig(steps=1, validate_every=0, device="cpu")
    masks = SpecAugmentConfig(0, 0, 0, 0)
    network = source.model.network if mode == "scratch" else None
    config = LanguageConfig(mode, "characters", trainer, masks, (1.0,), network)
    spoken = Spoken(said, build_store(said, source.model.inputs))
    learnt = learn_language(None if mode == "scratch" else source, spoken, Spoken([], spoken.store), config).recogniser
    kept = set() if mode == "scratch" else {"lc", "ls"} - {language}
    assert set(learnt.lexica) == kept and set(source.lexica) == {"lc", "ls"}
    if mode == "progressive":
        learnt.save(tmp_path / "model", "# A card\n", {})
        found = open_recogniser(ListenOptions(model=tmp_path / "model", language="auto"))
        assert set(found.lexica) == kept
        assert set(identify(found, spoken)[0][1]) == {"en", "lc", "lw", "lp", "ls", "xx"}
