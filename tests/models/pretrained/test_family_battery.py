"""All methods of adaptation on all families of pretrained models, small and of random weights."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.film_summary import FILM
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.methods import METHODS
from asr_transfer.adaptation.own_statistics import ADABN
from asr_transfer.adaptation.profile import Profile, ProfileFacts, save_profile
from asr_transfer.adaptation.settings import AdaptConfig, MethodSettings
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.errors import ConfigError
from asr_transfer.models.adapters import merge_adapters
from asr_transfer.models.contract import SequenceModel
from asr_transfer.training import views
from tests.models.pretrained.converted_folders import write_speechbrain, write_torchaudio
from tests.models.pretrained.ctc_folders import FAMILIES, write
from tests.models.pretrained.published import random_encoder
from tests.models.pretrained.whole_whisper import write_whisper
from tests.small import different, snapshot
from tests.spaces import STARTS, give_space
from tests.tones import Speech, two_speakers

CONFIG = AdaptConfig(
    steps=2,  # in the first of which the one half of LoRA's matrices stands still
    learning_rate=0.01,
    batch_budget=200,
    source_budget=200,
    settings=MethodSettings(rank=2, bottleneck=3, code=4, confidence=0.0),
    suta=SutaConfig(steps=1, learning_rate=0.05),
    precision="fp32",
    device="cpu",
)
LETTERS = "abcdef"
SYMBOLS = ["<pad>", "<unk>", "|", *LETTERS]

_COMPUTE_BY_CTC = ("ewc", "suta", "pseudo-label", "warp", "warp-untranscribed", *STARTS)
ADDED = ("lhuc", "lin", "lora", "residual-adapter", "speaker-code")
REFUSED = {"head": "`head` trains the output layer alone, but that of Whisper has no weights of its own"}
REFUSED |= {name: f"`{name}` needs a model with CTC" for name in _COMPUTE_BY_CTC}
"""What a whole Whisper is not adapted by, and the beginning of the sentence that says so."""

HELD = "decoder.embedding."
"""Beginning of the names of what a whole Whisper keeps by every method."""

UNFELT = re.compile(r"k_proj\.bias|running_|num_batches_tracked")
"""Tensors whose gradient is round-off at most, since attention does not feel them, and statistics that are held."""


def _transformers(name: str, folder: Path) -> Recogniser:
    write(folder, name, SYMBOLS, pad_token_id=0, **({"blank_token_id": 0} if name == "omniasr" else {}))
    return Recogniser.load(folder)


def _torchaudio(folder: Path) -> Recogniser:
    write_torchaudio(folder, "layer_norm", LETTERS)
    return Recogniser.load(folder)


def _speechbrain(folder: Path) -> Recogniser:
    write_speechbrain(folder, letters=f"{LETTERS} ")
    return Recogniser.load(folder)


def _encoder(folder: Path) -> Recogniser:
    tokens = Tokens([*LETTERS, " "])
    return Recogniser(random_encoder({"en": len(tokens)}, seed=4), tokens, "en", {})


def _whisper(folder: Path) -> Recogniser:
    write_whisper(folder, 1)
    return Recogniser.load(folder)


OPENED: dict[str, Callable[[Path], Recogniser]] = {
    **{name: functools.partial(_transformers, name) for name in FAMILIES},
    "torchaudio": _torchaudio,
    "speechbrain": _speechbrain,
    "whisper-encoder": _encoder,
    "whisper": _whisper,
}
BANDS = ("lasr", "parakeet", "whisper-encoder")
"""Families that are fed bands in mel, and no waveforms, so that they can be warped."""

CASES = [
    (family, method)
    for family in OPENED
    for method in METHODS
    if not (family == "whisper" and method in REFUSED)
    and (family in BANDS or METHODS[method].role != "inputs")
    and method
    not in (
        FILM,
        ADABN,
        *STARTS[1:],
    )  # one start is like another, `film` needs a model trained for it, and `adabn` one that normalises by statistics
]


class Opened:
    """A family's model, speech for it, and what methods made of it; nothing of it is to be changed."""

    def __init__(self, folder: Path, family: str) -> None:
        self.source = OPENED[family](folder / family)
        give_space(self.source.model)
        speech: Speech = two_speakers(folder / f"{family}-speech", self.source.model.inputs, count=2)
        self.own, self.more = (Spoken(some, speech.store) for some in (speech.own, speech.more[:2]))
        self.done: Callable[[str], Adapted] = functools.cache(self._adapted)

    def _adapted(self, method: str) -> Adapted:
        return adapt(self.source, self.own, method, CONFIG, source_speech=self.more)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Opened]:
    """Return a function from a family's name to its model."""
    folder = tmp_path_factory.mktemp("families")
    return functools.cache(lambda family: Opened(folder, family))


