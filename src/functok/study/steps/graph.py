"""The links that need SAEs: training and judging them, the graph, and the features that fire."""

import numpy as np
import pyarrow as pa

from functok.claims.evidence import Evidence, as_columns
from functok.consolidation.growth import Firing, growth_table, log_ratio
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.pipeline import build_graphs
from functok.graph.construction.shards import GraphJob, Reading
from functok.graph.coverage import coverage, coverage_table, degree_table, frequency_order
from functok.graph.tables import TOP, deeper
from functok.models.dictionaries.activations import sample_activations
from functok.models.dictionaries.quality import dictionary_quality
from functok.models.dictionaries.training import train_dictionary
from functok.models.language.hooks import HookPoint
from functok.runtime.store import write_table
from functok.stats import jackknife_p_value
from functok.study.run import Run


def dictionaries(run: Run, key: str) -> None:
    """Train an SAE at each chosen checkpoint with one recipe, and judge it on held-out text."""
    part = run.study.dictionaries
    place = (part.layer, run.study.context, run.separator, run.vocabulary.classes)
    training, judging = run.encoded("train"), run.encoded("held-out").first(part.quality_tokens)
    rows = []
    for checkpoint in run.decomposed:
        model = run.model(checkpoint)
        folder = run.folder.dictionary(checkpoint.step)
        made = f"dictionary-{checkpoint.step}"
        if not run.folder.is_done(made, key):
            run.folder.unmark(made)
            sample = sample_activations(model, training, *place, part.recipe.activations)
            name = f"SAE at step {checkpoint.step}"
            train_dictionary(
                sample, part.recipe, part.layer, run.study.seed, folder, run.progress, name
            )
            run.folder.mark_done(made, key)
        quality = dictionary_quality(model, run.dictionary(checkpoint), judging, *place)
        rows.append({"step": checkpoint.step, "width": part.recipe.width, **quality.columns()})
    write_table(run.folder.consolidation("dictionaries"), pa.Table.from_pylist(rows))


def graph(run: Run, key: str) -> None:
    """Build the graph at each decomposed checkpoint, on the same tokens."""
    part = run.study.dictionaries
    counted = run.encoded("held-out").first(run.study.graph.tokens)
    counted.save(run.folder.encoded("graph"))
    firing = {}
    for checkpoint in run.decomposed:
        dictionary = run.folder.dictionary(checkpoint.step)
        job = GraphJob(
            key=key,
            model=checkpoint.model,
            revision=checkpoint.revision,
            readings=(Reading(str(dictionary), HookPoint.residual(part.layer)),),
            encoded=run.folder.encoded("graph"),
            context=run.study.context,
            separator=run.separator,
            special=tuple(run.special),
        )
        (built,) = build_graphs(
            job,
            counted,
            [run.folder.graph(checkpoint.step)],
            run.folder.partials(f"graph-{checkpoint.step}"),
            run.engine,
            run.progress,
            f"Graph at step {checkpoint.step}",
            [{"model": run.within(checkpoint.model), "sae": run.within(str(dictionary))}],
        )
        degrees = degree_table(built, run.vocabulary.classes, run.vocabulary.shown)
        write_table(run.folder.graph_table(checkpoint.step, "degree"), degrees)
        firing[checkpoint.step] = Firing(built)
    write_table(run.folder.consolidation("growth"), growth_table(firing))
    _growth_evidence(run, firing)


def reach(run: Run, key: str) -> None:
    """Cumulative coverage of the most frequent tokens, beside as many random positions."""
    step = run.decomposed[-1].step
    built = TokenFeatureGraph.load(run.folder.graph(step))
    order = frequency_order(built)[:TOP]
    table = coverage_table(built, order, run.vocabulary.shown, TOP)
    write_table(run.folder.graph_table(step, "coverage"), table)
    for name, extra in deeper(built, run.vocabulary, run.study.seed):
        write_table(run.folder.graph_table(step, name), extra)
    found = coverage(built, order)
    used = int(np.count_nonzero(built.token_occurrences.sum(1)))
    Evidence(
        test="E-coverage",
        statistic=f"share of the active features that the {len(order)} most frequent tokens reach",
        **as_columns("measured", found.of_active),
        control=f"{found.positions} random positions (expected, closed form)",
        control_value=found.random,
        effect_name="log ratio of the two",
        **as_columns("effect", found.log_ratio),
        p_value=jackknife_p_value(found.log_ratio, used),
        unit="hash groups of held-out documents",
        units=used,
        seed=run.study.seed,
    ).write(run.folder)


def _growth_evidence(run: Run, firing: dict[int, Firing]) -> None:
    """Do more features fire at the end than in the untrained model, under one recipe?"""
    steps = sorted(firing)
    if len(steps) < 2 or steps[0] != 0:
        run.folder.test("E-growth").unlink(missing_ok=True)  # of other settings
        return  # no untrained model among the checkpoints: the claim stays without its control
    late, untrained = firing[steps[-1]], firing[0]
    effect = log_ratio(late, untrained)
    Evidence(
        test="E-growth",
        statistic=f"features that fire on {late.positions} held-out activations, step {steps[-1]}",
        **as_columns("measured", late.features()),
        control="the untrained model (step 0), same SAE recipe, same activations",
        control_value=untrained.features().value,
        effect_name="log ratio of the two",
        **as_columns("effect", effect),
        p_value=jackknife_p_value(effect, len(late.used)),
        unit="hash groups of held-out documents",
        units=len(late.used),
        seed=run.study.seed,
    ).write(run.folder)
