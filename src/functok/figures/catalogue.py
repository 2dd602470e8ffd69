"""Every figure: where its numbers come from, how to read it, and what its control is.

A figure whose tables a run does not have is left out; the plan then says what was not run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from altair.typing import ChartType

from functok.figures import cover, graph, growth, losses, steering, tokens, traces
from functok.store import RunFolder


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One kind of figure."""

    name: str
    """Names its files; one of several (a trace per prompt) adds its number."""
    section: str
    """``tokens``, ``graph``, ``retrieval`` or ``consolidation``."""
    title: str
    reading: str
    """How to read it, one sentence."""
    control: str
    """What it is held against, one sentence."""
    absent: str
    """What was not run where it is missing, one sentence."""
    tables: Callable[[RunFolder, int], list[pl.DataFrame]]
    """The tables to draw, from the run folder and the number of features in a trace."""
    chart: Callable[[pl.DataFrame], ChartType]


@dataclass(frozen=True)
class Figure:
    """One figure of one run."""

    name: str
    plan: Plan
    table: pl.DataFrame
    """The exact data drawn."""
    chart: ChartType


def figures(folder: RunFolder, features: int = 16) -> list[Figure]:
    """The figures that the run in ``folder`` has, in the report's order."""
    found = []
    for plan in PLANS:
        tables = plan.tables(folder, features)
        for number, table in enumerate(tables, start=1):
            name = plan.name if len(tables) == 1 else f"{plan.name}-{number}"
            found.append(Figure(name, plan, table, plan.chart(table)))
    return found


def last_step(folder: RunFolder) -> int | None:
    """The last checkpoint with a graph; None before there is one."""
    counted = _read(folder.consolidation("growth"))
    return None if counted is None else counted["step"].to_list()[-1]


def _read(path: Path) -> pl.DataFrame | None:
    """The table at ``path``; None where it was not written or is empty."""
    if not path.exists():
        return None
    table = pl.read_parquet(path)
    return table if len(table) else None


def _from(
    make: Callable[..., pl.DataFrame], *paths: Callable[[RunFolder], Path]
) -> Callable[[RunFolder, int], list[pl.DataFrame]]:
    """``make`` of the tables at ``paths``, where all of them are there."""

    def tables(folder: RunFolder, features: int) -> list[pl.DataFrame]:
        found = [_read(path(folder)) for path in paths]
        if any(table is None for table in found):
            return []
        made = make(*found)
        return [made] if len(made) else []

    return tables


def _growth(folder: RunFolder, features: int) -> list[pl.DataFrame]:
    found = _read(folder.consolidation("growth"))
    return [growth.features_by_step(found)] if found is not None and len(found) > 1 else []


def _traces(folder: RunFolder, features: int) -> list[pl.DataFrame]:
    found = _read(folder.retrieval("traces"))
    if found is None:
        return []
    parts = found.partition_by("prompt", maintain_order=True)
    return [traces.traced(part, features) for part in parts]


def _last(name: str) -> Callable[[RunFolder], Path]:
    """A table of the last graph; where there is none, a path at which nothing is."""
    return lambda folder: folder.graph_table(last_step(folder) or 0, name)


