"""Phones from attributes: unseen ones are scored, equal signatures refused; allophones are a maximum and no more."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.attributes import Allophones, AllophoneTable, AttributeLayer, Inventory, PhoneModel
from asr_transfer.models.kinds import build, describe
from tests.small import MELS

FEATURES = ("voiced", "lips", "tongue", "nasal")
CONSONANTS = {"p": "-+--", "b": "++--", "t": "--+-", "d": "+-+-", "m": "++0+", "n": "+-++", "k": "----", "ɡ": "+---"}
VALUE = {"+": 1, "-": -1, "0": 0}


def _inventory(phones: Mapping[str, str] = CONSONANTS) -> Inventory:
    return Inventory.of(list(phones), FEATURES, [[VALUE[sign] for sign in row] for row in phones.values()])


def _model(heads: Mapping[str, AllophoneTable | None], inventory: Inventory | None = None, seed: int = 0) -> PhoneModel:
    torch.manual_seed(seed)
    config = ModelConfig("tdnn", 1, dim=8, channels=8, strides=(2, 1), dropout=0.0, features=FeatureConfig(mels=MELS))
    return PhoneModel(config, inventory or _inventory(), heads)


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    log_probs = logits.log_softmax(-1).transpose(0, 1)
    frames = torch.full((len(logits),), logits.shape[1])
    sizes = torch.full((len(logits),), targets.shape[1])
    return nn.functional.ctc_loss(log_probs, targets, frames, sizes)


def test_the_layer_is_the_product_of_attributes_and_signatures() -> None:
    torch.manual_seed(0)
    layer = AttributeLayer(6, _inventory()).double()
    hidden = torch.randn(2, 5, 6, dtype=torch.float64)
    attributes = layer.attributes(hidden)
    size = sum(sum(sign != "0" for sign in row) for row in CONSONANTS.values()) / len(CONSONANTS)
    wanted = torch.stack(
        [sum(VALUE[sign] * attributes[..., n] for n, sign in enumerate(row)) for row in CONSONANTS.values()], dim=-1
    )
    logits = layer(hidden)
    assert logits.shape == (2, 5, 9) and layer.out_features == 9
    assert torch.allclose(logits[..., 1:], wanted / size**0.5, atol=1e-6)
    assert torch.equal(logits[..., 0], layer.output(hidden)[..., 0])


def test_one_attribute_per_phone_is_a_linear_layer() -> None:
    torch.manual_seed(0)
    names = tuple("abc")
    layer = AttributeLayer(6, Inventory.of(names, names, torch.eye(3).tolist())).double()
    hidden = torch.randn(2, 5, 6, dtype=torch.float64)
    assert torch.equal(layer(hidden), layer.output(hidden))


def test_an_unseen_phone_is_scored_by_its_features() -> None:
    """Toy speech in which each attribute is a direction: every phone in turn is kept from training."""

    def heard(inventory: Inventory, unseen: int) -> float:
        torch.manual_seed(unseen)
        signatures = torch.tensor(_inventory().signatures, dtype=torch.float32)
        voices = torch.randn(len(FEATURES), 12)
        labels = torch.arange(len(CONSONANTS)).repeat(40)
        hidden = signatures[labels] @ voices + 0.7 * torch.randn(len(labels), 12)
        layer = AttributeLayer(12, inventory)
        known = labels != unseen
        for _ in range(30):
            logits = layer(hidden[known])
            logits[:, 1 + unseen] = -torch.inf  # training knows nothing of the phone
            loss = nn.functional.cross_entropy(logits, 1 + labels[known])
            for weights, slope in zip(
                layer.parameters(), torch.autograd.grad(loss, list(layer.parameters())), strict=True
            ):
                weights.data -= 0.3 * slope
        best = layer(hidden[~known])[:, 1:].argmax(-1)
        return float((best == unseen).float().mean())

    names = tuple(CONSONANTS)
    free = Inventory.of(names, names, torch.eye(len(names)).tolist())
    by_features = [heard(_inventory(), n) for n in range(len(names))]
    by_itself = [heard(free, n) for n in range(len(names))]
    chance = 1 / len(names)
    # Means over the eight phones; measured 0.88 and 0.01.
    assert sum(by_features) / len(names) > 4 * chance
    assert sum(by_itself) / len(names) < chance


def test_identical_allophones_are_plain_ctc() -> None:
    model = _model({"en": None}).double().eval()
    hidden, _ = model(torch.randn(2, 20, MELS, dtype=torch.float64), torch.tensor([20, 20]))
    targets = torch.tensor([[1, 2, 3], [4, 4, 8]])
    plain, layered = model.phones(hidden), model.head("en")(hidden)
    assert torch.equal(plain, layered) and model.head("en").out_features == 9
    gradients = []
    for logits in (plain, layered):
        loss = _loss(logits, targets)
        gradients.append(torch.autograd.grad(loss, list(model.phones.parameters()), retain_graph=True))
        assert loss.item() == pytest.approx(_loss(plain, targets).item(), abs=1e-12)
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_a_phoneme_is_the_best_of_its_allophones() -> None:
    table = {"T": ["t", "d"], "K": ["k"], "N": ["n", "m", "ɡ"]}
    layer = Allophones(table, list(CONSONANTS))
    logits = torch.randn(3, 7, 9, dtype=torch.float64, requires_grad=True)
    heard = layer(logits)
    place = {phone: n for n, phone in enumerate(CONSONANTS, start=1)}
    assert torch.equal(heard[..., 0], logits[..., 0]) and layer.out_features == 4
    for n, phones in enumerate(table.values(), start=1):
        assert torch.equal(heard[..., n], torch.stack([logits[..., place[p]] for p in phones]).amax(0))
    # A phoneme's gradient goes to the allophone that won, undivided.
    (gradient,) = torch.autograd.grad(heard.sum(), logits)
    assert set(gradient.unique().tolist()) == {0.0, 1.0} and gradient.sum() == heard.numel()
    assert not list(layer.parameters())


def test_one_language_trains_what_the_other_hears() -> None:
    model = _model({"en": {phone: [phone] for phone in "ptkbd"}, "xx": {phone: [phone] for phone in "mnɡ"}})
    hidden, _ = model(torch.randn(2, 20, MELS), torch.tensor([20, 20]))
    before = model.head("xx")(hidden)
    _loss(model.head("en")(hidden), torch.tensor([[1, 2], [3, 4]])).backward()
    gradient = model.phones.output.weight.grad  # type: ignore[union-attr]
    assert isinstance(gradient, torch.Tensor) and bool(gradient.abs().sum(1).gt(0).all())
    assert before.shape[-1] == 4
    assert not [name for name, _ in model.named_parameters() if name.startswith("heads.")]
    assert [name for name, _ in model.head("en").named_parameters()] == []


def test_new_languages_and_phones_need_no_training() -> None:
    model = _model({"en": {phone: [phone] for phone in "ptk"}}).eval()
    wider = model.extended(_inventory({**CONSONANTS, "ŋ": "+--+"}))
    wider.add_head("xx", {"ŋ": ["ŋ"], "G": ["ɡ", "k"]})
    inputs, lengths = torch.randn(2, 20, MELS), torch.tensor([20, 14])
    hidden, _ = model(inputs, lengths)
    again, _ = wider(inputs, lengths)
    assert torch.equal(hidden, again)
    assert wider.head("xx")(again).shape == (2, 10, 3)
    # The average number of attributes that apply scales all phones alike.
    ratio = wider.head("en")(again)[..., 1:] / model.head("en")(hidden)[..., 1:]
    assert torch.allclose(ratio, ratio.flatten()[0].expand_as(ratio), atol=1e-4)
    assert torch.equal(model.head("en")(hidden)[..., 0], wider.head("en")(again)[..., 0])


@pytest.mark.parametrize("inventory", [_inventory(), Inventory(("p", "no", "1"))])
def test_what_is_described_is_built_again(tmp_path: Path, inventory: Inventory) -> None:
    first, second, *_ = inventory.phones
    model = _model({"en": None, "xx": {"y": [second, first], "2": [second]}}, inventory).eval()
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(describe(model), sort_keys=False), encoding="utf-8")
    again = build(yaml.safe_load(file.read_text(encoding="utf-8")), "file").eval()
    assert isinstance(again, PhoneModel)
    assert describe(again) == describe(model) and again.inventory == inventory
    assert again.state_dict().keys() == model.state_dict().keys()
    again.load_state_dict(model.state_dict())
    inputs, lengths = torch.randn(2, 20, MELS), torch.tensor([20, 14])
    for head in ("en", "xx"):
        assert torch.equal(model.head(head)(model(inputs, lengths)[0]), again.head(head)(again(inputs, lengths)[0]))
        assert again.heads[head].out_features == model.head(head).out_features


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": CONSONANTS["k"]}, "the phones 'k' and 'q' have the same signature"),
        ({"q": "+-"}, "the signature of the phone 'q' must have a value -1, 0 or 1 for each of the 4 features"),
        ({"q": "0000"}, "and not only zeros"),
    ],
)
def test_signatures_that_tell_nothing_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _inventory({**CONSONANTS, **changes})
    assert message in str(caught.value)


def test_inventories_and_tables_that_do_not_fit_are_refused() -> None:
    for make, message in (
        (lambda: Inventory(()), "at least one phone"),
        (lambda: Inventory(("a", "a")), "'a' stands twice"),
        (lambda: Inventory(("a",), (), ((1,),)), "no names of their features"),
        (lambda: Inventory(("a", "b"), ("x",), ((1,),)), "2 phones but 1 signatures"),
        (lambda: AttributeLayer(3, Inventory(("a",))), "need an inventory with signatures"),
        (lambda: Allophones({"T": []}, ["t"]), "'T' has no allophones"),
        (lambda: Allophones({"T": ["d"]}, ["t"]), "'T' has the allophone 'd', which the inventory lacks."),
        (lambda: Allophones({"T": ["t", "d"], "D": ["d", "t"]}, ["t", "d"]), "'T' and 'D' have the same allophones"),
        (lambda: Allophones({}, ["t"]), "at least one phoneme"),
        (lambda: _model({"en": None}).extended(Inventory(("p",))), "only an inventory with the same attributes"),
        (lambda: _model({"en": None}).extended(_inventory({"p": "-+--"})), "which the inventory lacks"),
    ):
        with pytest.raises(ConfigError) as caught:
            make()
        assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="cannot be called 'e.n'"):
        _model({"en": None}).add_head("e.n")
    with pytest.raises(ModelError, match="no head 'fr'"):
        _model({"en": None}).head("fr")


@pytest.mark.skipif(importlib.util.find_spec("panphon") is None, reason="panphon is not installed")
def test_panphons_signatures_serve_several_languages_at_once() -> None:
    from asr_transfer.data.notations import ARPABET, CMUDICT, FINALS, INITIALS
    from asr_transfer.data.phones import feature_table, signatures

    rows = itertools.chain((ARPABET[symbol] for symbol in CMUDICT), INITIALS.values(), FINALS.values())
    phones = list(dict.fromkeys(phone for row in rows for phone in row))
    inventory = Inventory.of(phones, feature_table().names, signatures(phones))
    assert len(inventory.phones) > 50 and Inventory.from_plain(inventory.plain(), "here") == inventory
