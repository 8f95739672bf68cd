"""Names of adaptation methods: which exist, which go together, and what a combination adds up to."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.film_summary import FILM
from asr_transfer.adaptation.methods import (
    FASTER_WITH_SOURCE,
    METHODS,
    default_learning_rate,
    find_methods,
    needs_source,
)
from asr_transfer.adaptation.own_statistics import ADABN
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.errors import ConfigError
from tests.small import small_model
from tests.spaces import STARTS


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ful", r"no adaptation method 'ful'\. Did you mean 'full'\?"),
        ("first-layer+kld", r"no adaptation method 'first-layer'\. Did you mean 'first-layers'\?"),
        ("full+repaly", r"no adaptation method 'repaly'\. Did you mean 'replay'\?"),
        ("full+", r"no adaptation method ''\. Known: "),
        ("Lora", r"no adaptation method 'Lora'\. Did you mean 'lora'\?"),
        ("first-layers+last-layers", "`first-layers` and `last-layers` both say what is trained; name one"),
        ("full+lora", "`full` and `lora` both say what is trained; name one"),
        ("lhuc+kld+head", "`head` and `lhuc` both say what is trained; name one"),
        ("none+full", "'none\\+full': `none` trains nothing, so nothing combines with it; name it alone"),
        ("full+none", "`none` trains nothing"),
        ("suta+full", "`suta` trains nothing"),
        ("none+suta", "`none` trains nothing"),
        ("full+full", r"'full' stands twice in 'full\+full'; name it once"),
        ("kld+replay+kld", "'kld' stands twice"),
        ("warp+none", "`none` trains nothing"),
        ("warp+lhuc+warp-untranscribed", "`warp` and `warp-untranscribed` are two ways to one; name one of them"),
        ("adabn+head+ewc", "`adabn` normalises by this speaker's recordings, by which the source utterances of `ewc`"),
        ("eigen-profile+lhuc+mean-profile", "`eigen-profile` and `mean-profile` are two ways to one; name one of them"),
    ],
)
def test_what_does_not_exist_or_go_together_is_refused_in_one_sentence(name: str, message: str) -> None:
    def make(name: str) -> object:
        return build(name, small_model(), MethodSettings())

    for refusing in (find_methods, needs_source, default_learning_rate, make):
        with pytest.raises(ConfigError, match=message) as caught:
            refusing(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("first", "taught"), [(0, ([], [0, 1])), (1, ([0], [1])), (2, (None, []))])
def test_the_number_of_first_layers_moves_the_border(first: int, taught: tuple[Any, Any]) -> None:
    source = small_model()
    for name, layers in zip(("first-layers", "last-layers"), taught, strict=True):
        if layers is None:  # nothing would be left to freeze
            with pytest.raises(ConfigError, match=r"`settings\.first` is 2 but the encoder has 2 layers; leave one"):
                build(name, source, MethodSettings(first=first))
            continue
        model = copy.deepcopy(source)
        build(name, source, MethodSettings(first=first)).plan.apply(model)
        trained = {tensor for tensor, p in model.named_parameters() if p.requires_grad}
        assert [n for n in (0, 1) if f"encoder.layers.{n}.convolution.weight" in trained] == layers
        assert ("frontend.layers.0.convolution.weight" in trained) == (name == "first-layers")
        assert ("heads.main.weight" in trained) == ("encoder.norm.weight" in trained) == (name == "last-layers")
    with pytest.raises(ConfigError, match=r"`settings\.first` is 3 but the encoder has 2 layers; lower it"):
        build("last-layers", source, MethodSettings(first=3))


def test_weights_of_combined_methods_multiply() -> None:
    settings = MethodSettings(rho=0.2, replay=0.25)
    for name, task, replayed in (
        ("full", 1.0, 0.0), ("kld", 0.8, 0.0), ("replay", 0.75, 0.25), ("lora+kld+replay", 0.6, 0.25),
        ("full+l2sp+replay", 0.75, 0.25), ("ewc", 1.0, 0.0),
    ):  # fmt: skip
        recipe = build(name, small_model(), settings)
        assert (recipe.task_weight, recipe.source_weight) == pytest.approx((task, replayed))
        assert needs_source(name) == bool(replayed)
    assert [weight for weight, _ in build("kld", small_model(), settings).objectives] == [0.2]


def test_the_learning_rate_is_that_of_the_method_that_says_what_is_trained() -> None:
    rates = {name: method.learning_rate for name, method in METHODS.items()}
    for name, rate in rates.items():
        assert default_learning_rate(name) == pytest.approx(rate * (FASTER_WITH_SOURCE if name == "replay" else 1))
        assert (rate == 0) == (name in ("none", "suta", "warp", "warp-untranscribed", FILM, ADABN, *STARTS))
    assert len({rates["full"], rates["lora"], rates["lhuc"], rates["l2sp"]}) == 4, "or nothing is told apart"
    for name, wanted in {
        "full+replay": "full", "replay+full": "full", "lora+kld": "lora", "lhuc+l2sp": "lhuc", "lora+lhuc": "lora",
        "first-layers+kld": "first-layers", "full+l2sp+replay": "full", "head+pseudo-label+replay": "head",
        "warp+lhuc": "lhuc", "warp+kld": "kld", "replay+warp-untranscribed": "replay",
        "eigen-profile+lhuc": "lhuc", "warp+mean-profile+kld": "kld", "eigen-profile+replay": "replay",
    }.items():  # fmt: skip
        faster = FASTER_WITH_SOURCE if "replay" in name else 1
        assert default_learning_rate(name) == pytest.approx(rates[wanted] * faster), name
    # None of these says what is trained: the more careful one decides.
    assert default_learning_rate("l2sp+kld") == min(rates["l2sp"], rates["kld"]) < rates["l2sp"]
