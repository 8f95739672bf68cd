"""What a speaker's adaptation costs others is measured on all other targets, not on the first of them."""

from __future__ import annotations

from collections import Counter

from asr_transfer.experiments.speakers.protocol import Draw, Fold, ProtocolConfig, others_of


def _fold(others: tuple[str, ...] = ()) -> Fold:
    sizes = {"ann": 60, "bob": 60, "cid": 7, "dot": 60, "eve": 60}
    draws = tuple(
        Draw(speaker, number, (), tuple(f"{speaker}-{number}-{n}" for n in range(size)))
        for speaker, size in sizes.items()
        for number in (0, 1)
    )
    return Fold("si", (), others, draws[8:], draws[:8])


def test_others_are_drawn_from_every_other_target_alike() -> None:
    config = ProtocolConfig(others="target", others_utterances=60)
    found = others_of(_fold(), "bob", config)
    speakers = Counter(name.split("-")[0] for name in found)
    assert speakers == {"ann": 18, "cid": 7, "dot": 18, "eve": 17} and len(set(found)) == 60
    assert all(name.split("-")[1] == "0" for name in found), "of the first draw alone"
    assert found == others_of(_fold(), "bob", config)
    assert set(found) != set(others_of(_fold(), "bob", ProtocolConfig(others="target", others_utterances=60, seed=1)))
    assert set(found[:8]) != {f"{speaker}-0-{n}" for speaker in ("ann", "cid", "dot", "eve") for n in range(2)}


def test_fewer_others_than_are_asked_for_are_all_taken_and_a_folds_own_go_first() -> None:
    config = ProtocolConfig(others="target", others_utterances=1000)
    assert len(set(others_of(_fold(), "cid", config))) == 240
    assert others_of(_fold(("x", "y")), "cid", config) == ("x", "y")
