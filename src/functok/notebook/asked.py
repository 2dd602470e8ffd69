"""``functok.open``: a model with an SAE that answers in polars frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch

from functok.models.interventions import sweeps
from functok.models.interventions.sweeps import Trial
from functok.models.placement import device_of
from functok.retrieval.directions import neighbours, output_tokens, writes
from functok.retrieval.prompts.judging import Judge, judge
from functok.retrieval.prompts.subject import Subject
from functok.retrieval.prompts.trace import chosen_features
from functok.retrieval.questions import Search, condition, feature_of_trait, steered, traced
from functok.retrieval.steering.grid import Kind, Unit
from functok.study.asking import Named, subject_named
from functok.study.resources import Resources


class Asked:
    """A model with an SAE: what ``functok trace``, ``steer`` and ``find-feature`` do, as methods.

    Prompts begin with ``start.token``, where a token is added; it is position 0.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.start = subject.start

    def __repr__(self) -> str:
        return (
            f"{type(self.subject.model).__name__} with an SAE of "
            f"{self.subject.dictionary.features:,} features at {self.subject.place.name}, on "
            f"{device_of(self.subject.model)} in {self.subject.model.dtype}. "
            + " ".join([self.start.sentence, *self.subject.about])
        )

    def trace(self, prompt: str, *, chat: bool = False) -> pl.DataFrame:
        """Every feature active in ``prompt``, by position (``retrieval/prompts/trace.py``)."""
        return traced(self.subject, prompt, chat)

    def steer(
        self,
        prompts: str | Sequence[str],
        features: int | Mapping[int, float | None],
        *,
        at: str = "last-function",
        kind: Kind = "add",
        unit: Unit = "norm",
        tokens: int = 24,
        temperature: float = 0.0,
        chat: bool = False,
    ) -> pl.DataFrame:
        """Answers with the features steered, a random direction, and neither.

        Args:
            features: a feature, or several with their strengths. None is the share of the
                residual norm at which a random direction has a KL of 1 nat, in other units and of
                features that are not added 1.
            at: positions, as ``functok steer --at`` takes them.
            tokens: of each answer.

        Raises:
            UserError: for a prompt, position or feature that does not exist.
        """
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        wanted = [(features, None)] if isinstance(features, int) else [*features.items()]
        asked, _ = condition(self.subject, texts, wanted, at, kind, unit, tokens, chat)
        return steered(self.subject, texts, [asked], at, unit, tokens, temperature, chat, kind)

    def find_feature(
        self,
        trait: str,
        tests: Sequence[str],
        success: str | Judge,
        *,
        threshold: float = 0.5,
        tokens: int = 16,
        layers: Sequence[int] | None = None,
        chat: bool = False,
    ) -> Search:
        """The feature that makes the answers to ``tests`` show what ``trait`` asks for.

        Args:
            trait: a prompt that asks for it.
            tests: prompts that do not.
            success: a rule as ``functok find-feature --success`` takes it, or a function.
            threshold: share of the answers that have to show it.

        Raises:
            UserError: if the model does not show the trait on ``trait`` itself, or a prompt or
                layer cannot be used.
        """
        rule = judge(success, []) if isinstance(success, str) else success
        return feature_of_trait(
            self.subject,
            trait,
            tests,
            rule,
            threshold=threshold,
            tokens=tokens,
            layers=layers,
            chat=chat,
        )

    def sweep(
        self, prompts: Sequence[str], trials: Sequence[Trial], *, top: int = 10
    ) -> pl.DataFrame:
        """The most likely next tokens under each trial (``models/interventions/sweeps.py``).

        Returns:
            Columns trial, rank (from 1), token_id, token, log_probability.
        """
        ids = [self.subject.prompt_ids(prompt) for prompt in prompts]
        found = sweeps.sweep(
            self.subject.model,
            ids,
            trials,
            lambda log_p: torch.stack([part.cpu().double() for part in log_p.topk(top)], dim=1),
        )
        values, tokens = found[:, 0].flatten(), found[:, 1].flatten().long().tolist()
        return pl.DataFrame(
            {
                "trial": np.repeat(np.arange(len(trials)), top),
                "rank": np.tile(np.arange(1, top + 1), len(trials)),
                "token_id": tokens,
                "token": [self.subject.vocabulary.shown[token] for token in tokens],
                "log_probability": values.numpy(),
            }
        )

    def features(self, features: Sequence[int], *, top: int = 10) -> pl.DataFrame:
        """What features are like, without a corpus: their directions alone.

        Returns:
            Columns feature, density and maximum (of the run's corpus; null without one), promotes
            (the tokens that the direction alone makes likeliest, see
            ``retrieval/directions.py``; null where the SAE does not write into the residual
            stream), neighbours and cosine (features with the most similar directions).

        Raises:
            UserError: for a feature that the SAE does not have.
        """
        subject = self.subject
        dictionary, model, place = subject.dictionary, subject.model, subject.place
        chosen_features(features, dictionary.features)
        near = [neighbours(dictionary, one, top) for one in features]
        promoted = [
            output_tokens(model, dictionary, place, one, subject.vocabulary.shown, top)
            for one in features
            if writes(dictionary, place)
        ]
        known = subject.maximum
        rows = {
            "feature": list(features),
            "density": None if known is None else subject.density[list(features)].tolist(),
            "maximum": None if known is None else known[list(features)].tolist(),
            "promotes": [table["promotes"].to_list() for table in promoted] or None,
            "neighbours": [table["feature"].to_list() for table in near],
            "cosine": [table["cosine"].to_list() for table in near],
        }
        return pl.DataFrame(
            {name: [None] * len(features) if row is None else row for name, row in rows.items()}
        )


def open(
    model: str | Path,
    *,
    sae: str | Path,
    layer: int | None = None,
    site: str | None = None,
    revision: str | None = None,
    tokenizer: str | None = None,
    row_start: str | None = None,
    function_tokens: str | Path | None = None,
    norm_factor: float | Literal["auto"] | None = None,
    dtype: str | None = None,
    device: str = "auto",
    sae_device: str | None = None,
) -> Asked:
    """A model and an SAE, ready for questions.

    Args:
        model: a Hugging Face folder, or a name on the hub.
        sae: anything that ``--sae`` takes.
        layer, site: of the SAE, if it does not say.
        tokenizer: by default the model's own.
        row_start: what prompts begin with, a token or ``none``; by default it is measured.
        function_tokens: a folder of counts (``functok tokens -o``); by default closed-class words,
            punctuation and blanks are function tokens.
        norm_factor: what the SAE's inputs were multiplied by in training, ``auto`` to measure it;
            by default what its files say.
        dtype: of the model, ``float32``, ``bfloat16`` or ``float16``; by default float32, since it
            is steered.
        device: of the model: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        sae_device: of the SAE; by default the model's.

    Raises:
        UserError: if one of them, or a device, does not exist, or does not belong to the others.
    """
    counts = None if function_tokens is None else Path(function_tokens)
    named = Named(
        *(str(model), str(sae), layer, site, revision, tokenizer, row_start, counts),
        norm_factor=norm_factor,
        dtype=dtype,
    )
    return Asked(subject_named(named, Resources(device=device, sae_device=sae_device)))
