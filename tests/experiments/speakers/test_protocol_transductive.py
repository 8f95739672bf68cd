"""Testing on what is adapted to, which only methods that read no transcripts may."""

from __future__ import annotations

import pytest

from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.speakers.config import ExperimentConfig, MethodGrid
from asr_transfer.experiments.speakers.protocol import ProtocolConfig, draws_of

OWN = [Utterance(f"a-{number}", f"{number}.wav", 1.0, "x", "a", "en") for number in range(9)]


@pytest.mark.parametrize("amount", [4, 9])
def test_each_draw_is_tested_on_what_it_adapts_to(amount: int) -> None:
    draws = draws_of(OWN, ProtocolConfig(amounts=(amount,), transductive=True), 3)
    assert [draw.test for draw in draws] == [draw.pool for draw in draws]
    assert all(len(set(draw.pool)) == amount for draw in draws) and len({draw.pool for draw in draws}) == 3


@pytest.mark.parametrize("change", [{"amounts": (2, 4)}, {"amounts": (4,), "rotate": True}])
def test_another_test_for_every_amount_or_third_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="`protocol.transductive` tests on what is adapted to"):
        ProtocolConfig(transductive=True, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["full", "lhuc+replay", "warp", "auto", "auto-without-source"])
def test_methods_that_read_transcripts_are_refused(name: str) -> None:
    protocol = ProtocolConfig(amounts=(4,), transductive=True)
    with pytest.raises(ConfigError, match="reads transcripts, and `protocol.transductive`"):
        ExperimentConfig(protocol, methods=(MethodGrid(name, (1e-4,)),))
    unread = (MethodGrid("suta"), MethodGrid("pseudo-label+lin", (1e-3,)), MethodGrid("warp-untranscribed"))
    allowed = (MethodGrid("none"), *unread)
    assert ExperimentConfig(protocol, methods=allowed).methods == allowed
