"""Source models and points as run folders: what they hold, and languages that do not fit the heads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.config import SourceConfig
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.decoding.identify import accuracy, fit_offsets, named
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.core.jobs import run_job
from asr_transfer.experiments.core.ledger import read_finished
from asr_transfer.experiments.languages.identification import _crossed, identification, told
from asr_transfer.experiments.languages.points import (
    Corpora,
    Point,
    TrainPoint,
    error_unit,
    source_test_store,
    with_lexicon,
)
from asr_transfer.experiments.languages.sources import (
    SeparationConfig,
    SourceModel,
    TrainSource,
    separating,
)
from asr_transfer.models.progressive import ProgressiveModel
from asr_transfer.models.shared_private import SharedPrivateModel
from tests.language_sweeps import corpora_of, learning, make_folders, source_config


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Corpora:
    """Return English and Dutch as sources of French."""
    return corpora_of(make_folders(tmp_path_factory.mktemp("languages")))


@pytest.fixture(scope="module")
def run(corpora: Corpora, feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a shared-private source model `both` that has learnt something."""
    folder = tmp_path_factory.mktemp("run")
    job = SourceModel("both", (), None, source_config(12), "shared-private", SeparationConfig())
    run_job(folder, TrainSource(corpora, job))
    return folder


def test_a_point_keeps_scores_hypotheses_and_a_model_of_its_source_s_kind(run: Path, corpora: Corpora) -> None:
    point = Point("shared-private", 0.1, 3, "both", learning())
    run_job(run, TrainPoint(corpora, point, (0.1,)))
    assert point.name == "shared-private-0.1-3"
    folder = run / "points" / point.name
    record = read_finished(folder)
    assert set(record["scores"]) == {"test", "fr"} and record["training"]["steps"] == 2
    assert (folder / "fr" / "hypotheses.jsonl").read_bytes() == (folder / "hypotheses.jsonl").read_bytes()
    model = Recogniser.load(folder, "fr").model
    assert isinstance(model, SharedPrivateModel) and set(model.private) == {"en", "nl", "fr"}
    source = Recogniser.load(run / "sources" / "both", "en").model
    still = {name for name in source.state_dict() if name.startswith(("heads.", "private."))}
    assert all(source.state_dict()[name].equal(model.state_dict()[name]) for name in still)
    assert not source.encoder.layers[0].convolution.weight.equal(model.encoder.layers[0].convolution.weight)


def test_columns_stand_beside_the_source_or_beside_chance(run: Path, corpora: Corpora) -> None:
    source = Recogniser.load(run / "sources" / "both", "en").model
    for mode, heads in (("progressive", {"en", "nl"}), ("progressive-random", set())):
        config = learning(mode=mode, rank=3, model=source.config)
        point = Point(mode, 0.1, 0, "both" if heads else None, config)
        run_job(run, TrainPoint(corpora, point, (0.1,)))
        model = Recogniser.load(run / "points" / point.name, "fr").model
        assert isinstance(model, ProgressiveModel) and model.rank == 3
        assert set(model.heads) == {"fr"} and set(model.base.heads) == heads
        same = model.base.state_dict()["encoder.norm.weight"].equal(source.state_dict()["encoder.norm.weight"])
        assert same == bool(heads)
    with pytest.raises(ConfigError, match="needs a source model; give one, or use scratch or progressive-random"):
        config = learning(mode="progressive", model=source.config)
        run_job(run, TrainPoint(corpora, Point("alone", 0.1, 0, None, config), (0.1,)))
    with pytest.raises(ConfigError, match="`language.rank` must be at least 1"):
        learning(rank=0)


def test_languages_are_told_apart_on_what_was_not_calibrated_on(run: Path, corpora: Corpora) -> None:
    record = read_finished(run / "sources" / "both")
    found = record["identification"]
    assert sum(own["utterances"] for own in found["confusions"]) <= 8 and "other_voices_share" not in found
    assert found["utterances"] == 8 and {own["utterances"] for own in found["languages"].values()} == {4}
    for way in ("raw_share", "calibrated_share"):
        assert found[way] == pytest.approx(sum(own[way] for own in found["languages"].values()) / 2)
    assert "tells 2 languages apart in" in told(record) and told({}) == ""
    source = Recogniser.load(run / "sources" / "both", "en")
    held_out = corpora.source_test_utterances()
    store = source_test_store(corpora, source.model.inputs)
    again, offsets = identification(source, held_out, store)
    assert again == found and source.offsets == pytest.approx(offsets) and set(offsets) == {"en", "nl"}
    # Two voices of each: what is calibrated on one is tried on the other.
    voices = [replace(u, speaker=f"{u.language}{n % 2}") for n, u in enumerate(held_out)]
    doubled = identification(source, voices, store)[0]
    each = [own["other_voices_share"] for own in doubled["languages"].values()]
    assert doubled["other_voices_share"] == pytest.approx(sum(each) / 2) and min(each) >= 0
    # A language in the data without a head is left out; with one language left there is nothing to tell apart.
    foreign = [replace(u, language="de") if u.language == "nl" else u for u in held_out]
    assert identification(source, foreign, store) == ({"utterances": 0}, {})
    assert told({"identification": {"utterances": 0}}) == ""
    # A head without data: the other two are told apart.
    assert identification(source, held_out[:1] + held_out[4:], store) == ({"utterances": 0}, {})


