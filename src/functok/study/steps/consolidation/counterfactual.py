"""What does training on some targets teach? Arms that drop them, over paired seeds (P8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from functok.runtime.store import fingerprint, read_frame, read_tensors, write_table, writing
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_held_out

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import polars as pl

    from functok.consolidation.arms.arm import Arm
    from functok.consolidation.arms.watching import Training
    from functok.consolidation.kneser_ney import KneserNey
    from functok.encoding.tokenizer import Encoded
    from functok.models.language.model import Model
    from functok.models.training.labels import Labels
    from functok.runtime.progress import Progress
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study
    from functok.study.settings.arms import ArmsPart
    from functok.study.step import Shown

TEST = "P8"
_TABLES = ("arms", "arm_drops", "arm_effects")
_NUMBER = 1
_SHOWN = {("answer", "content"): "answers after content tokens", ("loss", "all"): "held-out text"}
_FITTED = 1e-6
"""Seconds of ``Forecast.work`` for each token that the floor is fitted to."""


def arms_part(run: Run) -> ArmsPart:
    """The arms, which the study has."""
    assert run.study.arms is not None
    return run.study.arms


def _work(run: Run, key: str) -> None:
    import polars as pl

    from functok.claims.evidence import FEWEST
    from functok.consolidation.arms.arm import ARMS, DECLARED
    from functok.consolidation.arms.drops import DROPS
    from functok.consolidation.arms.effects import arm_effects, consolidation_test, pairs

    part, first = arms_part(run), run.study.seed
    bench = _Bench.of(run)
    outcomes: list[pl.DataFrame] = []
    drops: list[dict[str, Any]] = []
    for seed in range(first, first + part.seeds):
        of_seed, dropped = bench.seed(seed)
        outcomes += [
            found.select(pl.lit(arm).alias("arm"), pl.lit(seed, pl.Int64).alias("seed"), pl.all())
            for arm, found in of_seed.items()
        ]
        drops += dropped
    table = pl.concat(outcomes)
    tables = (table, pl.DataFrame(drops, DROPS), arm_effects(table, pairs(part.arms)))
    for name, one in zip(_TABLES, tables, strict=True):
        write_table(run.folder.consolidation(name), one.to_arrow())
    if bench.prompts is not None and {ARMS[number] for number in DECLARED} <= {*part.arms}:
        row = consolidation_test(table, part.seeds, first)
        if row is not None:
            row.write(run.folder, FEWEST)  # intervals are over seeds, not over documents


@dataclass(frozen=True)
class _Bench:
    """What every arm of the study is trained on and measured by."""

    run: Run
    training: Training
    ids: np.ndarray
    floor: KneserNey
    text: Encoded
    prompts: pl.DataFrame | None
    """Questions about facts whose answers no arm changes; None where there is no tiny world."""
    protected: np.ndarray
    """Token ids of these answers."""

    @classmethod
    def of(cls, run: Run) -> _Bench:
        from functok.consolidation.arms.watching import Training
        from functok.consolidation.kneser_ney import KneserNey
        from functok.encoding.documents import drawn, sample_sentence
        from functok.encoding.packing import PackedWindows

        train, whole, model = run.encoded("train"), run.encoded("held-out"), run.model_part
        text, classes = drawn(whole, arms_part(run).tokens), run.vocabulary.classes
        run.progress.say(f"  {sample_sentence(text, whole)}")
        windows = PackedWindows(train, model.training.context, run.row_start.id)
        place = run.placement.device
        training = Training(model.shape, model.training, windows, classes, place)
        floor = KneserNey.fit(train, classes, order=1)
        return cls(run, training, training.ids(), floor, text, *_asked(run))

    def seed(self, seed: int) -> tuple[dict[str, pl.DataFrame], list[dict[str, Any]]]:
        """The outcomes of each feasible arm of one seed by its name, and a row on each drop."""
        from functok.consolidation.arms.arm import PLAIN
        from functok.consolidation.arms.drops import Targets, drawn, drop_row, labels_of

        part = arms_part(self.run)
        plain, spent = self._plain(seed)
        targets = Targets.of(self.ids, self.training.classes, self.protected, spent)
        outcomes, drops = {PLAIN: plain}, []
        places: dict[str, np.ndarray] = {}
        for arm in sorted(part.arms, key=lambda arm: arm.like is not None):
            dose = part.dose_of(arm)
            found = drawn(arm, dose, targets, seed, places.get(arm.like or ""))
            places[arm.name] = found.places
            drops.append(drop_row(arm, dose, targets, found, seed))
            if found.problem is not None:
                self.run.progress.say(f"  Seed {seed}, arm {arm.name}: {found.problem}.")
                continue
            labels = labels_of(arm, found.places, targets, seed)

            def trained(arm: Arm = arm, labels: Labels = labels) -> pl.DataFrame:
                told = self._told(seed, arm.name)
                return self._measured(self.training.arm(seed, labels, told))

            outcomes[arm.name] = self._once(
                self._kept(seed, f"{part.key_of(arm)}.parquet"), trained
            )
        return outcomes, drops

    def _plain(self, seed: int) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
        """The outcomes of plain training, and what it spends on each target."""
        from safetensors.numpy import save_file

        from functok.consolidation.arms.arm import PLAIN
        from functok.consolidation.arms.outcomes import floor_by_id

        place = self._kept(seed, "spent.safetensors")

        def trained() -> pl.DataFrame:
            floor = floor_by_id(self.floor, self.training.classes)
            model, spent = self.training.plain(seed, floor, self._told(seed, PLAIN))
            with writing(place) as temporary:
                save_file(dict(spent), temporary)
            return self._measured(model)

        outcomes = self._once(self._kept(seed, "plain.parquet"), trained)
        return outcomes, read_tensors(place)

    def _measured(self, model: Model) -> pl.DataFrame:
        import polars as pl

        from functok.consolidation.arms.outcomes import answers, held_out

        run, classes = self.run, self.training.classes
        memory = run.resources.memory
        found = held_out(model, self.text, run.row_format, classes, self.floor, memory)
        if self.prompts is None:
            return found
        return pl.concat([found, answers(model, self.prompts, memory)])

    def _once(self, place: Path, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """A table that is made once: a run that was killed finds the arms that it had finished."""
        if not place.exists():
            write_table(place, make().to_arrow())
        return read_frame(place)

    def _kept(self, seed: int, name: str) -> Path:
        """Where something of a seed is kept, whatever other arms, seeds and doses there are."""
        part = arms_part(self.run).model_dump(mode="json", exclude={"arms", "dose", "seeds"})
        of = fingerprint(_NUMBER, self.run.folder.records.read("pretrain").get("key"), part)
        return self.run.folder.partials(f"arms-{of}") / f"seed-{seed}" / name

    def _told(self, seed: int, arm: str) -> Progress:
        self.run.progress.say(f"  Seed {seed}, arm {arm}")
        return self.run.progress


def _asked(run: Run) -> tuple[pl.DataFrame | None, np.ndarray]:
    """In a tiny world: questions about the facts whose answers no arm changes, and these."""
    import numpy as np
    import polars as pl

    from functok.retrieval.causal.facts.asking import ask
    from functok.retrieval.causal.facts.tiny_world import world_facts
    from functok.world.corpus import TinyWorld
    from functok.world.settings import NAME

    if run.study.corpus.split("?")[0] != NAME:
        return None, np.zeros(0, np.int64)
    facts = world_facts(TinyWorld(run.study.corpus).world)
    asked = ask(facts, run.tokenizer, run.vocabulary, run.row_start.id, examples=0)
    for note in asked.notes:
        run.progress.say(f"  {note}")
    answers = asked.prompts["answer_id"].unique().sort().to_numpy()
    count = max(round(arms_part(run).protected * len(answers)), 1)
    chosen = np.random.default_rng(run.study.seed).choice(answers, count, replace=False)
    return asked.prompts.filter(pl.col("answer_id").is_in(chosen.tolist())), chosen


def _excuse(study: Study) -> str | None:
    if study.arms is None:
        return f"Study {study.name} trains no arms; add arms: {{}} for the declared ones."
    if study.model is not None and study.model.load is not None:
        return (
            f"Study {study.name} loads its model, and arms are trained from the beginning; omit "
            "model.load, or arms."
        )
    return needs_held_out(study)


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Every arm of every seed trained and measured."""
    part, how = arms_part(run), run.model_part.training
    count, tokens = part.seeds * (1 + len(part.arms)), how.batch * how.context
    layers = 1 if how.gradient_checkpointing else run.model_part.shape.layers
    one = forecast.updates(how.steps * tokens, tokens // how.accumulation, layers)
    one += forecast.passes(forecast.tokens("held-out", part.tokens))
    train = forecast.tokens("train")
    held = Cost(memory=40 * train)  # ids, and of every target four sums and its label
    kept = Cost(disk=16 * train * part.seeds)  # those sums
    return one.times(count).with_held(held) + kept + forecast.work(_FITTED * train)


def _shows(run: Run) -> Shown:
    """What each arm drops, on average over seeds, then what that costs."""
    import polars as pl

    drops = read_frame(run.folder.consolidation("arm_drops"))
    yield "Spent on the dropped targets in plain training, mean over seeds"
    yield drops.group_by("arm", maintain_order=True).agg(
        pl.col("groups").first(),
        pl.col("share_of_tokens").mean(),
        pl.col("tokens", "loss", "excess", "gradient").mean().round().cast(pl.Int64),
        pl.col("problem").drop_nulls().len().alias("infeasible"),
    )
    missing = drops.drop_nulls("problem").unique("arm", keep="first", maintain_order=True)
    for arm, problem in missing.select("arm", "problem").iter_rows():
        yield f"Arm {arm} is infeasible: {problem}."
    effects = read_frame(run.folder.consolidation("arm_effects"))
    for (outcome, group), what in _SHOWN.items():
        part = effects.filter(outcome=outcome, group=group).drop("outcome", "group")
        if len(part):
            yield f"\nLoss of {what}, arm − control, nats, over seeds"
            yield part
    yield f"{len(effects)} rows in {run.folder.consolidation('arm_effects')}"


COUNTERFACTUAL = Step(
    name="counterfactual",
    title="Training arms",
    number=_NUMBER,
    needs=("pretrain",),
    settings=lambda run: run.study.arms and run.study.arms.model_dump(mode="json"),
    work=_work,
    cost=_cost,
    runs_model=True,
    leaves=lambda run: map(run.folder.consolidation, _TABLES),
    excuse=_excuse,
    evidence=(TEST,),
    figures=("arm-effects",),
    summary="Train the model again without some targets: what does each transition group teach?",
    shows=_shows,
)
