"""Defines the adaptation methods by name. A method is a transfer plan plus objectives; nothing here touches the
trainer.

Methods combine with `+`: `first-layers+kld` trains the first layers and holds the outputs. What each adds to plain
fine-tuning is in `ingredients`; `built_method` makes one plan of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from asr_transfer.adaptation import ingredients
from asr_transfer.adaptation.film_summary import FILM, require_modulation
from asr_transfer.adaptation.ingredients import Ingredients
from asr_transfer.adaptation.own_statistics import ADABN, require_statistics
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.adaptation.speaker_weights import EIGEN, MEAN, MIXTURE, NEAREST, UNREAD, require_space
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.models.adapters.codes import codes_of
from asr_transfer.models.contract import Model, SequenceModel, SpeechModel, require_ctc

Role = Literal["nothing", "layers", "added", "held", "data", "inputs", "statistics", "start", "test-time"]
"""What a method decides: which layers are trained, what is added and trained alone, what is held, what is learnt, what
the model is fed, what it normalises by, and the profile from which all else goes on."""

CHOSEN = ("inputs", "statistics", "start")
"""Roles of what is no weight to train: `adapt` chooses it before."""


@dataclass(frozen=True)
class Method:
    """A named way to adapt.

    Attributes:
        name: name that `--method` takes.
        summary: description in one line, with its paper.
        role: side of the adaptation that it decides; methods of different roles combine.
        learning_rate: default learning rate, chosen on development speakers; 0 where it trains nothing.
        build: function that makes its ingredients for a source model.
        needs_source: whether it works only with utterances of the source domain.
        uses_source: whether it reads them at all, where there are some.
        needs_ctc: whether it computes with CTC's alignments, so that models of sequence to sequence have to do without.
        reads: whether it reads the transcripts of what it adapts to.
    """

    name: str
    summary: str
    role: Role
    learning_rate: float
    build: Callable[[Model, MethodSettings], Ingredients]
    needs_source: bool = False
    uses_source: bool = False
    needs_ctc: bool = False
    reads: bool = True


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("none", "leave the source model as it is", "nothing", 0.0, ingredients.everything),
        Method("full", "train all layers from the source model's weights", "layers", 2e-4, ingredients.everything),
        Method(
            "front-end",
            "train the convolutions alone: vocal tract and microphone; the fewest weights that hear everything",
            "layers",
            3e-4,
            ingredients.front_end,
        ),
        Method(
            "first-layers",
            "copy and freeze the last layers, train the first: articulation to words is the speakers' own in common",
            "layers",
            3e-4,
            ingredients.first_layers,
        ),
        Method(
            "last-layers",
            "copy and freeze the first layers, train the last, as is usual for images",
            "layers",
            3e-4,
            ingredients.last_layers,
        ),
        Method("head", "train the output layer alone", "layers", 1e-3, ingredients.head),
        Method(
            "kld",
            "hold the outputs: KL divergence to the source model's posteriors (Yu et al. 2013)",
            "held",
            1e-4,
            ingredients.kld,
        ),
        Method(
            "l2sp",
            "hold the weights: squared distance to the source's (Li et al. 2018)",
            "held",
            3e-4,
            ingredients.l2sp,
        ),
        Method(
            "ewc",
            "hold the weights by their Fisher information on source utterances (Kirkpatrick et al. 2017)",
            "held",
            1e-4,
            ingredients.ewc,
            uses_source=True,
            needs_ctc=True,
        ),
        Method(
            "lhuc",
            "scale each hidden unit (Swietojanski and Renals 2014)",
            "added",
            3e-2,
            ingredients.added("lhuc", lambda settings: 0),
        ),
        Method(
            "lin",
            "a linear layer before the model, fMLLR's discriminative cousin (Neto et al. 1995)",
            "added",
            1e-3,
            ingredients.added("lin", lambda settings: 0),
        ),
        Method(
            "lora",
            "add matrices of low rank to the weights (Hu et al. 2021)",
            "added",
            1e-3,
            ingredients.added("lora", lambda settings: settings.rank),
        ),
        Method(
            "residual-adapter",
            "add a bottleneck after each layer (Houlsby et al. 2019)",
            "added",
            1e-3,
            ingredients.added("residual-adapter", lambda settings: settings.bottleneck),
        ),
        Method(
            "speaker-code",
            "add a vector that shifts every layer (Abdel-Hamid and Jiang 2013)",
            "added",
            1e-2,
            ingredients.speaker_code,
        ),
        Method("replay", "mix source utterances into every batch", "data", 1e-4, ingredients.replay, True, True),
        Method(
            "pseudo-label",
            "learn from what the source model hears where it is sure; transcripts are not read",
            "data",
            1e-4,
            ingredients.everything,
            needs_ctc=True,
            reads=False,
        ),
        Method(
            "warp",
            "warp the frequencies by one factor, chosen by the source model's own evidence (Lee and Rose 1996)",
            "inputs",
            0.0,
            ingredients.warp,
            needs_ctc=True,
        ),
        Method(
            "warp-untranscribed",
            "`warp`, chosen by how sure the source model is; transcripts are not read",
            "inputs",
            0.0,
            ingredients.warp,
            needs_ctc=True,
            reads=False,
        ),
        Method(
            ADABN,
            "normalise by statistics of the recordings, as far as these differ (Li et al. 2016); transcripts are not "
            "read",
            "statistics",
            0.0,
            ingredients.everything,
            reads=False,
        ),
        Method(
            EIGEN,
            "describe the speaker by a few weights of the training speakers' main directions (MAP; Kuhn et al. 2000)",
            "start",
            0.0,
            ingredients.start,
            needs_ctc=True,
        ),
        Method(
            UNREAD,
            "`eigen-profile` by what the source model recognises; transcripts are not read",
            "start",
            0.0,
            ingredients.start,
            needs_ctc=True,
            reads=False,
        ),
        Method(
            MEAN,
            "the mean of the training speakers' profiles; no recording is read",
            "start",
            0.0,
            ingredients.start,
            needs_ctc=True,
            reads=False,
        ),
        Method(
            NEAREST,
            "the profile of the training speaker under which the recordings are likeliest",
            "start",
            0.0,
            ingredients.start,
            needs_ctc=True,
        ),
        Method(
            MIXTURE,
            "the mean of the nearest training speakers' profiles, each as likely as the recordings are under it",
            "start",
            0.0,
            ingredients.start,
            needs_ctc=True,
        ),
        Method(
            FILM,
            "scale and shift every layer by a summary of how the speaker sounds, on a model that was trained so (FiLM; "
            "Perez et al. 2018); transcripts are not read",
            "start",
            0.0,
            ingredients.film,
            reads=False,
        ),
        Method(
            "suta",
            "adapt to each utterance alone while recognising it (Lin et al. 2022); nothing is trained before",
            "test-time",
            0.0,
            ingredients.everything,
            needs_ctc=True,
            reads=False,
        ),
    )
}


def find_methods(name: str) -> list[Method]:
    """Return the methods that `name`, such as `full` or `first-layers+kld`, combines.

    Raises:
        ConfigError: one of them is unknown, named twice, or does not go with another.
    """
    found: list[Method] = []
    for part in name.split("+"):
        if part not in METHODS:
            raise ConfigError(f"there is no adaptation method '{part}'.{nearest_hint(part, METHODS)}")
        if METHODS[part] in found:
            raise ConfigError(f"the method '{part}' stands twice in '{name}'; name it once.")
        found.append(METHODS[part])
    alone = [method for method in found if method.role in ("nothing", "test-time")]
    if alone and len(found) > 1:
        raise ConfigError(f"'{name}': `{alone[0].name}` trains nothing, so nothing combines with it; name it alone.")
    for role in CHOSEN:
        same = [method.name for method in found if method.role == role]
        if len(same) > 1:
            raise ConfigError(f"'{name}': `{same[0]}` and `{same[1]}` are two ways to one; name one of them.")
    reading = [method.name for method in found if method.uses_source and method.role == "held"]
    if reading and any(method.role == "statistics" for method in found):
        raise ConfigError(
            f"'{name}': `{ADABN}` normalises by this speaker's recordings, by which the source utterances of "
            f"`{reading[0]}` would be heard wrongly; name one of them."
        )
    layers = [method for method in found if method.role == "layers"]
    added = [method for method in found if method.role == "added"]
    if len(layers) > 1 or (layers and added):
        first, second = (layers + added)[:2]
        raise ConfigError(f"'{name}': `{first.name}` and `{second.name}` both say what is trained; name one of them.")
    return found


def require_fitting(name: str, model: SpeechModel) -> None:
    """Refuse a method or combination that computes with CTC, of a model that is trained by another loss.

    Of those, models of sequence to sequence alone can be trained.

    Raises:
        ConfigError: it does, or it is unknown.
            Or it goes by statistics that the model does not keep.
        ModelError: it goes by profiles of training speakers or by a summary, for which the model was not made.
    """
    for method in find_methods(name):
        if method.needs_ctc or (method.role != "nothing" and not isinstance(model, SequenceModel)):
            require_ctc(model, f"`{method.name}`")
        if method.name == ADABN:
            require_statistics(model)
        elif method.name == FILM:
            require_modulation(model)
        elif method.role == "start":
            require_space(model, method.name)


def starting(name: str) -> str | None:
    """Return the method of a combination that gives a profile which nothing trains: of a few numbers on the speaker."""
    return next((method.name for method in find_methods(name) if method.role == "start"), None)


def needs_source(name: str) -> bool:
    """Return whether a method or combination reads utterances of the source domain."""
    return any(method.needs_source for method in find_methods(name))


def reads_transcripts(name: str) -> bool:
    """Return whether a method or combination reads the transcripts of what it adapts to.

    Where `pseudo-label` makes the texts, other methods learn from those. A warp or a start that reads none lets others
    do so.
    """
    found = find_methods(name)
    if any(not method.reads and method.role not in CHOSEN for method in found):
        return False
    return any(method.reads for method in found)


def uses_source(name: str) -> bool:
    """Return whether a method or combination reads utterances of the source domain where there are some."""
    return any(method.uses_source for method in find_methods(name))


FASTER_WITH_SOURCE = 2.0
"""With source utterances in every batch a model may move faster: they hold what it knows. Published weights may not:
twice their rate made 751 errors in 3,883 characters of three development speakers where the rate itself made 723."""

FASTER_WITH_CODES = 10.0
"""Codes that a model was trained with have numbers of the size of 1, which a new speaker's code has to reach."""


def default_learning_rate(name: str, model: Model | None = None) -> float:
    """Return the default of the method that says what is trained; without one, the smallest of the others.

    Args:
        name: name of the method or combination.
        model: model that is to be adapted; None for one made by `train`.
    """
    found = find_methods(name)
    deciding = [method for method in found if method.role in ("layers", "added")]
    deciding = deciding or [method for method in found if method.role not in CHOSEN] or found
    rate = min(method.learning_rate for method in deciding)
    if model is not None and codes_of(model) is not None and [method.name for method in deciding] == ["speaker-code"]:
        rate *= FASTER_WITH_CODES
    if model is not None and model.pace < 1 and not any(method.role == "added" for method in deciding):
        return rate * model.pace
    return rate * FASTER_WITH_SOURCE if needs_source(name) else rate
