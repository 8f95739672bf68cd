"""Fixtures that several test modules share: made-up recordings, and real corpora where a machine has them."""

from __future__ import annotations

import importlib.util
import os

# Before torch is imported: its threads spin, and on shared cores two of them can be slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Trainings that leave the precision open take this one, on every machine; set it to bf16 to try the other.
os.environ.setdefault("ASR_TRANSFER_PRECISION", "fp32")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest
from asr_transfer.data.synthesis import INSTALL
from asr_transfer.decoding.recogniser import Recogniser
from tests import browser, learning, real_runs
from tests.learning import Languages
from tests.tones import TINY, make_corpus, make_languages
from tests.tongues import learn_all

SPEECH_VARIABLE = "ASR_TRANSFER_SPEECH"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs espeak-ng (the marker `voices`) where the extra of that name is not installed."""
    if item.get_closest_marker("voices") and importlib.util.find_spec("espeakng_loader") is None:
        pytest.skip(f"espeak-ng is not installed: {INSTALL}")


@pytest.fixture(scope="session")
def speech_root() -> Path:
    """Return the folder of real corpora; tests that need it skip where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "speech"
    root = Path(os.environ.get(SPEECH_VARIABLE, beside))
    if not root.is_dir():
        pytest.skip(f"no real speech: set {SPEECH_VARIABLE} to the folder of corpora")
    return root


@pytest.fixture(scope="session")
def corpus(speech_root: Path) -> Callable[[str], Path]:
    """Return a function from a corpus's name to its folder, which skips by name where it is absent."""

    def find(name: str) -> Path:
        if not (speech_root / name).is_dir():
            pytest.skip(f"the corpus {name} is absent from the folder that {SPEECH_VARIABLE} names")
        return speech_root / name

    return find


@pytest.fixture
def make_audio() -> Callable[..., Path]:
    """Return a function that writes a noise recording and returns its path."""

    def make(path: Path, seconds: float = 0.5, rate: int = 16_000, channels: int = 1, level: float = 0.1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(path.name)).uniform(-level, level, (round(seconds * rate), channels))
        soundfile.write(path, noise, rate, **_encoding(path))
        return path

    return make


def _encoding(path: Path) -> dict[str, str]:
    special = {".opus": ("OGG", "OPUS"), ".ogg": ("OGG", "VORBIS"), ".sph": ("NIST", "PCM_16")}
    if path.suffix.lower() not in special:
        return {}
    container, subtype = special[path.suffix.lower()]
    if subtype not in soundfile.available_subtypes(container):
        pytest.skip(f"this libsndfile cannot write {subtype}")
    return {"format": container, "subtype": subtype}


@pytest.fixture(scope="session")
def feature_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the features that tests compute out of the user's own cache."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("ASR_TRANSFER_CACHE")
    os.environ["ASR_TRANSFER_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["ASR_TRANSFER_CACHE"]
    else:
        os.environ["ASR_TRANSFER_CACHE"] = before


@pytest.fixture(scope="session")
def tone_corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the manifests of the toy corpus by split."""
    return make_corpus(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="session")
def tone_run(tone_corpus: dict[str, Path], feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a model that the command line trained on the toy corpus."""
    out = tmp_path_factory.mktemp("run") / "si"
    status = main(
        ["train", "--train", str(tone_corpus["train"]), "--dev", str(tone_corpus["dev"]),
         "--test", str(tone_corpus["test"]), "--out", str(out), *TINY]
    )  # fmt: skip
    assert status == 0
    return out


@pytest.fixture(scope="session")
def languages_run(feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a model that the command line trained on two toy languages."""
    made, out = make_languages(tmp_path_factory.mktemp("languages")), tmp_path_factory.mktemp("run") / "languages"
    given = ["--train", str(made["train"]), "--dev", str(made["dev"]), "--out", str(out)]
    assert main(["train", *given, *TINY]) == 0
    return out


@pytest.fixture(scope="session")
def languages(feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Languages:
    """Return a model of two languages of tones, with speech of these and of others."""
    return learning.make_languages(tmp_path_factory.mktemp("languages"))


@pytest.fixture(scope="session")
def an4_runs(
    corpus: Callable[[str], Path], feature_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Return the run folders of two tiny models trained on AN4 and scored on its official test set."""
    return real_runs.an4(corpus("an4"), tmp_path_factory.mktemp("an4"))


@pytest.fixture(scope="session")
def digits_run(corpus: Callable[[str], Path], feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the recipe's run folder on FSDD, with a few steps and draws."""
    return real_runs.digits(corpus("fsdd"), tmp_path_factory.mktemp("digits") / "fsdd")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a browser that all tests share; they skip, saying what is missing, where there is none."""
    if lacking := browser.missing():
        pytest.skip(lacking)
    opened = browser.open_browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.quit()


@pytest.fixture
def visit(driver: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page; afterwards nothing may be in the console and nothing been fetched."""
    opened: list[str] = []

    def go(page: Path, theme: str = "light", **options: Any) -> Any:
        browser.set_media(driver, theme, **options)
        driver.get_log("browser")
        browser.requests(driver)
        opened.append(page.resolve().as_uri())
        driver.get(opened[-1])
        return driver

    yield go
    assert driver.get_log("browser") == []
    asked = [address for address in browser.requests(driver) if not address.startswith("data:")]
    assert opened[-1] in asked, "requests must be seen at all"
    assert set(asked) <= {*opened, "about:blank"}, "the page must fetch nothing but itself"


@pytest.fixture(scope="session")
def tongues(tone_run: Path, tone_corpus: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model of five languages that learnt four of them one after the other."""
    folder = tmp_path_factory.mktemp("tongues") / "model"
    learn_all(Recogniser.load(tone_run), read_manifest(tone_corpus["train"])).save(folder, "# Five languages\n", {})
    return folder