PLANS = (
    Plan(
        name="token-frequency",
        section="tokens",
        title="How frequent each token is",
        reading="Every point is a token; a straight fall is Zipf's law, and the orange head are "
        "the function tokens, a set chosen by this very rank.",
        control="None is needed: this is the definition at work, not a finding.",
        absent="Tokens were not counted.",
        tables=_from(
            tokens.tokens_by_rank,
            lambda folder: folder.tokens("counts"),
            lambda folder: folder.tokens("function_tokens"),
        ),
        chart=tokens.token_frequency,
    ),
    Plan(
        name="token-bins",
        section="tokens",
        title="Where in the corpus two tokens occur",
        reading="Each bar is a hundredth of the documents; above, a token that is everywhere, "
        "below, the burstiest of the thousand most frequent ones. Scales differ.",
        control="The dashed line is what an even spread would give.",
        absent="How tokens spread was not measured.",
        tables=_from(tokens.bins_beside_chance, lambda folder: folder.tokens("bins")),
        chart=tokens.occurrences_over_bins,
    ),
    Plan(
        name="document-coverage",
        section="tokens",
        title="In how many documents each token occurs",
        reading="Points high up occur in nearly every document; orange points low down are "
        "frequent only where they come in bursts.",
        control="None: at equal rank, tokens that lie lower are the burstier ones.",
        absent="Tokens were not counted.",
        tables=_from(
            tokens.tokens_by_rank,
            lambda folder: folder.tokens("counts"),
            lambda folder: folder.tokens("function_tokens"),
        ),
        chart=tokens.document_coverage,
    ),
    Plan(
        name="threshold-sweep",
        section="tokens",
        title="What hangs on the threshold",
        reading="Each line is a group's share of all pairs of neighbours if the function tokens "
        "are those that cover the share below; the two mixed groups coincide. The paper takes 40 % "
        "and gives no reason.",
        control="Thin dashes are the shares if neighbours were independent of one another.",
        absent="The threshold was not varied.",
        tables=_from(tokens.shares_by_threshold, lambda folder: folder.tokens("sweep")),
        chart=tokens.threshold_sweep,
    ),
    Plan(
        name="token-degree",
        section="graph",
        title="Degree of each token",
        reading="A token's height is the number of features that fire at it at least once; "
        "tokens without any have no place on a log scale and are left out.",
        control="The dashed line is what as many random positions would meet: a point below it "
        "meets fewer features than its frequency alone explains.",
        absent="The token–feature graph was not built.",
        tables=_from(graph.degrees, _last("degree")),
        chart=graph.token_degree,
    ),
    Plan(
        name="cumulative-coverage",
        section="graph",
        title="Coverage of the most frequent tokens",
        reading="Each step to the right adds one more token to the set; the height is the share "
        "of all active features that the set reaches.",
        control="The dashed line is the expected coverage of equally many random positions, in "
        "closed form: the tokens are special only where the orange line leaves it.",
        absent="Coverage beside random positions was not measured.",
        tables=_from(graph.coverage_by_rank, _last("coverage")),
        chart=graph.cumulative_coverage,
    ),
    Plan(
        name="cover-orders",
        section="graph",
        title="Coverage along five orders of the tokens",
        reading="A curve further up reaches more features with the same share of types (left) or "
        "of positions (right); adding tokens by frequency is orange.",
        control="Grey adds tokens at random; green and blue are greedy, close to the best that "
        "any set of tokens can do.",
        absent="Orders of the tokens were not compared.",
        tables=_from(cover.orders, _last("cover")),
        chart=cover.cover_orders,
    ),
    Plan(
        name="trace",
        section="retrieval",
        title="Which token switches on which feature",
        reading="Columns are the prompt's positions, rows the features with the highest peaks in "
        "the order in which they first fire (green edge); cells to the right in the same row are "
        "re-activations.",
        control="None was run: a trace illustrates. Rows that fire under orange and blue tokens "
        "alike speak against a special role of function tokens.",
        absent="No prompt was traced.",
        tables=_traces,
        chart=traces.trace_heat_map,
    ),
    Plan(
        name="steering-gain",
        section="retrieval",
        title="Does the model follow the feature?",
        reading="Further right means that the tokens which follow the feature in text became "
        "likelier when its direction was added at the last function token.",
        control="Grey is a random direction of the same norm at the same place: what any push "
        "of that size does.",
        absent="No feature was steered.",
        tables=_from(steering.gains, lambda folder: folder.retrieval("steering")),
        chart=steering.steering_gain,
    ),
    Plan(
        name="training-loss",
        section="consolidation",
        title="Training loss by transition group",
        reading="Each line is the mean loss of the next-token predictions of one group, binned "
        "over steps.",
        control="None here: compare with the held-out loss and its floors below.",
        absent="No model was trained here, so there is no training loss.",
        tables=_from(losses.training_losses, lambda folder: folder.consolidation("training")),
        chart=losses.training_loss,
    ),
    Plan(
        name="held-out-loss",
        section="consolidation",
        title="Held-out loss by transition group",
        reading="How far a line lies above or below its own dashed line is what the model lacks "
        "or has learned beyond word pairs; the height alone is mostly the text's own "
        "unpredictability.",
        control="Each dashed line is the loss of a Kneser–Ney bigram on the same tokens.",
        absent="The held-out loss was not split by transition group.",
        tables=_from(
            losses.held_out_losses,
            lambda folder: folder.consolidation("loss_summary"),
            lambda folder: folder.consolidation("floors"),
        ),
        chart=losses.held_out_loss,
    ),
    Plan(
        name="loss-share",
        section="consolidation",
        title="Who makes the loss",
        reading="The first bar divides the tokens, the others the loss at each checkpoint; a "
        "group whose block grows falls behind the others.",
        control="The first bar is what each group's share would be if all tokens were equally "
        "hard.",
        absent="The held-out loss was not split by transition group.",
        tables=_from(losses.loss_shares, lambda folder: folder.consolidation("loss_summary")),
        chart=losses.loss_share,
    ),
    Plan(
        name="sae-quality",
        section="consolidation",
        title="How faithful the SAEs are",
        reading="Higher explained variance and more recovered cross-entropy mean a more faithful "
        "SAE; counts of features compare only between SAEs of like quality.",
        control="The SAE of step 0, where there is one, was trained on an untrained model: what "
        "it reaches takes no learning.",
        absent="No SAE was judged.",
        tables=_from(growth.sae_qualities, lambda folder: folder.consolidation("dictionaries")),
        chart=growth.sae_quality,
    ),
    Plan(
        name="features-firing",
        section="consolidation",
        title="Features that fire at each checkpoint",
        reading="Each point counts the features that fire at least once on the same held-out "
        "positions, with one SAE recipe for all checkpoints.",
        control="Step 0 is the untrained model: features counted there are geometry, not memory.",
        absent="Fewer than two checkpoints have an SAE, so there is no growth to draw.",
        tables=_growth,
        chart=growth.features_firing,
    ),
)
"""All figures in the report's order."""
