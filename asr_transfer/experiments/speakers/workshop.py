"""Holds what the processes of an adaptation experiment share: utterances, features, source models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from asr_transfer.config import ModelConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.inputs import Inputs
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.devices import find_device
from asr_transfer.experiments.speakers.config import ExperimentConfig
from asr_transfer.models.kinds import network_inputs


@dataclass(frozen=True)
class Workshop:
    """What a worker process needs to run trials: plain values and paths, nothing heavy."""

    manifests: Mapping[str, str]
    folder: str
    config: ExperimentConfig

    def utterances(self) -> dict[str, Utterance]:
        """Return all utterances by id."""
        return _utterances(tuple(sorted(self.manifests.items())))

    def store(self) -> FeatureStore:
        """Return the features of all utterances at every speed that any stage uses."""
        config = self.config
        trained = config.source.speeds if config.model is None else ()
        speeds = tuple(sorted({1.0, *trained, *config.adapt.speeds, *config.choice.refit_speeds}))
        inputs = _inputs(config.source.model) if config.model is None else loaded(str(config.model)).model.inputs
        return _store(tuple(sorted(self.manifests.items())), inputs, speeds)

    def source(self, fold: str) -> Recogniser:
        """Return a fold's source model, on the device that it is adapted on."""
        recogniser = loaded(str(self.config.model or Path(self.folder) / "models" / fold))
        recogniser.model.to(find_device(self.config.adapt.device))
        return recogniser


@cache
def _utterances(manifests: tuple[tuple[str, str], ...]) -> dict[str, Utterance]:
    return {u.id: u for _, path in manifests for u in read_manifest(path)}


@cache
def _store(manifests: tuple[tuple[str, str], ...], inputs: Inputs, speeds: tuple[float, ...]) -> FeatureStore:
    return build_store(list(_utterances(manifests).values()), inputs, speeds)


@cache
def loaded(folder: str) -> Recogniser:
    """Return a model from its folder, which each process reads once."""
    return Recogniser.load(folder)


@cache
def _inputs(network: ModelConfig) -> Inputs:
    return network_inputs(network)