def test_offsets_of_one_side_are_tried_on_the_other() -> None:
    """On either side the other language's head is the surer one by as much as offsets of that side would take away."""
    truth, sides = ["en", "nl"] * 12, [0, 0, 1, 1] * 6
    surplus = {0: 3.0, 1: -3.0}
    scores = [
        {name: surplus[side] * (name == "en") + (name == language) for name in ("en", "nl")}
        for language, side in zip(truth, sides, strict=True)
    ]
    for side in (0, 1):
        own = [n for n, at in enumerate(sides) if at == side]
        offsets = fit_offsets([scores[n] for n in own], [truth[n] for n in own])
        assert accuracy(named([scores[n] for n in own], offsets), [truth[n] for n in own]) == 1
    assert accuracy(_crossed(scores, truth, sides), truth) == 0.5, "each head that is surer on one side wins there"


def test_a_finished_source_is_not_trained_again_but_told_apart_where_it_was_not(
    corpora: Corpora, feature_cache: Path, tmp_path: Path
) -> None:
    job = SourceModel("plain", (), None, source_config())
    run_job(tmp_path, TrainSource(replace(corpora, source_tests={}), job))
    folder = tmp_path / "sources" / "plain"
    before, weights = read_finished(folder), (folder / "model" / "model.safetensors").stat().st_mtime_ns
    assert "identification" not in before
    # A record whose shares have the names of another version is as good as none.
    record, old = folder / "run.json", {"utterances": 8, "calibrated": 0.5, "languages": {}}
    assert told({"identification": old}) == ""
    record.write_text(json.dumps({**json.loads(record.read_text(encoding="utf-8")), "identification": old}), "utf-8")
    run_job(tmp_path, TrainSource(corpora, job))
    after = read_finished(folder)
    assert after["identification"]["utterances"] == 8 and after["training"] == before["training"]
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == weights
    assert set(Recogniser.load(folder, "en").offsets) == {"en", "nl"}


def test_languages_and_heads_that_do_not_fit_are_refused(run: Path, corpora: Corpora, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its language 'nl' has no head in the source model"):
        one = SourceModel("english", ("en",), None, source_config())
        run_job(tmp_path, TrainSource(corpora, one))
        run_job(tmp_path, TrainPoint(corpora, Point("joint", 0.1, 0, "english", learning(mode="joint")), (0.1,)))
    with pytest.raises(ConfigError, match="`units_of` names the language 'de' but no training utterance"):
        german: SourceConfig = replace(source_config(), units_of={"de": "phones"})
        run_job(tmp_path, TrainSource(corpora, SourceModel("german", (), None, german)))
    with pytest.raises(ConfigError, match="'adversarial' keeps languages apart, but there is only en"):
        separating("adversarial", SeparationConfig(), ["en"])
    with pytest.raises(ConfigError, match="no kind of source model 'adverserial'. Did you mean 'adversarial'"):
        SourceModel("x", (), None, source_config(), "adverserial")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`separation.adversarial` must be at least 0"):
        SeparationConfig(adversarial=-1)
    with pytest.raises(DataError, match="not finished; go on with --resume"):
        record = run / "sources" / "both" / "run.json"
        (tmp_path / "run.json").write_text(
            record.read_text(encoding="utf-8").replace('"finished",', '"running",'), encoding="utf-8"
        )
        read_finished(tmp_path)


def test_words_of_a_lexicon_are_scored_beside_what_is_spelled(
    corpora: Corpora, feature_cache: Path, tmp_path: Path
) -> None:
    spoken = [
        replace(u, id=f"{split}-{n}", text=f"w{n}", pronunciation=f"{'abc'[n % 3]}1 d")
        for split, path in (("train", corpora.train["fr"]), ("test", corpora.tests["fr"]))
        for n, u in enumerate(read_manifest(path))
    ]
    for split in ("train", "test"):
        write_manifest(tmp_path / "fr" / f"{split}.jsonl", [u for u in spoken if u.id.startswith(split)])
    write_manifest(tmp_path / "fr" / "dev.jsonl", [replace(spoken[0], id="dev-0")])
    (tmp_path / "fr" / "words_lexicon.txt").write_text("w0\ta1 d\nw1\tb1 d\nlost\tq1 d\n", encoding="utf-8")
    own = Corpora.from_folders({}, {"fr": tmp_path / "fr"}, {"fr": "words"})
    assert own.lexica == {"words": str(tmp_path / "fr" / "words_lexicon.txt")} and set(own.tests) == {"words"}
    config = learning(mode="scratch", units="toneless-phones", model=source_config().model)
    run_job(tmp_path, TrainPoint(own, Point("scratch", 0.1, 0, None, config), (0.1,)))
    folder = tmp_path / "points" / "scratch-0.1-0"
    assert set(read_finished(folder)["scores"]) == {"test", "words", "words-lexicon"}
    model = with_lexicon(Recogniser.load(folder), own.lexica["words"])
    assert isinstance(model.lexicon, Lexicon) and {entry.word for entry in model.lexicon} == {"w0", "w1"}
    assert error_unit("characters") == "character" and error_unit("phones") == error_unit("words") == "word"
