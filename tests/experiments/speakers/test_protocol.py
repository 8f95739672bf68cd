"""The protocol of adaptation experiments: nobody is tested on what was trained on, amounts are nested."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.speakers.protocol import ProtocolConfig, draws_of, speaker_folds
from asr_transfer.remarks import Remark


def people(*names: str, utterances: int = 30) -> list[Utterance]:
    """Return utterances of some speakers."""
    return [Utterance(f"{n}-{i}", "x.wav", 1.0, "a", n, "en") for n in names for i in range(utterances)]


def test_leaving_each_out_never_trains_on_the_held_out_speaker() -> None:
    corpus = people("a", "b", "c")
    folds = speaker_folds({"all": corpus}, ProtocolConfig(hold_out="each", others="source"))
    assert [fold.name for fold in folds] == ["a", "b", "c"]
    for fold in folds:
        assert not any(name.startswith(f"{fold.name}-") for name in fold.train + fold.others)
        assert not set(fold.train) & set(fold.others)
        assert len(fold.train) + len(fold.others) == 60 and len(fold.others) == 6
        assert {draw.speaker for draw in fold.test} == {fold.name} and fold.dev == ()


def test_draws_are_nested_disjoint_and_seeded() -> None:
    config = ProtocolConfig(amounts=(5, 10, 20), draws=4, test_utterances=7)
    draws = draws_of(people("a"), config, 4)
    assert draws == draws_of(people("a"), config, 4)
    assert len({draw.pool for draw in draws}) == 4, "draws must differ"
    for draw in draws:
        assert len(draw.pool) == 20 and len(set(draw.pool)) == 20
        assert len(draw.test) == 7 and not set(draw.test) & set(draw.pool)


def test_a_speaker_with_few_utterances_gets_smaller_amounts_or_is_refused() -> None:
    config = ProtocolConfig(amounts=(5, 10, 20))
    assert len(draws_of(people("a", utterances=13), config, 1)[0].pool) == 10
    with pytest.raises(DataError, match="speaker 'a' has 5 utterances, too few"):
        draws_of(people("a", utterances=5), config, 1)


def test_splits_with_development_speakers_taken_from_training() -> None:
    splits = {"train": people("a", "b", "c", "d"), "test": people("e")}
    (fold,) = speaker_folds(splits, ProtocolConfig(dev_speakers=2, others="target", dev_draws=3))
    dev = {draw.speaker for draw in fold.dev}
    assert len(dev) == 2 and len(fold.dev) == 6 and fold.others == ()
    assert {name.split("-")[0] for name in fold.train} == {"a", "b", "c", "d"} - dev


def test_groups_are_tested_once_and_never_trained_on_with_their_own() -> None:
    splits = {"train": people(*"abcde"), "test": people("f", "g")}
    config = ProtocolConfig(hold_out="groups", groups=3, draws=2, source_utterances=40)
    folds = speaker_folds(splits, config)
    assert folds == speaker_folds(splits, config)
    assert [fold.name for fold in folds] == ["group0", "group1", "group2"]
    tested = [sorted({draw.speaker for draw in fold.test}) for fold in folds]
    assert sorted(name for group in tested for name in group) == list("abcdefg"), "every speaker exactly once"
    assert sorted(map(len, tested)) == [2, 2, 3]
    for fold, group in zip(folds, tested, strict=True):
        learnt = fold.train + fold.others
        assert not {name.split("-")[0] for name in learnt} & set(group)
        assert len(set(learnt)) == len(learnt) == 30 * (7 - len(group)) and not set(fold.source) & set(fold.others)
        assert len(fold.test) == 2 * len(group) and fold.dev == ()
    assert speaker_folds(splits, replace(config, seed=1)) != folds


def test_more_groups_than_speakers_are_refused() -> None:
    with pytest.raises(ConfigError, match="`protocol.groups` is 3 but there are 2 speakers"):
        speaker_folds({"all": people("a", "b")}, ProtocolConfig(hold_out="groups", groups=3))


@pytest.mark.parametrize("draws", [2, 3, 4])
def test_rotation_tests_each_utterance_once(draws: int) -> None:
    config = ProtocolConfig(amounts=(5, 10, 14), draws=draws, rotate=True)
    own = people("a")
    found = draws_of(own, config, draws)
    assert sorted(name for draw in found for name in draw.test) == sorted(u.id for u in own)
    for draw in found:
        assert len(draw.pool) == 14 == len(set(draw.pool)) and not set(draw.pool) & set(draw.test)
        assert set(draw.pool) <= {u.id for u in own}
    assert found == draws_of(own, config, draws)
    assert [draw.test for draw in found] != [draw.test for draw in draws_of(own, replace(config, seed=1), draws)]


def test_forgetting_may_be_watched_on_a_dev_split_of_training_speakers() -> None:
    train, dev = people("a", "b"), [replace(u, id=f"dev-{u.id}") for u in people("a", "b", utterances=8)]
    config = ProtocolConfig(others="dev", others_utterances=10, source_utterances=20)
    (fold,) = speaker_folds({"train": train, "dev": dev, "test": people("c")}, config)
    assert fold.train == tuple(u.id for u in train), "none of it is held out"
    assert len(fold.others) == 10 == len(set(fold.others)) and set(fold.others) <= {u.id for u in dev}
    assert fold.dev == () and {draw.speaker for draw in fold.test} == {"c"}
    with pytest.raises(DataError, match="the train and test"):
        speaker_folds({"train": train, "dev": dev, "test": people("b", "c")}, config)


@pytest.mark.parametrize("ignored", [{"dev_speakers": 2}, {"others": "dev"}])
@pytest.mark.parametrize("hold_out", ["each", "groups"])
def test_development_speakers_that_would_be_ignored_are_refused(hold_out: str, ignored: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"`{hold_out}`, which has no development speakers"):
        ProtocolConfig(hold_out=hold_out, **ignored)  # type: ignore[arg-type]


def test_rotating_never_leaves_a_part_empty_or_a_pool_too_small() -> None:
    config = ProtocolConfig(amounts=(3,), draws=4, rotate=True, hold_out="each")
    assert all(len(d.pool) == 3 and d.test for d in draws_of(people("a")[:4], config, 4))
    with pytest.raises(DataError, match="cannot be divided into 4 parts"):
        draws_of(people("a")[:3], config, 4)
    with pytest.raises(DataError, match="too few to adapt on 4"):
        draws_of(people("a")[:4], replace(config, amounts=(4,)), 4)


@pytest.mark.parametrize("hold_out", ["splits", "each", "groups"])
def test_a_speaker_with_too_few_utterances_is_named_and_the_others_are_adapted_to(hold_out: str) -> None:
    many, few = people("a", "b", "c"), people("d")[:3]
    splits = {"train": many[:30], "test": [*many[30:], *few]} if hold_out == "splits" else {"all": [*many, *few]}
    config = ProtocolConfig(hold_out=hold_out, amounts=(5,), groups=2, dev_speakers=0)  # type: ignore[arg-type]
    if hold_out == "splits":
        splits["dev"], config = people("e"), replace(config, dev_speakers=0)
    with pytest.warns(Remark, match="not adapted to: speaker 'd' has 3 utterances, too few to adapt on 5"):
        folds = speaker_folds(splits, config)
    adapted = {draw.speaker for fold in folds for draw in fold.test}
    assert adapted == ({"b", "c"} if hold_out == "splits" else {"a", "b", "c"})
    assert all("d" not in {draw.speaker for draw in fold.dev} for fold in folds)
    with pytest.raises(DataError, match="speaker 'd' has 3 utterances, too few to adapt on 5"):
        speaker_folds({"train": many, "dev": people("e"), "test": few}, ProtocolConfig(amounts=(5,)))


@pytest.mark.parametrize("hold_out", ["splits", "each", "groups"])
@pytest.mark.parametrize("others", ["source", "target"])
def test_source_utterances_are_some_that_the_model_was_trained_on(hold_out: str, others: str) -> None:
    corpus = people("a", "b", "c", "d")
    splits = {"train": corpus[:90], "test": corpus[90:]} if hold_out == "splits" else {"all": corpus}
    held = 1 if hold_out == "splits" else 0
    config = ProtocolConfig(hold_out=hold_out, others=others, groups=2, dev_speakers=held, source_utterances=25)  # type: ignore[arg-type]
    for fold in speaker_folds(splits, config):
        tested = {name for draw in fold.test + fold.dev for name in draw.pool + draw.test}
        assert len(fold.source) == 25 == len(set(fold.source)) and set(fold.source) <= set(fold.train)
        assert not set(fold.source) & (tested | set(fold.others))
    few = speaker_folds(splits, replace(config, source_utterances=1000))
    assert all(sorted(fold.source) == sorted(fold.train) for fold in few)
    assert all(fold.source == () for fold in speaker_folds(splits, replace(config, source_utterances=0)))


@pytest.mark.parametrize(
    ("splits", "config", "error", "message"),
    [
        ({"train": people("a"), "test": people("a")}, {"dev_speakers": 0}, ConfigError, "development speakers"),
        ({"train": people("a", "b"), "test": people("a", "b")}, {"dev_speakers": 1}, DataError, "the train and test"),
        ({"train": people("a"), "dev": people("b"), "test": people("b")}, {}, DataError, "the dev and test"),
        ({"train": people("a"), "test": people("b")}, {"dev_speakers": 1}, ConfigError, "has 1 training speakers"),
        ({"train": people("a")}, {}, DataError, "no 'test' split"),
        ({"train": people("a")}, {"hold_out": "each"}, DataError, "no 'all' split"),
        ({"all": people("a")}, {"hold_out": "each"}, DataError, "needs at least two"),
    ],
)
def test_impossible_protocols_are_refused(
    splits: dict[str, list[Utterance]], config: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        speaker_folds(splits, ProtocolConfig(**config))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"amounts": (10, 5)}, {"amounts": ()}, {"amounts": (0, 5)}, {"draws": 0}, {"groups": 1},
        {"rotate": True, "draws": 1},
    ],
)  # fmt: skip
def test_senseless_settings_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="`protocol"):
        ProtocolConfig(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("hold_out", ["splits", "each", "groups"])
@pytest.mark.parametrize("others", ["source", "target"])
def test_what_is_judged_on_is_neither_trained_nor_measured_on(hold_out: str, others: str) -> None:
    corpus = people(*(f"p{n}" for n in range(40)), utterances=12)
    splits = {"train": corpus[:-24], "test": corpus[-24:]} if hold_out == "splits" else {"all": corpus}
    held = 2 if hold_out == "splits" else 0
    config = ProtocolConfig(
        hold_out=hold_out, others=others, groups=2, dev_speakers=held, amounts=(5,), draws=1,  # type: ignore[arg-type]
        judged_utterances=20,
    )  # fmt: skip
    for fold in speaker_folds(splits, config):
        tested = {name for draw in fold.test + fold.dev for name in draw.pool + draw.test}
        assert len(fold.judged) == 20 and not set(fold.judged) & {*fold.train, *fold.others, *fold.source, *tested}
        whole = {name.split("-")[0] for name in fold.judged}
        assert not whole & {name.split("-")[0] for name in fold.train}, "speakers of their own"
    plain = replace(config, judged_utterances=0)
    assert all(fold.judged == () for fold in speaker_folds(splits, plain))
    assert {len(f.train) for f in speaker_folds(splits, plain)} != {len(f.train) for f in speaker_folds(splits, config)}


def test_development_speakers_are_judged_on_where_that_is_wanted() -> None:
    corpus = people(*(f"p{n}" for n in range(10)), utterances=12)
    splits = {"train": corpus[:60], "dev": corpus[60:96], "test": corpus[96:]}
    config = ProtocolConfig(amounts=(5,), draws=1, others="target", judged_utterances=30, judged="dev")
    (fold,) = speaker_folds(splits, config)
    assert {name.split("-")[0] for name in fold.judged} == {"p5", "p6", "p7"} and len(fold.judged) == 30
    assert set(fold.train) == {u.id for u in splits["train"]}, "nothing is taken from training"
    with pytest.raises(ConfigError, match="its 12 utterances are too few to judge on; take `judged: train`"):
        speaker_folds({**splits, "dev": splits["dev"][:12]}, config)


def test_nothing_is_both_judged_and_measured_on() -> None:
    with pytest.raises(ConfigError, match="choose by what it is measured on"):
        ProtocolConfig(others="dev", judged="dev", judged_utterances=30)
    with pytest.raises(ConfigError, match="leave out .* `judged: dev`"):
        ProtocolConfig(hold_out="each", judged="dev")
    with pytest.raises(ConfigError, match="`protocol.judged_utterances` is 0"):
        ProtocolConfig(judged="dev")
