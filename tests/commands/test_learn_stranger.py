"""`asr-transfer learn` on a model as another house builds it."""

from __future__ import annotations

from pathlib import Path

import torch

from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from tests.learning import Languages, learn
from tests.models.stranger import Stranger, StrangerConfig
from tests.small import different


def test_a_strangers_model_learns_a_language(languages: Languages, tmp_path: Path) -> None:
    torch.manual_seed(4)
    tokens = Tokens(["a", "b", "c", "d", "e", "f", " "])
    source = Recogniser(Stranger(StrangerConfig(), {"de": len(tokens)}).eval(), tokens, "de", {})
    source.save(tmp_path / "stranger", "A card.", {})
    ran = learn(tmp_path / "stranger", languages.new, tmp_path / "out", "--way", "head", "--steps", 120)
    after = Recogniser.load(ran.out, "mk")
    assert isinstance(after.model, Stranger) and set(after.model.head_names()) == {"de", "mk"}
    before = source.model.state_dict()
    assert not different(before, {name: after.model.state_dict()[name] for name in before}), "the head alone is trained"
    assert ran.record["learning"]["ladder"][0]["error"] < 0.9
