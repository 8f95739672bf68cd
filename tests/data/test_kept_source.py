"""A source summary: what a model keeps of its training speech is its features, drawn by a seed, or one sentence."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.cli import main
from asr_transfer.config import FeatureConfig, ModelConfig, SpecAugmentConfig
from asr_transfer.data.batching import sequential
from asr_transfer.data.features import FeatureStore, JoinedStore, build_store
from asr_transfer.data.inputs import LogMel
from asr_transfer.data.kept_source import FILES, Summary, summary_folder
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError, ModelError
from tests.tones import TINY, make_speaker

CONFIG = LogMel(mels=20)
TOKENS = Tokens(list("abcdef "))


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Utterance], FeatureStore]:
    """Return twelve utterances, two of them with pronunciations, and their features at two speeds."""
    folder = tmp_path_factory.mktemp("spoken")
    made = make_speaker(folder / "wav", "ann", 1.0, 12, 3)
    made[:2] = [replace(u, pronunciation="a b", start=0.0) for u in made[:2]]
    return made, build_store(made, CONFIG, (0.9, 1.0), folder / "cache")


@pytest.fixture
def saved(spoken: tuple[list[Utterance], FeatureStore], tmp_path: Path) -> Path:
    """Return the folder of a summary of six utterances."""
    Summary.draw(*spoken, 6, seed=1).save(tmp_path / "source")
    return tmp_path / "source"


def test_what_is_loaded_is_what_was_trained_on(spoken: tuple[list[Utterance], FeatureStore], saved: Path) -> None:
    utterances, store = spoken
    loaded = Summary.load(saved, CONFIG)
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)
    known = {u.id: u for u in utterances}
    assert len(loaded.utterances) == 6 == len(loaded.store)
    for utterance in loaded.utterances:
        assert utterance == replace(known[utterance.id], audio="", start=None)
        assert torch.equal(loaded.store.load(loaded.store.view(utterance.id)), store.load(store.view(utterance.id))), (
            "not another speed, not another utterance"
        )
    lines = (saved / "utterances.jsonl").read_text(encoding="utf-8").splitlines()
    assert all("wav" not in line for line in lines), "no path of a recording leaves the machine"
    keys = ("id", "duration", "text", "speaker", "language")
    assert {tuple(json.loads(line)) for line in lines} == {keys, (*keys, "pronunciation")}


def test_the_seed_draws_and_a_summary_of_a_summary_is_the_same_bytes(
    spoken: tuple[list[Utterance], FeatureStore], saved: Path, tmp_path: Path
) -> None:
    def ids(count: int, seed: int) -> list[str]:
        return [u.id for u in Summary.draw(*spoken, count, seed).utterances]

    assert ids(6, 1) == [u.id for u in Summary.load(saved, CONFIG).utterances] != ids(6, 2)
    assert sorted(ids(99, 1)) == sorted(u.id for u in spoken[0]), "all where there are fewer"
    Summary.load(saved, CONFIG).save(tmp_path / "again")
    assert all((tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes() for name in FILES)


def test_a_joined_store_gives_the_views_of_both(
    spoken: tuple[list[Utterance], FeatureStore], saved: Path, tmp_path: Path
) -> None:
    own = make_speaker(tmp_path / "wav", "bob", 1.1, 5, 4)
    # Two of the speaker's recordings are called like some that the model keeps.
    loaded = Summary.load(saved, CONFIG)
    first, second = loaded.utterances[0].id, loaded.utterances[1].id
    own[:3] = [replace(u, id=name) for u, name in zip(own, (first, second, f"source/{first}"), strict=False)]
    store = build_store(own, CONFIG, (1.0, 1.1), tmp_path / "cache")
    kept, joined = loaded.joined(store)
    assert [u.id for u in kept[:2]] == [f"source/source/{first}", f"source/{second}"]
    assert [replace(u, id="") for u in kept] == [replace(u, id="") for u in loaded.utterances]
    assert len(joined) == len(store) + 6 and joined.inputs == CONFIG
    for utterance, original in zip(kept, loaded.utterances, strict=True):
        view = joined.view(utterance.id)
        assert torch.equal(joined.load(view), loaded.store.load(loaded.store.view(original.id)))
        assert joined.length(view) == len(joined.load(view))
        with pytest.raises(KeyError):
            joined.view(utterance.id, 1.1)
    for utterance in own:
        for speed in (1.0, 1.1):
            assert torch.equal(
                joined.load(joined.view(utterance.id, speed)), store.load(store.view(utterance.id, speed))
            )
    # Batches mix both.
    spelled = Spoken([*own, *kept], joined, TOKENS, spec_augment=SpecAugmentConfig())
    data, report = spelled.feasible(ModelConfig().frames)
    assert len(data) == 11 and not report.dropped
    assert sorted(int(item) for batch in sequential(data, 400) for item in batch.items) == list(range(11))


def test_stores_that_do_not_go_together_are_not_joined(
    spoken: tuple[list[Utterance], FeatureStore], tmp_path: Path
) -> None:
    utterances, store = spoken
    other = build_store(utterances[:1], FeatureConfig(mels=21), cache=tmp_path)
    with pytest.raises(DataError, match="holds features of"):
        JoinedStore(store, other, {"new": utterances[0].id})
    with pytest.raises(ValueError, match="is in both stores"):
        JoinedStore(store, store, {utterances[0].id: utterances[1].id})


def _line(change: Callable[[dict[str, object]], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        file = folder / "utterances.jsonl"
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        change(lines[2])
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    return damage


def _index(change: Callable[[dict[str, object]], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        file = folder / "index.json"
        index = json.loads(file.read_text(encoding="utf-8"))
        change(index)
        file.write_text(json.dumps(index), encoding="utf-8")

    return damage


def _statistics(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        np.save(folder / "statistics.npy", change(np.load(folder / "statistics.npy")))

    return damage


class Bomb:
    """Something that runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return pytest.fail, ("loading ran code",)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a file is missing": lambda folder: (folder / "statistics.npy").unlink(),
    "features cut off": lambda folder: (folder / "features.f16").write_bytes(b"x" * 100),
    "features too long": lambda folder: (folder / "features.f16").open("ab").write(b"xx"),
    "features not finite": lambda folder: (folder / "features.f16").write_bytes(
        b"\xff" * (folder / "features.f16").stat().st_size
    ),
    "no JSON": lambda folder: (folder / "index.json").write_text("{"),
    "a list": lambda folder: (folder / "index.json").write_text("[]"),
    "no view": _index(lambda index: index.update(views=[])),
    "unknown feature": _index(lambda index: index.update(config={"melz": 3})),
    "offsets fall": _index(lambda index: index["offsets"].reverse()),  # type: ignore[attr-defined]
    "offsets huge": _index(lambda index: index.update(offsets=[0, 10**40])),
    "empty statistics": lambda folder: (folder / "statistics.npy").write_bytes(b""),
    "pickled statistics": lambda folder: (folder / "statistics.npy").write_bytes(pickle.dumps(Bomb())),
    "object statistics": lambda folder: np.save(folder / "statistics.npy", np.array([Bomb()]), allow_pickle=True),
    "double statistics": _statistics(lambda values: values.astype(np.float64)),
    "fewer statistics": _statistics(lambda values: values[:, 1:]),
    "no deviation": _statistics(lambda values: values * 0),
    "not finite": _statistics(lambda values: values * np.nan),
    "another id": _line(lambda line: line.update(id="stranger")),
    "no text": _line(lambda line: line.update(text=" ")),
    "text a number": _line(lambda line: line.update(text=3)),
    "no duration": _line(lambda line: line.pop("duration")),
    "no time": _line(lambda line: line.update(duration=float("nan"))),
    "no line": lambda folder: (folder / "utterances.jsonl").write_text(""),
    "a line too few": lambda folder: (folder / "utterances.jsonl").write_text(
        "".join((folder / "utterances.jsonl").read_text(encoding="utf-8").splitlines(True)[1:])
    ),
    "a line twice": lambda folder: (folder / "utterances.jsonl").write_text(
        2 * (folder / "utterances.jsonl").read_text(encoding="utf-8")
    ),
    "not a mapping": lambda folder: (folder / "utterances.jsonl").write_text("3\n"),
    "not UTF-8": lambda folder: (folder / "utterances.jsonl").write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_summary_is_one_sentence_and_runs_nothing(saved: Path, kind: str) -> None:
    DAMAGE[kind](saved)
    with pytest.raises(DataError, match="the source summary is damaged") as error:
        Summary.load(saved, CONFIG)
    assert str(saved) in str(error.value) and "\n" not in str(error.value)


