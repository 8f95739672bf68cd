"""A model's or profile's settings that somebody edited by hand: each is refused by file and field, or does no harm."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from asr_transfer import audio
from asr_transfer.adaptation.profile import Profile, ProfileFacts, save_profile
from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.folder import OFFSETS
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.errors import AsrTransferError, ModelError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import AdapterSpec, add_adapter
from asr_transfer.models.attributes import Inventory, PhoneModel
from asr_transfer.models.progressive import ProgressiveModel
from asr_transfer.models.shared_private import SharedPrivateModel
from tests.small import small_model
from tests.tones import speak

WRONG = ("x", 7, -1, 10**30, 0.5, math.nan, True, None, [], ["a"], {}, {"a": 1}, {1: 2})
TOKENS = Tokens(["a", "b"], "characters")
SIZES = ModelConfig("tdnn", layers=1, dim=4, channels=4, strides=(2, 2), features=FeatureConfig(mels=8))


def _models() -> Iterator[tuple[str, AcousticModel]]:
    plain = AcousticModel(SIZES, {"en": 3})
    add_adapter(plain, AdapterSpec("lora", 2))
    yield "plain", plain
    yield "private", SharedPrivateModel(SIZES, {"en": 3})
    yield "progressive", ProgressiveModel(AcousticModel(SIZES, {"de": 3}), SIZES, {"en": 3}, rank=2)
    inventory = Inventory(("a", "b"), ("high", "low"), ((1, 0), (0, 1)))
    yield "phones", PhoneModel(SIZES, inventory, {"en": None})


def _places(plain: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(plain, dict | list):
        for key in plain if isinstance(plain, dict) else range(len(plain)):
            yield from _places(plain[key], (*path, key))


def _changed(plain: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(plain)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize(("name", "model"), _models(), ids=lambda part: part if isinstance(part, str) else "")
def test_every_field_of_a_model_may_hold_anything(name: str, model: AcousticModel, tmp_path: Path) -> None:
    others = {"de": TOKENS} if name == "progressive" else {}
    offsets = dict.fromkeys(("en", *others), 0.5)
    folder = tmp_path / "model"
    Recogniser(model.eval(), TOKENS, "en", {"trained_on": "x"}, SutaConfig(1), None, others, offsets=offsets).save(
        folder, "card", {"trained_on": "x"}
    )
    file = folder / "config.yaml"
    plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    refused = 0
    for number, path in enumerate(_places(plain)):
        for value in WRONG[number % 3 :: 3]:
            file.write_text(yaml.safe_dump(_changed(plain, path, value)), encoding="utf-8")
            try:
                Recogniser.load(folder, "en")
            except AsrTransferError as error:
                assert isinstance(error, ModelError), (path, value, error)
                assert str(folder) in str(error) and "\n" not in str(error), (path, value, error)
                refused += 1
    assert refused > 60


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    Recogniser(AcousticModel(SIZES, {"en": 3}).eval(), TOKENS, "en", {}).save(folder, "card", {})
    file = folder / "config.yaml"
    plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    for path, value, message in (
        (("origin",), "made by me", "`origin` must be a mapping, got 'made by me'"),
        (("origin",), {"test_time": "often"}, "`origin.test_time`: must be a mapping of fields, got 'often'"),
        (("origin",), {"test_time": {"steps": "5"}}, "`steps` must be a whole number, got '5'"),
        (("origin",), {OFFSETS: {"en": "0.5"}}, f"`{OFFSETS}` must have a number for each of en"),
        (("model", "features", "window_ms"), "25", "`model.features.window_ms` must be a number, got '25'"),
        (("model", "features", "window_ms"), 0, "`features.window_ms` must be from 1 to 1000 milliseconds"),
        (("model", "features", "normalisation"), "utterence", "Did you mean 'utterance'?"),
        (("model", "strides"), [2], "`model.strides` must be a list of 2, got [2]"),
        (("model", "encoder"), ["tdnn"], "`model.encoder` must be one of bilstm, tdnn, conformer"),
        (("model", "layers"), True, "`model.layers` must be a whole number, got True"),
        (("heads",), ["en"], "`heads` must be a mapping, got ['en']"),
        (("heads",), {False: 3}, "a name in `heads` must be a text, got False; put it in quotes"),
        (("heads", "en"), "3", "`heads.en` must be a whole number, got '3'"),
    ):
        file.write_text(yaml.safe_dump(_changed(plain, path, value)), encoding="utf-8")
        with pytest.raises(ModelError) as caught:
            Recogniser.load(folder)
        assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)


def test_whole_numbers_serve_where_any_number_does(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    Recogniser(AcousticModel(SIZES, {"en": 3}).eval(), TOKENS, "en", {}).save(folder, "card", {})
    file = folder / "config.yaml"
    file.write_text(file.read_text().replace("window_ms: 25.0", "window_ms: 25"), encoding="utf-8")
    recogniser = Recogniser.load(folder)
    assert recogniser.model.config.features == SIZES.features
    assert isinstance(recogniser.model.config.features.window_ms, float), "the cache's keys tell 25 from 25.0"
    sound = tmp_path / "a.wav"
    import soundfile

    soundfile.write(sound, speak("abba", 1.0, 1), audio.SAMPLE_RATE)
    assert len(recogniser.transcribe([sound])) == 1


def test_every_field_of_a_profile_may_hold_anything(tmp_path: Path) -> None:
    base, adapted = small_model(1), small_model(1)
    add_adapter(adapted, AdapterSpec("lora", 2))
    facts = ProfileFacts("lora", 3, 4.5, origin={"a": 1}, test_time=SutaConfig(1))
    folder = save_profile(tmp_path / "profile", base, adapted, facts)
    file = folder / "profile.yaml"
    plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    refused = 0
    for path in _places(plain):
        for value in WRONG:
            file.write_text(yaml.safe_dump(_changed(plain, path, value)), encoding="utf-8")
            try:
                Profile.load(folder).describe()
            except AsrTransferError as error:
                assert isinstance(error, ModelError), (path, value, error)
                assert str(folder) in str(error) and "\n" not in str(error), (path, value, error)
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("data", [b"caf\xe9: 1\n", b"\xff\xfea\0", b"a: \0\n", b"a: 2001-99-99\n", b"? {a: b}\n: c\n"])
def test_files_that_are_no_yaml_in_utf8_are_refused(data: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    Recogniser(AcousticModel(SIZES, {"en": 3}).eval(), TOKENS, "en", {}).save(folder, "card", {})
    (folder / "config.yaml").write_bytes(data)
    with pytest.raises(ModelError, match=r"config\.yaml"):
        Recogniser.load(folder)
