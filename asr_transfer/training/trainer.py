"""Trains models by a `speechbrain.Brain` that runs streams through them and adds up task losses and objectives.

It knows no method and no speech. Step k is a pure function of the weights, the optimiser's state, the seed and k:
batches, dropout and augmentation are seeded per step, so a run that was killed and resumed ends in the same bits. A
signal to stop (`interruption`) is heeded between two batches: a checkpoint is written there first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import speechbrain as sb
import torch
from torch import nn

from asr_transfer.config import TrainerConfig
from asr_transfer.data.batching import Batch, sequential
from asr_transfer.errors import TrainingError
from asr_transfer.interruption import Stopped, deferring, requested
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.domains import keep_domains
from asr_transfer.progress import Work
from asr_transfer.training import distributed
from asr_transfer.training.checkpoints import AtomicCheckpointer
from asr_transfer.training.conflicts import refuse_conflicts
from asr_transfer.training.forward import run_together
from asr_transfer.training.memory import keep_freed_memory
from asr_transfer.training.objective import Objective, Plan, TrainedObjective, Weight
from asr_transfer.training.optimisation import make_optimizer, scale_at, set_learning_rate
from asr_transfer.training.precision import precise
from asr_transfer.training.progress import Progress
from asr_transfer.training.streams import Mixture, Output, Stream, Task, deal, make_buckets, mean_loss, members
from asr_transfer.training.validation import Tally
from asr_transfer.training.validation import figures as validation_figures


@dataclass(frozen=True)
class Result:
    """What training did.

    Attributes:
        history: one entry per validation: step, train loss and the validation's figures.
        best: the entry whose weights the model now has; None without validation.
        steps: optimiser steps taken.
        skipped: steps left out because of a non-finite loss or gradient.
        cpu_seconds: processor time of this process, over all resumes.
        loading_seconds: the part of it spent on making batches.
        cost: summed costs of the items trained on (frames for speech).
    """

    history: list[dict[str, float]]
    best: dict[str, float] | None
    steps: int
    skipped: int
    cpu_seconds: float
    loading_seconds: float
    cost: int


class Trainer(sb.Brain):
    """Trains a model on streams.

    Args:
        model: `model(inputs, lengths) -> (hidden, lengths)` with `model.head(name)`.
        streams: tasks, mixtures of tasks and unlabelled streams; every step takes a batch of each.
        objectives: (weight or schedule of the weight over progress 0..1, objective).
        plan: plan that is applied once, before anything else.
        config: budget, optimiser, precision, seed.
        validation: tasks and mixtures whose data is read whole at each validation.
        monitor: figure of the validation that is improved: `loss` or one of the metrics', prefixed by the task's name
            when there are several tasks. Of a single mixture, the mean over its tasks has the name without prefix. None
            watches only: nothing is selected, and the model keeps the weights of the last step.
        folder: folder of `checkpoints/`; without it nothing is written and nothing can be resumed.
        log: function that is called with a line at each validation.

    Raises:
        ConfigError: options conflict; all conflicts are named at once.
    """

    def __init__(
        self,
        model: nn.Module,
        streams: Sequence[Stream | Mixture],
        objectives: Sequence[tuple[Weight, Objective]] = (),
        plan: Plan | None = None,
        config: TrainerConfig | None = None,
        validation: Sequence[Task | Mixture] = (),
        monitor: str | None = "loss",
        folder: Path | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.config = config or TrainerConfig()
        self.objectives = list(objectives)
        refuse_conflicts(self.config, streams, self.objectives, validation, monitor)
        self._groups, self._checks, self.monitor = list(streams), list(validation), monitor
        self.streams = {stream.name: stream for group in streams for stream in members(group)}
        self.validation = [task for check in validation for task in members(check) if isinstance(task, Task)]
        torch.set_num_threads(self.config.threads)
        keep_freed_memory()
        self.device = distributed.join(self.config.device)
        self._log = log or (lambda line: None)
        network = model if isinstance(model, SpeechModel) else None
        self.config = precise(self.config, folder, network, self._log)
        model.to(self.device)
        self.applied = plan.apply(model) if plan else None
        flat = [*self.streams.values(), *self.validation]
        keep_domains(model, sorted({stream.domain for stream in flat if stream.domain is not None}))
        for stream in flat:
            if stream.head is not None:
                model.head(stream.head)  # type: ignore[operator]  # raises when there is none
        # Before objectives remember weights or run a teacher: these must be the same in every process.
        distributed.share_weights(model)
        for _, objective in self.objectives:
            objective.setup(model, self.streams)
        self.trained = nn.ModuleList(o for _, o in self.objectives if isinstance(o, TrainedObjective))
        self.progress = Progress()
        checkpointer = None
        if folder is not None:
            kept = {"model": model, "progress": self.progress}
            if len(self.trained):
                kept["objectives"] = self.trained
            checkpointer = AtomicCheckpointer(folder / "checkpoints", recoverables=kept)
        super().__init__(
            modules={"model": model, "objectives": self.trained},
            run_opts={
                "device": self.device,
                "precision": self.config.precision,
                "noprogressbar": True,
                "ckpt_interval_minutes": 0,
                "ckpt_interval_steps": self.config.checkpoint_every,
            },
            checkpointer=checkpointer,
        )
        self.model = model
        self._buckets = {
            group.name: make_buckets(group, self.config.batch_budget, self._seed(index), *distributed.place())
            for index, group in enumerate(self._groups)
        }
        self._metrics: list[Tally] = []
        self._stopping, self._round = 0, (0, 0.0)
        self._work: Work | None = None
        self._loss = torch.zeros(())
        self._validating = False
        self._clock = time.process_time()

    def train(self) -> Result:
        """Train to the end of the budget or until early stopping, from the newest checkpoint if there is one.

        With validation, the model ends with the weights of the best one.

        Raises:
            TrainingError: the loss stays non-finite, or a checkpoint cannot be written.
            Stopped: a signal asked for it; where there is a folder, its newest checkpoint is of the last step.
            ModelError: the checkpoint to resume from is damaged or of another architecture.
        """
        with Work("training", self.config.steps, "step", self._status) as self._work:
            loader = torch.utils.data.DataLoader(_Steps(self), batch_size=None)
            checks = torch.utils.data.DataLoader(_Checks(self), batch_size=None) if self.validation else None
            with deferring():
                self.fit(self._rounds(), loader, checks)
        self._tick()
        if self.progress.best_weights is not None:
            self.model.load_state_dict(self.progress.best_weights)
        self.model.eval()
        p = self.progress
        return Result(p.history, p.best, self.optimizer_step, p.skipped, p.cpu_seconds, p.loading_seconds, p.cost)

    # SpeechBrain's hooks ------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Make the optimiser and load the newest checkpoint."""
        factors = dict(self.applied.learning_rate_factors) if self.applied else {}
        beside = list(self.trained.named_parameters(prefix="objectives"))
        for name, _ in beside:
            factors[name] = cast(TrainedObjective, self.trained[int(name.split(".")[1])]).pace
        self.optimizer = make_optimizer(self.model, self.config, factors, beside)
        self.optimizers_dict = {"optimizer": self.optimizer}
        if self.checkpointer is not None:
            self.checkpointer.add_recoverable("optimizer", self.optimizer)
            if self.checkpointer.recover() is not None and self._work is not None:
                self._work.begin_at(self.optimizer_step)
        self._clock = time.process_time()

    def compute_forward(self, batch: Mapping[str, Batch], stage: sb.Stage) -> dict[str, Output]:
        """Run each stream's batch through the model, with the taps that objectives asked for in training."""
        training = stage == sb.Stage.TRAIN
        streams = self.streams if training else {task.name: task for task in self.validation}
        parts = {name: (streams[name], part.to(self.device)) for name, part in batch.items()}
        objectives = [objective for _, objective in self.objectives] if training else []
        wanted = {name: [tap for o in objectives if name in o.streams for tap in o.taps] for name in parts}
        return run_together(self.model, parts, wanted)

    def compute_objectives(self, predictions: Mapping[str, Output], batch: Any, stage: sb.Stage) -> torch.Tensor:
        """Add up weight × mean loss of the tasks and, in training, weight × objective."""
        training = stage == sb.Stage.TRAIN
        total = torch.zeros((), device=self.device)
        for group in self._groups if training else self.validation:
            loss = mean_loss(group, predictions)
            if loss is not None:
                total = total + loss
        if training:
            for factor, objective in self._active(self.objectives, predictions):
                if isinstance(objective, TrainedObjective):
                    objective.progress = self.optimizer_step / self.config.steps
                total = total + factor * objective.forward(self.model, predictions)
        return total

    def fit_batch(self, batch: Sequence[Mapping[str, Batch]]) -> torch.Tensor:
        """Take one optimiser step over `accumulate` batches of every stream; skip and count it when not finite."""
        config = self.config
        _seed_generators(self._seed(-1, self.optimizer_step))
        set_learning_rate(self.optimizer, config.learning_rate * scale_at(self.optimizer_step, config))
        statistics = [buffer.clone() for buffer in self.model.buffers()]
        total = torch.zeros((), device=self.device)
        for loaded in batch:
            part = {name: own.to(self.device) for name, own in loaded.items()}
            with self._around(part, 1 / len(batch)):
                with self.training_ctx:
                    outputs = self.compute_forward(part, sb.Stage.TRAIN)
                loss = self.compute_objectives(outputs, part, sb.Stage.TRAIN) / len(batch)
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        distributed.average_gradients(parameters)
        distributed.average_buffers(self.model)
        norms = self._clip(parameters)
        total = distributed.mean(total)
        if all(bool(torch.isfinite(value)) for value in (*norms, total)):  # the same in every process
            self.optimizer.step()
            for objective in self.trained:
                cast(TrainedObjective, objective).stepped(self.model)
        else:
            for buffer, before in zip(self.model.buffers(), statistics, strict=True):
                buffer.copy_(before)  # a non-finite input has already spoilt BatchNorm's running statistics
            self._skip()
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer_step += 1
        self._loss = total
        if self._work is not None:
            self._work.advance()
        return total.cpu()

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Begin a validation with fresh metrics."""
        self._validating = stage == sb.Stage.VALID
        if self._validating:
            self._metrics = [Tally(task) for task in self.validation]

    @torch.no_grad()
    def evaluate_batch(self, batch: tuple[int, Batch], stage: sb.Stage) -> torch.Tensor:
        """Add a validation batch to its task's figures."""
        if self._stop_requested():
            # As behind the round's last step: its validation is done anew.
            self.step, self.avg_train_loss = self._round
            self._save_intra_epoch_ckpt()
        number, part = batch
        task = self.validation[number]
        with self.evaluation_ctx:
            output = self.compute_forward({task.name: part}, stage)[task.name]
        return self._metrics[number].update(output)

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """After a validation: note it, keep the best weights, write a checkpoint."""
        if stage == sb.Stage.TRAIN:
            self._train_loss, self._round = float(stage_loss), (self.step, self.avg_train_loss)
            if self.validation:
                return
        self._validating = False
        self._tick()
        figures = {"step": float(self.optimizer_step), "train_loss": self._train_loss}
        for _, objective in self.objectives:
            if isinstance(objective, TrainedObjective):
                figures.update(objective.figures())
        figures.update(validation_figures(self._metrics, self._checks))
        if self.validation and self.monitor is not None:
            self.progress.note(figures, self.monitor, self.model)
        else:
            self.progress.history.append(figures)
        self._log("  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
        # Brain resets these only after this hook; a checkpoint written here must not carry them into the next round.
        self.step, self.avg_train_loss = 0, 0.0
        if self.checkpointer is not None:
            self.checkpointer.save(self.optimizer_step)
        if self._stop_requested():
            raise Stopped(self._stopping)

    def _wrap_distributed(self) -> None:
        """Do nothing: gradients are averaged in `fit_batch`, for any number of forward passes and heads."""

    def _should_save_intra_epoch_ckpt(self, *since: Any) -> bool:
        return self._stop_requested() or bool(super()._should_save_intra_epoch_ckpt(*since))

    def _save_intra_epoch_ckpt(self) -> None:
        self._tick()
        if self.checkpointer is not None:
            self.checkpointer.save(self.optimizer_step)
        if self._stopping:
            self._log(f"step {self.optimizer_step}: stopped by a signal")
            raise Stopped(self._stopping)

    # Our own ------------------------------------------------------------------------------------------------------

    def _stop_requested(self) -> bool:
        # Processes that train together stop behind the same step, whichever was asked.
        self._stopping = distributed.greatest(requested(), self.device)
        return self._stopping > 0

    def _active(
        self, objectives: Sequence[tuple[Weight, Objective]], names: Container[str]
    ) -> list[tuple[float, Objective]]:
        """Return those that count in this step, with their weights, of a batch with streams of these names."""
        progress = self.optimizer_step / self.config.steps
        weighed = [(weight(progress) if callable(weight) else weight, objective) for weight, objective in objectives]
        # A batch of a mixture may lack all the streams that an objective reads.
        return [(w, o) for w, o in weighed if w and (not o.streams or any(name in names for name in o.streams))]

    @contextmanager
    def _around(self, batch: Mapping[str, Batch], share: float) -> Iterator[None]:
        """Let objectives act on the model while a batch runs."""
        parts = {name: (self.streams[name], part) for name, part in batch.items()}
        own = [(weight, objective) for weight, objective in self.objectives if isinstance(objective, TrainedObjective)]
        with ExitStack() as stack:
            for _, objective in self._active(own, batch):
                assert isinstance(objective, TrainedObjective)
                stack.enter_context(objective.around(self.model, parts, share))
            yield

    def _seed(self, *parts: int) -> int:
        entropy = [self.config.seed, *(part % 2**32 for part in parts)]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def _rounds(self) -> Iterator[int]:
        """Yield the number of each round: the steps from one validation to the next."""
        number = 0
        while not self._finished():
            number += 1
            yield number

    def _finished(self) -> bool:
        # `self.step` counts inside a round: when it is not 0, the round's validation is still to come.
        stopped_early = 0 < self.config.patience <= self.progress.validations_since_best
        return self.step == 0 and (stopped_early or self.optimizer_step >= self.config.steps)

    def _next_validation(self) -> int:
        every = self.config.validate_every or self.config.steps
        step: int = self.optimizer_step
        return min(self.config.steps, (step // every + 1) * every)

    def _load(self, step: int) -> list[dict[str, Batch]]:
        begin = time.process_time()
        parts = []
        for micro in range(step * self.config.accumulate, (step + 1) * self.config.accumulate):
            part = {}
            for index, group in enumerate(self._groups):
                generator = torch.Generator().manual_seed(self._seed(index, micro))
                for stream, items in deal(group, self._buckets[group.name].batch(micro)):
                    part[stream.name] = stream.data.collate(items, generator if stream.augment else None)
                    self.progress.cost += int(stream.data.costs()[items].sum())
            parts.append(part)
        self.progress.loading_seconds += time.process_time() - begin
        return parts

    def _skip(self) -> None:
        self.progress.skipped += 1
        self._log(f"step {self.optimizer_step}: the loss or a gradient is not finite; the step is skipped")
        if self.progress.skipped > self.config.max_nonfinite:
            raise TrainingError(
                f"{self.progress.skipped} steps had a non-finite loss or gradient, more than "
                f"`trainer.max_nonfinite` = {self.config.max_nonfinite} allows; lower `trainer.learning_rate` "
                "or look for damaged recordings."
            )

    def _clip(self, parameters: Sequence[nn.Parameter]) -> list[torch.Tensor]:
        """Clip the gradients of the model, and apart from them those of the objectives' own parameters; return norms.

        Together, what a discriminator still has to learn would shorten the steps of a model that it leaves alone.
        """
        beside = set(self.trained.parameters())
        parts = [p for p in parameters if p not in beside], [p for p in parameters if p in beside]
        longest = self.config.max_gradient_norm or float("inf")
        return [torch.nn.utils.clip_grad_norm_(part, longest) for part in parts if part]

    def _tick(self) -> None:
        now = time.process_time()
        self.progress.cpu_seconds += now - self._clock
        self._clock = now

    def _status(self) -> str:
        """Return what is told while training: this step's loss, the last validation, and whether one is going on."""
        parts = [f"loss {float(self._loss):.3f}"] if self.optimizer_step else []
        watched = self.monitor or "train_loss"
        if self.validation and self.progress.history and watched in self.progress.history[-1]:
            parts.append(f"{watched} {self.progress.history[-1][watched]:.3g} at the last validation")
        return ", ".join([*parts, "validating"] if self._validating else parts)


def _seed_generators(seed: int) -> None:
    """Do what `torch.manual_seed` does, which without a GPU formats a traceback each time: 3 ms of every step."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


class _Steps(torch.utils.data.IterableDataset[Any]):
    """Batches of every stream from the trainer's current step to its next validation."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def __iter__(self) -> Iterator[Any]:
        # A checkpoint may have been written after a round's last step, before its validation: then nothing is left.
        trainer = self._trainer
        first = trainer.optimizer_step
        if trainer.step and first % (trainer.config.validate_every or trainer.config.steps) == 0:
            return
        for step in range(first, trainer._next_validation()):
            yield trainer._load(step)


class _Checks(torch.utils.data.IterableDataset[Any]):
    """All batches of all validation tasks, with the number of the task."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def __iter__(self) -> Iterator[Any]:
        for number, task in enumerate(self._trainer.validation):
            for batch in sequential(task.data, task.budget or self._trainer.config.batch_budget):
                yield number, batch