def test_a_file_in_its_place_and_features_of_another_model_are_named(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="it is no folder"):
        Summary.load(tmp_path / "file", CONFIG)
    for other in (LogMel(), replace(CONFIG, normalisation="fixed")):
        with pytest.raises(DataError, match="the source summary holds features of another model"):
            Summary.load(saved, other)
    loaded = Summary.load(saved, CONFIG)
    loaded.require_spelled(TOKENS, saved)
    with pytest.raises(DataError, match="belongs to another model .*cannot spell its utterance 'ann-"):
        loaded.require_spelled(Tokens(list("xyz")), saved)


def test_train_keeps_what_it_is_told_to(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["train", "--train", str(tone_corpus["train"]), *TINY, "--trainer.steps", "2",
             "--trainer.validate_every", "0"]  # fmt: skip
    for name, options in (
        ("one", ["--keep_source", "10"]),
        ("two", ["--keep_source", "10", "--speeds", "[0.9, 1.1]"]),
        ("three", ["--keep_source", "0"]),
    ):
        assert main([*quick, *options, "--out", str(tmp_path / name)]) == 0
    place, other = (summary_folder(tmp_path / name) for name in ("one", "two"))
    assert place == tmp_path / "one" / "model" / "source" == summary_folder(tmp_path / "one" / "model") and other
    features = Recogniser.load(tmp_path / "one").model.inputs
    kept = Summary.load(place, features)
    known = {u.id: u for u in read_manifest(tone_corpus["train"])}
    assert len(kept.utterances) == 10 and all(u.text == known[u.id].text for u in kept.utterances)
    assert all((place / name).read_bytes() == (other / name).read_bytes() for name in FILES), "whatever the speeds"
    assert "source` holds features" in (tmp_path / "one" / "model" / "README.md").read_text(encoding="utf-8")
    assert summary_folder(tmp_path / "three") is None
    assert "source" not in (tmp_path / "three" / "model" / "README.md").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main([*quick, "--keep_source", "-1", "--out", str(tmp_path / "four")]) == 1
    assert "`keep_source` must be at least 0" in capsys.readouterr().err


def test_a_write_that_fails_leaves_the_old_model_whole(
    tone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Path(shutil.copytree(tone_run / "model", tmp_path / "model"))
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    recogniser = Recogniser.load(model)
    kept = Summary.load(model / "source", recogniser.model.inputs)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FeatureStore, "save_part", full)
    with pytest.raises(ModelError, match="What stood there before is untouched"):
        recogniser.save(model, "A card.", {}, {"source": kept.save})
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