def _trained(source: Recogniser, method: str) -> tuple[str, ...]:
    """Return how the names begin of what a method says that it trains."""
    if method in ADDED:
        return (f"adapters.{method}.",)
    model = source.model
    paths, heads = [block.path for block in model.blocks()], [f"heads.{source.head}"]
    behind = paths.index(model.layers()[0].path) + 1
    chosen = {
        "none": [],
        "suta": [],
        "warp": ["adapters.warp"],
        "warp-untranscribed": ["adapters.warp"],
        **{name: ["adapters.lhuc"] for name in STARTS},
        "head": heads,
        "front-end": [block.path for block in model.front_end()],
        "first-layers": paths[:behind],
        "last-layers": [*paths[behind:], *heads],
    }
    return tuple(f"{path}." for path in chosen.get(method, [*paths, *heads]))


@pytest.mark.parametrize(("family", "method"), CASES)
def test_a_method_trains_exactly_what_it_says_and_what_it_made_is_kept(
    family: str, method: str, opened: Callable[[str], Opened], tmp_path: Path
) -> None:
    case = opened(family)
    model, adapted = case.source.model, case.done(method)
    before, after = snapshot(model), snapshot(adapted.recogniser.model)
    fixed = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    trained = {
        name for name in after if name.startswith(_trained(case.source, method)) and not name.startswith(HELD)
    } - fixed
    moved = {name for name in after if name not in before or not torch.equal(after[name], before[name])}
    assert not moved - trained
    assert not [name for name in trained - moved if not UNFELT.search(name)]
    chosen = {name for name in after if name == "adapters.warp.factor" or method in STARTS}
    assert not moved & adapted.plan.frozen - chosen, "which is chosen, and then held"
    folder = save_profile(tmp_path / "profile", model, adapted.recogniser.model, ProfileFacts(method, 2, 1.0))
    with Profile.load(folder).applied(model) as again:
        assert not different(snapshot(again), after)
    assert not different(snapshot(model), before), "off again, it is the source bit for bit"
    adapted.recogniser.save(tmp_path / "model", "", {})
    loaded = Recogniser.load(tmp_path / "model")
    assert not different(snapshot(loaded.model), after) and loaded.test_time == adapted.recogniser.test_time
    if method in ("full", "lora"):
        assert loaded.listen(case.own) == adapted.recogniser.listen(case.own)


@pytest.mark.parametrize("method", REFUSED)
def test_what_a_whole_whisper_is_not_adapted_by_is_refused_in_a_sentence(
    method: str, opened: Callable[[str], Opened]
) -> None:
    before = snapshot(opened("whisper").source.model)
    with pytest.raises(ConfigError, match=f"^{REFUSED[method]}"):
        opened("whisper").done(method)
    assert not different(snapshot(opened("whisper").source.model), before)


@pytest.mark.parametrize("family", ["wav2vec2", "torchaudio"])
def test_waveforms_have_no_bands_to_warp(family: str, opened: Callable[[str], Opened]) -> None:
    before = snapshot(opened(family).source.model)
    with pytest.raises(ConfigError, match=r"^`warp` moves bands in mel, which inputs of the kind .*, not waveform as"):
        opened(family).done("warp+lhuc")
    assert not different(snapshot(opened(family).source.model), before)


@pytest.mark.parametrize("family", OPENED)
def test_low_rank_additions_reach_every_matrix_that_runs_and_are_merged(
    family: str, opened: Callable[[str], Opened], tmp_path: Path
) -> None:
    """A layer that reads weights without calling their module would leave them untrained, unnoticed."""
    case, apart = opened(family), opened(family).done("lora").recogniser
    still = [name for name, value in apart.model.named_parameters() if name.endswith(".B") and not value.any()]
    assert still == []
    apart.save(tmp_path / "model", "", {})
    merged = Recogniser.load(tmp_path / "model")
    merge_adapters(merged.model)
    assert snapshot(merged.model).keys() == snapshot(case.source.model).keys()
    if isinstance(apart.model, SequenceModel):
        assert merged.listen(case.own) == apart.listen(case.own)
        return
    for one, two in zip(merged.posteriors(case.own), apart.posteriors(case.own), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm", "parakeet", "whisper-encoder"])
@pytest.mark.parametrize("method", ["head", "last-layers"])
def test_frozen_blocks_run_once_and_change_nothing(
    family: str, method: str, opened: Callable[[str], Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "IN_HALF", False)
    source, own = opened(family).source, opened(family).own
    model = source.model
    model.eval()  # dropout is off in stored blocks
    once, anew = (
        adapt(source, own, method, replace(CONFIG, batch_budget=1000), shared=Shared(source, own.store, once=keeps))
        for keeps in (True, False)
    )
    frozen = len(model.blocks()) if method == "head" else model.blocks().index(model.layers()[0]) + 1
    assert (once.depth, anew.depth) == (frozen, 0)
    assert any(not torch.equal(once.start[tensor], once.end[tensor]) for tensor in once.start)
    if family != "whisper-encoder":  # whose layers on top have dropout
        felt = [tensor for tensor in anew.end if not UNFELT.search(tensor)]
        start, first, second = (
            torch.cat([values[tensor].flatten() for tensor in felt]) for values in (anew.start, once.end, anew.end)
        )
        # By how far the weights moved: where a gradient is all but nothing, the optimiser makes much of its rounding.
        assert (first - second).norm() <= 0.02 * (second - start).norm()
