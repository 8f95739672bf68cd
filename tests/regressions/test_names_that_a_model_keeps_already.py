"""Recordings may be called like some that a model keeps: of those that it keeps, one that is learnt from, or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.kept_source import Summary
from asr_transfer.languages.learning import _together
from tests.small import MELS
from tests.tones import make_speaker


def test_what_is_kept_of_a_new_language_may_be_drawn_from_recordings_called_like_older_ones(tmp_path: Path) -> None:
    """The new language keeps two of its recordings; a third, which it does not keep, is called like an older one."""
    features = FeatureConfig(mels=MELS)
    older = make_speaker(tmp_path / "older", "anna", 1.0, 3, 1)
    new = [replace(u, language="de") for u in make_speaker(tmp_path / "new", "anna", 1.1, 3, 2)]
    assert {u.id for u in older} == {u.id for u in new}
    stores = [build_store(part, features, cache=tmp_path / f"cache{n}") for n, part in enumerate((older, new))]
    final: Any = SimpleNamespace(model=SimpleNamespace(head_names=lambda: ["en", "de"]))
    both = _together(Summary(older, stores[0]), Summary(new[:2], stores[1]), final)
    assert [u.id for u in both.utterances] == [*(f"source/{u.id}" for u in older), new[0].id, new[1].id]
    for utterance, (store, name) in zip(
        both.utterances, [*((stores[0], u.id) for u in older), *((stores[1], u.id) for u in new[:2])], strict=True
    ):
        heard = both.store.load(both.store.view(utterance.id))
        assert torch.equal(heard, store.load(store.view(name)))
