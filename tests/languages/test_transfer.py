"""Learning a further language from a trained recogniser, and telling languages apart."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch

from asr_transfer.config import FeatureConfig, ModelConfig, SourceConfig, SpecAugmentConfig, TrainerConfig
from asr_transfer.data.batching import Batch
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.inputs import LogMel
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance, by_language
from asr_transfer.data.pieces import Pieces
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.identify import (
    accuracy,
    calibrate,
    calibrated,
    confusions,
    fit_offsets,
    head_scores,
    identify,
)
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.languages.config import LanguageConfig, Mode
from asr_transfer.languages.heads import extend_head
from asr_transfer.languages.phases import joined
from asr_transfer.languages.transfer import Learnt, learn_language
from asr_transfer.languages.ways import WAYS
from asr_transfer.training.session import train_recogniser
from asr_transfer.training.trainer import Result
from tests.small import MELS, different, small_model, snapshot
from tests.tones import make_speaker

FEATURES = FeatureConfig(mels=20)
MASKS = SpecAugmentConfig(1, 4, 1, 4)
NETWORK = ModelConfig("tdnn", layers=2, dim=24, channels=24, features=FEATURES)


def _trainer(**changes: Any) -> TrainerConfig:
    usual = {"steps": 8, "batch_budget": 1500, "validate_every": 4, "device": "cpu", "learning_rate": 0.01}
    return TrainerConfig(**{**usual, **changes})  # type: ignore[arg-type]


def _learning(mode: Any, **changes: Any) -> LanguageConfig:
    trainer = _trainer(**changes.pop("trainer", {}))
    return LanguageConfig(mode, trainer=trainer, augment=MASKS, speeds=(1.0,), **changes)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Utterance]], FeatureStore]:
    """Return utterances by language: tones an octave apart, and one language without some letters."""
    folder = tmp_path_factory.mktemp("languages")
    made = {
        name: [replace(u, language=name) for u in make_speaker(folder, name, shift, 20, seed)]
        for seed, (name, shift) in enumerate((("en", 1.0), ("nl", 2.3), ("fr", 1.5)))
    }
    everything = [u for part in made.values() for u in part]
    return made, build_store(everything, FEATURES, (1.0,), tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def source(spoken: Any) -> Recogniser:
    """Return a recogniser of two languages that has learnt something."""
    made, store = spoken
    settings = SourceConfig(NETWORK, _trainer(steps=90, batch_budget=4000), MASKS, (1.0,))
    return train_recogniser(Spoken(made["en"] + made["nl"], store), Spoken([], store), settings)[0]


def _learn(spoken: Any, source: Recogniser | None, config: LanguageConfig, **options: Any) -> Learnt:
    made, store = spoken
    return learn_language(source, Spoken(made["fr"][:14], store), Spoken(made["fr"][14:], store), config, **options)


def _logits(recogniser: Recogniser, head: str, spoken: Any) -> torch.Tensor:
    own = recogniser.for_head(head)
    with torch.no_grad():
        batch: Batch = Spoken(spoken[0]["en"], spoken[1]).collate(range(20))
        return own.logits(batch.inputs, batch.lengths)[0]


def test_a_new_head_alone_leaves_everything_else_bit_for_bit(spoken: Any, source: Recogniser) -> None:
    before = snapshot(source.model)
    learnt = _learn(spoken, source, _learning("head"))
    assert learnt.recogniser.head == "fr" and set(learnt.recogniser.others) == {"en", "nl"}
    after = snapshot(learnt.recogniser.model)
    assert not different(before, {name: after[name] for name in before})
    assert not different(before, snapshot(source.model))
    for head in ("en", "nl"):
        assert torch.equal(_logits(source, head, spoken), _logits(learnt.recogniser, head, spoken))
    assert {row[0]: row[4] for row in learnt.plans[0].rows()}["heads.fr"] == "trained"
    assert learnt.result.best is not None and learnt.result.steps == 8
    assert not any(hasattr(module, "statistics_frozen") for module in learnt.recogniser.model.modules())


def test_all_layers_move_but_not_the_heads_without_data(spoken: Any, source: Recogniser) -> None:
    before = snapshot(source.model)
    for config, still in (
        (_learning("all", encoder_rate=0.1), set()),
        (_learning("all", freeze_statistics=True), {n for n in before if "running" in n or "tracked" in n}),
    ):
        after = snapshot(_learn(spoken, source, config).recogniser.model)
        same = {name for name in before if torch.equal(before[name], after[name])}
        assert same == still | {name for name in before if name.startswith("heads.")}


def test_gradual_opens_one_layer_after_the_other(spoken: Any, source: Recogniser) -> None:
    learnt = _learn(spoken, source, _learning("gradual", trainer={"steps": 10, "validate_every": 0}, head_steps=0.4))
    trained = [{row[0] for row in plan.rows() if row[4] == "trained"} for plan in learnt.plans]
    top, second = {"encoder.layers.1", "encoder.norm"}, {"encoder.layers.0"}
    assert trained[:3] == [{"heads.fr"}, {"heads.fr"} | top, {"heads.fr"} | top | second]
    assert {name.split(".")[0] for name in trained[3] - trained[2]} == {"frontend"}
    assert learnt.result.steps == 10
    assert [(entry["phase"], entry["step"]) for entry in learnt.result.history] == [(1, 4), (2, 6), (3, 8), (4, 10)]
    assert learnt.result.best == min(learnt.result.history, key=lambda entry: (entry["wer"], entry["loss"]))
    with pytest.raises(ConfigError, match="4 phases on 2 layers, too many for `trainer.steps` = 3"):
        _learn(spoken, source, _learning("gradual", trainer={"steps": 3}))


def test_joint_training_keeps_the_source_languages_in_training(spoken: Any, source: Recogniser) -> None:
    made, before = spoken[0], snapshot(source.model)
    learnt = _learn(spoken, source, _learning("joint"), source_speech=Spoken(made["en"], spoken[1]))
    after = snapshot(learnt.recogniser.model)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {"heads.nl.weight", "heads.nl.bias"}
    for wrong, message in (
        ([], "there are no source utterances"),
        (made["fr"][:2], "is the one that is learnt"),
        ([replace(made["en"][0], language="de")], "'de' has no head in the source model"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            _learn(spoken, source, _learning("joint"), source_speech=Spoken(wrong, spoken[1]))
    with pytest.raises(ConfigError, match="`all` trains on the new language alone"):
        _learn(spoken, source, _learning("all"), source_speech=Spoken(made["en"], spoken[1]))


def test_from_scratch_is_what_the_monolingual_training_gives(spoken: Any, source: Recogniser) -> None:
    made, store = spoken
    alone = train_recogniser(
        Spoken(made["fr"][:14], store), Spoken(made["fr"][14:], store), SourceConfig(NETWORK, _trainer(), MASKS, (1.0,))
    )[0]
    for learnt in (
        _learn(spoken, source, _learning("scratch")),
        _learn(spoken, None, _learning("scratch", model=NETWORK)),
    ):
        assert not different(snapshot(alone.model), snapshot(learnt.recogniser.model))
        assert learnt.recogniser.tokens == alone.tokens and not learnt.recogniser.others


def test_a_stopped_gradual_run_ends_in_the_same_bits(spoken: Any, source: Recogniser, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(line: str) -> None:
        if len(lines) == 2:
            raise Stopped
        lines.append(line)

    lines: list[str] = []
    config = _learning("gradual", trainer={"steps": 10, "validate_every": 2, "checkpoint_every": 1})
    whole = _learn(spoken, source, config, folder=tmp_path / "whole")
    with pytest.raises(Stopped):
        _learn(spoken, source, config, folder=tmp_path / "cut", log=stop)
    again = _learn(spoken, source, config, folder=tmp_path / "cut")
    assert not different(snapshot(whole.recogniser.model), snapshot(again.recogniser.model))
    assert whole.result.history == again.result.history


def test_what_does_not_fit_is_refused_with_both_sides(spoken: Any, source: Recogniser) -> None:
    made, store = spoken
    for learner, config, message in (
        (None, _learning("all"), "`language.mode` all needs a source model"),
        (None, _learning("scratch"), "`language.model` must say"),
        (source, _learning("all", model=replace(NETWORK, dim=32)), r"source model.*`dim` is 24 there and 32 here"),
        (
            None,
            _learning("scratch", model=replace(NETWORK, features=FeatureConfig(mels=40))),
            "`mels` is 40 there and 20 here",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            _learn(spoken, learner, config)
    with pytest.raises(DataError, match="the training utterances are in en, fr"):
        learn_language(source, Spoken(made["en"] + made["fr"], store), Spoken([], store), _learning("all"))
    with pytest.raises(DataError, match="is in 'en' but 'fr' is learnt"):
        learn_language(source, Spoken(made["fr"], store), Spoken(made["en"], store), _learning("all"))
    for changes, message in (
        ({"mode": "al"}, "Did you mean 'all'"),
        ({"head_steps": 1.0}, "`language.head_steps` must be between 0 and 1"),
        ({"encoder_rate": 0.0}, "`language.encoder_rate` must be above 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            LanguageConfig(**changes)


def test_an_extended_head_keeps_its_rows_and_barely_emits_the_new(spoken: Any, source: Recogniser) -> None:
    old = source.for_head("en")
    wider = extend_head(source, "en", Tokens(["A", "a", "x"])).for_head("en")
    assert wider.tokens.symbols == [*old.tokens.symbols, "A", "x"], "new ones come last, whatever their order"
    before, after = _logits(old, "en", spoken), _logits(wider, "en", spoken)
    # Not bit by bit: a product with more columns may be summed in another order.
    torch.testing.assert_close(before, after[..., : before.shape[-1]])
    first, second = snapshot(source.model), snapshot(wider.model)
    heads = {"heads.en.weight", "heads.en.bias"}
    assert all(torch.equal(first[name], second[name][: len(first[name])]) for name in heads)
    assert all(torch.equal(first[name], second[name]) for name in first.keys() - heads)
    size = before.shape[-1]
    assert 0 < wider.model.head("en").weight[size:].abs().max() < 0.1 * old.model.head("en").weight.abs().max()
    data = Spoken(spoken[0]["en"], spoken[1])
    assert wider.listen(data) == old.listen(data)
    with pytest.raises(ConfigError, match="emits characters but words are asked for"):
        extend_head(source, "en", Tokens(["a"], "words"))


def test_of_all_phases_the_best_is_kept() -> None:
    models = [small_model(seed) for seed in range(3)]
    entries = [{"step": 5.0, "wer": wer, "loss": 1.0} for wer in (0.5, 0.2, 0.3)]
    runs = [(model, Result([entry], entry, 5, 0, 1.0, 0.0, 7)) for model, entry in zip(models, entries, strict=True)]
    chosen, result = joined(runs, "wer")
    assert chosen is models[1] and result.best == {"step": 10.0, "wer": 0.2, "loss": 1.0, "phase": 2.0}
    assert (result.steps, result.cpu_seconds, result.cost, len(result.history)) == (15, 3.0, 21, 3)
    unvalidated = [(model, replace(done, best=None)) for model, done in runs]
    assert joined(unvalidated, "wer")[0] is models[2], "without validation the last"


def test_a_lexicon_belongs_to_the_language_that_it_was_made_for(source: Recogniser) -> None:
    assert set(source.tokens.symbols[1:]) >= {"a", "b"}
    worded = replace(source, lexicon=Lexicon.from_pairs([("ab", "a b")]))
    other = next(iter(source.others))
    assert worded.for_head(source.head).lexicon is worded.lexicon and worded.for_head(other).lexicon is None


def test_a_known_language_goes_on_from_its_head_or_starts_anew(spoken: Any, source: Recogniser) -> None:
    made, store = spoken
    own = by_language(made["en"])["en"]
    still = {"steps": 1, "learning_rate": 1e-12, "validate_every": 0}
    kept = learn_language(
        source, Spoken(own, store), Spoken([], store), _learning("head", keep_head=True, trainer=still)
    ).recogniser
    new = learn_language(source, Spoken(own, store), Spoken([], store), _learning("head", trainer=still)).recogniser
    weight = source.model.head("en").weight
    assert torch.allclose(kept.model.head("en").weight, weight, atol=1e-9)
    assert not torch.allclose(new.model.head("en").weight, weight, atol=1e-2)


def test_languages_are_told_apart_on_new_recordings(spoken: Any, source: Recogniser, tmp_path: Path) -> None:
    made = [
        replace(u, id=f"new-{u.id}", language=name)
        for seed, (name, shift) in enumerate((("en", 1.0), ("nl", 2.3)))
        for u in make_speaker(tmp_path, f"{name}2", shift, 16, 90 + seed)
    ]
    store = build_store(made, FEATURES, (1.0,), tmp_path / "cache")
    # Calibrated on new recordings too: heads are surer of those that they were trained on.
    data, calibration = (Spoken(made[n::2], store) for n in (0, 1))
    truth = [u.language for u in made[::2]]
    offsets = calibrate(source, calibration)
    found = identify(source, data, offsets)
    assert accuracy(found, truth) > 0.9
    # Kept with the model, they are used unasked.
    source.model.train()
    kept = calibrated(source, Spoken(made[1::2], store), pytest.fail)
    assert kept.offsets == pytest.approx(offsets) and not source.offsets
    kept.save(tmp_path / "model", "A card.", {})
    loaded = Recogniser.load(tmp_path / "model", "nl")
    assert loaded.offsets == kept.offsets == loaded.for_head("en").offsets
    assert [name for name, _ in identify(loaded, data)] == [name for name, _ in found]
    # A changed model has other scores.
    learnt = _learn(spoken, loaded, _learning("head", trainer={"steps": 1, "validate_every": 0})).recogniser
    assert not learnt.offsets and not extend_head(loaded, "nl", Tokens(["ß"])).offsets
    said: list[str] = []
    assert not calibrated(loaded, Spoken(spoken[0]["en"], spoken[1]), said.append).offsets
    assert "no development utterances in nl" in said[0]
    with pytest.raises(ConfigError, match="heads of at least two"):
        identify(source, data, {"en": 0.0})


def _handmade() -> Recogniser:
    """Return a recogniser whose heads hear nothing and say with fixed logits: 'en' is surer than 'nl'."""
    model = small_model(heads={"en": 3, "nl": 3}).eval()
    with torch.no_grad():
        for name, logits in (("en", [2.0, 0.0, 0.0]), ("nl", [0.0, 1.0, 0.0])):
            model.head(name).weight.zero_()
            model.head(name).bias.copy_(torch.tensor(logits))
    return Recogniser(model, Tokens(["a", "b"]), "en", {}, others={"nl": Tokens(["a", "b"])})


def test_scores_are_those_of_brute_force() -> None:
    def block(view: int, first: int, last: int) -> torch.Tensor:
        return torch.randn(last - first, MELS, generator=torch.Generator().manual_seed(last))

    class Noise:
        store = SimpleNamespace(inputs=LogMel(mels=MELS), load_part=block, length=lambda view: [6, 9, 4][view])

        def __len__(self) -> int:
            return 3

        def costs(self) -> np.ndarray:
            return np.array([6, 9, 4])

        def view(self, item: int) -> int:
            return item

    noise: Any = Noise()
    source = _handmade()
    with torch.no_grad():  # so that it hears something
        source.model.head("nl").weight.normal_()
    scores = head_scores(source, noise, ["en", "nl"])
    p = torch.tensor([2.0, 0, 0], dtype=torch.float64).softmax(0)
    assert [own["en"] for own in scores] == pytest.approx([float(p @ p.log() - 0.5 * p[0].log())] * 3, abs=1e-6)
    for item in range(3):
        batch = Pieces(noise).collate([item])
        logits, _ = source.for_head("nl").logits(batch.inputs, batch.lengths)
        q = logits[0].detach().double().softmax(-1)
        # Over all paths of three, five and two frames, the mean log-probability, by frame.
        paths = [sum(math.log(q[t, k]) for t, k in enumerate(path)) for path in product(range(3), repeat=len(q))]
        mean = sum(math.exp(own) * own for own in paths)
        blanks = float(q[:, 0].log().sum())
        assert scores[item]["nl"] == pytest.approx((mean - 0.5 * blanks) / len(q), abs=1e-5)


def test_calibration_takes_out_what_a_head_has_too_much() -> None:
    random, truth, scores = np.random.default_rng(0), [], []
    handicap = {"en": 0.0, "nl": -3.0, "fr": -1.0}
    for _ in range(400):
        language = str(random.choice(list(handicap)))
        truth.append(language)
        scores.append({n: float(random.normal(1.0 if n == language else 0.0, 0.4)) + h for n, h in handicap.items()})
    found = [(max(own, key=lambda name: own[name]), own) for own in scores]
    assert accuracy(found, truth) < 0.6
    offsets = fit_offsets(scores, truth)
    for name in ("nl", "fr"):
        assert offsets[name] - offsets["en"] == pytest.approx(-handicap[name], abs=0.2)
    shifted = [{name: own[name] + offsets[name] for name in own} for own in scores]
    assert accuracy([(max(own, key=lambda name: own[name]), own) for own in shifted], truth) > 0.85
    with pytest.raises(DataError, match="no utterance in 'fr' to calibrate on"):
        fit_offsets(scores, ["en" if language == "fr" else language for language in truth])
    with pytest.raises(DataError, match="is in 'de', of which there is no head"):
        fit_offsets(scores, ["de", *truth[1:]])


def test_offsets_do_not_depend_on_how_much_of_a_language_there_is() -> None:
    random, truth = np.random.default_rng(0), ["en"] * 40 + ["nl"] * 40
    scores = [{name: float(random.normal(name == language, 1.0)) for name in ("en", "nl")} for language in truth]
    even, more = fit_offsets(scores, truth), fit_offsets(scores[:40] * 9 + scores[40:], truth[:40] * 9 + truth[40:])
    assert more["en"] == pytest.approx(even["en"], abs=0.05)


def test_accuracy_counts_every_language_the_same() -> None:
    found = [("en", {}), ("en", {}), ("en", {}), ("en", {})]
    assert accuracy(found, ["en", "en", "en", "nl"]) == 0.5


def test_mistakes_are_counted_the_most_frequent_first() -> None:
    found = [(name, {}) for name in ("nl", "en", "nl", "fr", "fr", "de")]
    assert confusions(found, ["en", "en", "en", "nl", "fr", "fr"], 2) == [
        {"language": "en", "taken_for": "nl", "utterances": 2},
        {"language": "fr", "taken_for": "de", "utterances": 1},
    ]


def test_every_head_listens_to_what_it_is_given(spoken: Any, source: Recogniser) -> None:
    """One loop serves them all: heads by utterance, posteriors, and whatever else is read off the frames."""
    made, store = spoken
    speech = Spoken([u for pair in zip(made["en"], made["nl"], strict=True) for u in pair], store)
    heads = [u.language for u in speech.utterances]
    by_head = {name: source.for_head(name).listen(speech) for name in ("en", "nl")}
    assert by_head["en"] != by_head["nl"]
    assert source.listen(speech, heads) == [by_head[name][n] for n, name in enumerate(heads)]
    assert source.listen(speech) == by_head[source.head] and source.listen(speech.subset([])) == []
    posteriors = source.posteriors(speech)
    texts = source.listen_with(lambda frames: source.decode(frames.logits, frames.lengths), speech, whole=True)
    for log_probs, (heard,) in zip(posteriors, texts, strict=True):
        assert source.decode(log_probs[None], torch.tensor([len(log_probs)]))[0] == heard
    with pytest.raises(ModelError, match="de"):
        source.listen(speech, ["de"] * len(speech))


def test_the_registry_holds_every_way_and_what_it_promises(spoken: Any, source: Recogniser) -> None:
    assert tuple(WAYS) == get_args(Mode) and all(way.name == name for name, way in WAYS.items())
    for name, way in WAYS.items():
        if way.needs_source:
            with pytest.raises(ConfigError, match=f"`language.mode` {name} needs a source model"):
                _learn(spoken, None, _learning(name, model=NETWORK))
        if way.on_published:
            with pytest.raises(ConfigError, match=f"{name} trains the layers on a published encoder, and"):
                _learn(spoken, source, _learning(name))
            continue
        before = snapshot(source.model)
        more = Spoken(spoken[0]["en"], spoken[1]) if way.uses_source else None
        learnt = _learn(spoken, source, _learning(name, trainer={"validate_every": 0}), source_speech=more).recogniser
        after = snapshot(learnt.model)
        assert not different(before, snapshot(source.model)) and learnt.head == "fr"
        assert set(learnt.others) == ({"en", "nl"} if way.needs_source else set())
        if way.start == "layers":
            assert before.keys() <= after.keys()


def test_kept_source_speech_without_speed_copies_is_mixed_in(spoken: Any, source: Recogniser, tmp_path: Path) -> None:
    made, store = spoken
    faster = build_store(made["fr"], FEATURES, (1.0, 1.1), tmp_path)
    config = replace(_learning("joint"), speeds=(1.0, 1.1))
    fr, kept = Spoken(made["fr"], faster), Spoken(made["en"], store)
    learnt = learn_language(source, fr, fr.subset([]), config, source_speech=kept)
    assert learnt.result.steps == 8 and learnt.report.kept == len(fr) + len(kept)
