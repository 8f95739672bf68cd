"""Settings of the path that cannot be: told of by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from asr_transfer.errors import ConfigError
from asr_transfer.experiments.own_language.config import Language
from asr_transfer.languages.learning_settings import LearningSettings
from data_prep.made_up_languages import MadeUpLanguages
from tests.own_paths import LANGUAGE, path_config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(LANGUAGE, train=("train",)), "'train' must be CORPUS/SPLIT"),
        (lambda: Language("fr", ("fr/train",), ("fr/dev",)), "'fr' has nothing to score on"),
        (lambda: replace(LANGUAGE, new=()), "'fr' has no `new` recordings to find `words` in"),
        (lambda: replace(LANGUAGE, adapted=(7.0,)), "`adapted` names 7 minutes"),
        (lambda: path_config(languages=(LANGUAGE, LANGUAGE)), "no language twice"),
        (lambda: path_config(learn=LearningSettings(way="head")), "`learn.way` is auto here"),
        (lambda: path_config(made_up=MadeUpLanguages(("en", "nl"))), "`made_up.languages` lacks 'fr'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_quick_path_has_one_amount_and_one_seed() -> None:
    language = replace(LANGUAGE, amounts=(1.0, 2.0, 5.0), adapted=(5.0,))
    short = path_config(languages=(language,), seeds=(0, 1, 2)).shortened()
    assert short.languages[0].amounts == (1.0,) and short.seeds == (0,)
    assert short.languages[0].is_adapted(1.0), "it shows every step"
