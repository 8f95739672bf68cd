"""Each multilingual recipe, on languages of tones, comes to the figures that are expected of it."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.experiments.languages.options import LanguageRun
from data_prep.multilingual import Corpora
from tests.real_runs import ROOT
from tests.recipe_figures import check, of_data, run_recipe
from tests.tones import make_speaker

SIZES = {"train": 30, "dev": 6, "test": 8}
SHIFTS = {"asterisk-en": ("en", 1.0), "fillets-nl": ("nl", 1.15), "hsk": ("cmn", 1.07), "aishell": ("cmn", 1.1),
          "gcin": ("cmn", 1.04)}  # fmt: skip

NETWORK = """--source.model.encoder tdnn --source.model.layers 2 --source.model.dim 32 --source.model.channels 32
--source.model.features.mels 20 --source.augment.frequency_width 4 --source.augment.time_width 4 --source.speeds [1.0]
--learn.speeds [1.0] --learn.augment null --workers 1"""


def trainers(source: int, learn: int) -> list[str]:
    """Return options of trainings of so many steps."""
    shared = ("batch_budget=1500", "learning_rate=0.01", "device=cpu", "validate_every=0", "patience=0")
    steps = {"source": source, "learn": learn}
    return [f"--{part}.trainer.{own}" for part, number in steps.items() for own in (f"steps={number}", *shared)]


def spoken(utterances: list[Utterance], language: str) -> list[Utterance]:
    """Return utterances of a language; in Mandarin every letter is a syllable with a tone."""
    if language != "cmn":
        return [replace(u, language=language) for u in utterances]
    said = [" ".join(f"{letter}1" for letter in u.text if letter != " ") for u in utterances]
    return [replace(u, language="cmn", pronunciation=own) for u, own in zip(utterances, said, strict=True)]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder of manifests of each corpus, of one speaker each; `hsk` has syllables, too."""
    folder = tmp_path_factory.mktemp("corpora")
    for seed, (name, (language, shift)) in enumerate(SHIFTS.items()):
        made = spoken(make_speaker(folder / "wav", name, shift, sum(SIZES.values()), 100 * seed), language)
        for split, size in SIZES.items():
            write_manifest(folder / name / f"{split}.jsonl", made[:size])
            made = made[size:]
    alone = spoken(make_speaker(folder / "wav", "eve", 1.13, 8, 900), "cmn")
    write_manifest(folder / "hsk" / "syllables.jsonl", alone)
    return {name: folder / name for name in SHIFTS}


def options(name: str, steps: tuple[int, int], more: str) -> list[str]:
    """Return a recipe's own settings, then those that make it small."""
    config = ROOT / "recipes" / "multilingual" / "hparams" / f"{name}.yaml"
    return ["--config", str(config), *shlex.split(f"{NETWORK} {more}"), *trainers(*steps)]


def from_and_to(corpora: dict[str, Path]) -> list[str]:
    """Return the options that name two sources and two targets."""
    return [f"--sources=[{corpora['asterisk-en']},{corpora['fillets-nl']}]",
            f"--targets=[{corpora['hsk']},{corpora['aishell']}]"]  # fmt: skip


def points(folder: Path, unit: str = "wer") -> tuple[dict[str, Any], dict[str, float]]:
    """Return the steps of all sources and points of a run, and the error rate of each point on each test set."""
    steps, rates = {}, {}
    for path in sorted(folder.glob("*/*/run.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        name = f"{path.parent.parent.name}/{path.parent.name}"
        steps[name] = record["config"]["trainer"]["steps"]
        if path.parent.parent.name == "points":
            rates.update(
                {f"{path.parent.name} {test}": own[unit] for test, own in record["scores"].items() if test != "test"}
            )
    return steps, rates


@pytest.mark.parametrize(
    ("name", "more"),
    [
        (
            "curve",
            "--amounts [0.1,0.3] --amounts_of {} --seeds_of {} --seeds [0] --extra_seeds [] "
            "--systems [scratch,scratch-long,transfer]",
        ),
        ("negative_transfer", "--languages [] --minutes 0.3 --designs [leave-out]"),
    ],
)
def test_what_is_learnt_from_two_languages(
    name: str, more: str, corpora: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    arguments = [*options(name, (100, 60), more), *from_and_to(corpora)]
    record = run_recipe(f"multilingual/{name}", *arguments, tmp_path / "out")
    steps, rates = points(tmp_path / "out")
    check(name, {"data": of_data(record), "steps": steps}, rates)


def test_what_every_language_is_worth_to_every_other(
    corpora: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    more = "--minutes 0.15 --source_minutes 0.4 --languages [en,nl] --seeds [0] --source.units_of {}"
    named = f"--corpora=[{corpora['asterisk-en']},{corpora['fillets-nl']}]"
    arguments = [*options("transfer_table", (100, 60), more), "--learn.units=characters", named]
    record = run_recipe("multilingual/transfer_table", *arguments, tmp_path / "out")
    steps, rates = points(tmp_path / "out", "cer")
    check("transfer_table", {"data": of_data(record), "steps": steps}, rates)


def test_what_helps_with_a_speaker_never_heard_and_languages_are_told_apart(
    corpora: dict[str, Path], feature_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe takes corpora by name alone, of which some cannot be fetched: what is prepared is put in its way."""
    own = dict(corpora)
    sources = {name: own.pop(name) for name in ("asterisk-en", "fillets-nl")}
    found = Corpora(sources, own)
    monkeypatch.setattr(f"{LanguageRun.__module__}.prepare_languages", lambda *arguments, **more: found)
    out = tmp_path / "out"
    more = "--rows [plain,speakers] --seeds [0]"
    record = run_recipe("multilingual/new_speaker", *options("new_speaker", (100, 60), more), out)
    steps, rates = points(out)
    check("new_speaker", {"data": of_data(record), "steps": steps}, rates)

    named = f"--sources=[{','.join(map(str, sources.values()))}]"
    given = ("--source_model", out / "sources" / "all-0", named, "--workers", 1)
    told = run_recipe("multilingual/identification", *given, tmp_path / "told")
    shares = told["scores"]["identification"]
    exact = {"data": of_data(told), "utterances": shares["utterances"], "languages": sorted(shares["languages"])}
    check("identification", exact, {"wrong once calibrated": 1 - shares["calibrated_share"]})
