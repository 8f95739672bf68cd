"""What is trained and heard on a GPU is what the processor makes of it; skipped, saying so, where there is no GPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.choice import adapt_by_choice
from asr_transfer.adaptation.settings import ChoiceConfig
from asr_transfer.cli import main
from asr_transfer.commands.listen import open_recogniser
from asr_transfer.config import EncoderName
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import WritingConfig
from asr_transfer.training.trainer import Trainer
from tests.adapting import adapt as adapt_command
from tests.adapting import equal, recordings, run, weights
from tests.commands.test_listen_words import HEADS, SEARCHES, options
from tests.models.pretrained.test_family_battery import CONFIG, OPENED
from tests.models.pretrained.whole_whisper import write_whisper
from tests.small import settings, small_model, snapshot, speech_task
from tests.spaces import give_space
from tests.tones import TINY, WORDS, make_speaker, two_speakers

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU can be used here")

ON_GPU = replace(CONFIG, device="cuda")
METHODS = ("full", "lora", "lhuc", "first-layers+kld", "full+replay", "l2sp")


@pytest.fixture(autouse=True)
def in_full_precision() -> Iterator[None]:
    """Let GPUs compute convolutions and products in float32, as processors do."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("encoder", ["bilstm", "tdnn", "conformer"])
def test_training_takes_the_steps_of_the_processor(encoder: EncoderName) -> None:
    after = []
    for device in ("cpu", "cuda"):
        model = small_model(seed=4, encoder=encoder, dropout=0.0)
        Trainer(model, [speech_task()], config=settings(device=device)).train()
        after.append(snapshot(model.cpu()))
    for name, value in after[0].items():
        torch.testing.assert_close(after[1][name], value, rtol=1e-3, atol=1e-4, msg=lambda told, name=name: name + told)


@pytest.mark.parametrize("family", OPENED)
def test_models_of_each_family_are_adapted_and_heard(family: str, tmp_path: Path) -> None:
    source = OPENED[family](tmp_path / family)
    give_space(source.model)
    speech = two_speakers(tmp_path / "speech", source.model.inputs, count=2)
    own, more = (Spoken(some, speech.store) for some in (speech.own, speech.more[:2]))
    source.model.to("cuda")
    for method in (*METHODS, *(("eigen-profile", "ewc", "suta", "pseudo-label") if family != "whisper" else ())):
        adapted = adapt(source, own, method, ON_GPU, source_speech=more).recogniser
        assert {parameter.device.type for parameter in adapted.model.parameters()} == {"cuda"}, method
        there = adapted.listen(own)
        adapted.model.to("cpu")
        assert there == adapted.listen(own), method


@pytest.mark.parametrize("writing", [WritingConfig(), WritingConfig(beam=3), WritingConfig(guard=False)])
def test_a_whole_whisper_writes_the_same_and_chooses(writing: WritingConfig, tmp_path: Path) -> None:
    write_whisper(tmp_path / "whisper", 1)
    source = replace(Recogniser.load(tmp_path / "whisper"), writing=writing)
    utterances = make_speaker(tmp_path, "ann", 1.1, 6, 1)
    spoken = Spoken(utterances, build_store(utterances, source.model.inputs, cache=tmp_path / "store"))
    here = source.listen(spoken)
    source.model.to("cuda")
    assert source.listen(spoken) == here
    own, more = spoken.subset([0, 1, 2]), spoken.subset([3, 4, 5])
    adapted, choice = adapt_by_choice(source, own, replace(ON_GPU, settings=CONFIG.settings), ChoiceConfig(), more)
    assert choice.ladder and adapted.recogniser.listen(own)


@pytest.mark.parametrize("search", SEARCHES)
def test_searches_find_the_same_words(search: str, tongues: Path, tone_corpus: dict[str, Path], tmp_path: Path) -> None:
    lm = tmp_path / "lm.en.arpa"
    assert main(["lm", "make", "--texts", str(tone_corpus["train"]), "--order", "2", "--out", str(lm)]) == 0
    for head in HEADS:
        phones = {word: "\t" + " ".join(word) if head == "lp" else "" for word in WORDS}
        (tmp_path / f"lexicon.{head}.txt").write_text("".join(f"{w}{p}\n" for w, p in phones.items()), encoding="utf-8")
        (tmp_path / f"hotwords.{head}.txt").write_text("cab\n", encoding="utf-8")
        (tmp_path / f"lm.{head}.arpa").write_text(lm.read_text("utf-8"), encoding="utf-8")
        if (head, search) == ("lp", "hotwords"):
            continue
        files = [Path(utterance.audio) for utterance in read_manifest(tone_corpus["test"])[:6]]
        heard = [
            open_recogniser(replace(options(tongues, head, search, tmp_path), device=device)).transcribe(files)
            for device in ("cpu", "cuda")
        ]
        assert heard[0] == heard[1], head


@pytest.mark.parametrize(
    ("made", "method"),
    [
        (("--speaker_adaptive.kind", "film", "--speaker_adaptive.code", "3"), "film"),
        (("--speaker_adaptive.kind", "lhuc"), "lhuc"),
        (("--speaker_adaptive.kind", "speaker-code", "--speaker_adaptive.code", "3"), "speaker-code"),
        (("--warp_normalised", "true"), "warp+lhuc"),
        (("--meta.way", "reptile", "--meta.steps", "2"), "lora"),
    ],
)
def test_sources_of_each_kind_are_made_adapted_and_carried_away(
    made: tuple[str, ...], method: str, tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    source = ["train", "--train", str(tone_corpus["train"]), "--out", str(tmp_path / "source"), *TINY]
    assert (
        main([*source, "--trainer.steps", "6", "--trainer.validate_every", "0", "--trainer.device", "cuda", *made]) == 0
    )
    kim = recordings(tmp_path / "said", "kim", 1.17, 4, 7)
    quick = ("--steps", 3, "--device", "cuda", "--keep_suspicious")
    ran = adapt_command(tmp_path / "source", kim, tmp_path / "kim", "--method", method, *quick)
    assert equal(weights(tmp_path / "source", ran.out / "profile"), weights(ran.out)), "on the processor"
    online = () if method == "warp+lhuc" else ("--online_profile", "film" if method == "film" else "warp")
    heard = ("transcribe", "--model", tmp_path / "source", "--device", "cuda", *online)
    assert run(*heard, *sorted(kim.glob("*.wav"))) == 0


def test_auto_chooses_there_as_here(tone_run: Path, tone_corpus: dict[str, Path], feature_cache: Path) -> None:
    source = Recogniser.load(tone_run)
    utterances = [u for u in read_manifest(tone_corpus["test"]) if u.speaker == "ida"][:8]
    spoken = Spoken(utterances, build_store(utterances, source.model.inputs))
    chosen = []
    for device in ("cpu", "cuda"):
        model = replace(copy.deepcopy(source))
        model.model.to(device)
        config = replace(CONFIG, steps=6, device=device, learning_rate=None)
        _, choice = adapt_by_choice(model, spoken, config, ChoiceConfig(folds=2, without_source=("full", "lhuc")))
        chosen.append([(rung.method, rung.learning_rate, rung.units) for rung in choice.ladder])
    assert chosen[0] == chosen[1]
