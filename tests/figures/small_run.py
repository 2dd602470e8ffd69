"""A run folder with every table in it, small and made up, and hostile text wherever it fits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from figures.hostile import HOSTILE, save
from figures.small_retrieval import write_retrieval, write_world
from figures.small_robustness import write_robustness
from functok.claims.evidence import Evidence
from functok.claims.verdicts import assemble
from functok.consolidation.losses import summary
from functok.runtime.store import RunFolder, control_table, graph_table, write_json, write_text

TOKENS = ["⏎", "␣the", *HOSTILE, *(f"w{index}" for index in range(24))]
STEPS = [0, 2, 8]
GROUPS = ("ff", "fc", "cf", "cc")
_ENDS = ("", "_low", "_high")


def write_small_run(root: Path) -> RunFolder:
    """Write it, and return its folder."""
    folder, random = RunFolder(root), np.random.default_rng(0)
    saes = [{"name": "main"}, {"name": "wide"}]
    study = {"name": "small <run>", "trace": {"features": 4}, "dictionaries": saes}
    study |= {"losses": {"gradients": 8000}}
    write_text(folder.study, yaml.safe_dump(study))
    versions = {"functok": "0", "x": HOSTILE[0]}
    write_json(folder.provenance, {"seed": 0, "corpus": {"spec": HOSTILE[0]}, "versions": versions})
    write_json(folder.timings, {"tokens": 1.5, "report": 2.0})
    _tokens(folder)
    _consolidation(folder, random)
    _graph(folder)
    _controls(folder)
    write_retrieval(folder, random)
    write_world(folder)
    evidence = Evidence(
        test="E-coverage",
        statistic=f"share {HOSTILE[0]}",
        measured=0.5,
        measured_low=0.4,
        measured_high=0.6,
        control="random positions",
        control_value=0.75,
        effect_name="log ratio",
        effect=-0.4,
        effect_low=-0.5,
        effect_high=-0.3,
        p_value=0.001,
        unit="groups",
        units=32,
        seed=0,
    )
    evidence.write(folder, 60)
    replace(evidence, effect=0.1, effect_low=-0.1, effect_high=0.3).write(folder.of("wide"), 60)
    assemble(folder)
    return folder


def _tokens(folder: RunFolder) -> None:
    occurrences = np.arange(len(TOKENS), 0, -1) ** 2
    shares = occurrences / occurrences.sum()
    counts = pl.DataFrame(
        {
            "rank": range(1, len(TOKENS) + 1),
            "token_id": range(100, 100 + len(TOKENS)),
            "token": TOKENS,
            "subclass": ["whitespace", "DET", *["content"] * (len(TOKENS) - 2)],
            "occurrences": occurrences,
            "fraction": shares,
            "cumulative": shares.cumsum(),
            "documents": np.minimum(occurrences, 50),
            "document_coverage": np.minimum(occurrences, 50) / 60,
        }
    )
    save(folder.tokens("counts"), counts)
    save(folder.tokens("function_tokens"), counts.head(5))
    bins = [
        {"token": TOKENS[token], "token_id": 100 + token, "bin": place, "positions": 50 + place}
        | {"occurrences": place % (token + 1), "per_thousand": 1000 * (place % (token + 1)) / 50}
        for token in (1, 2)
        for place in range(10)
    ]
    save(folder.tokens("bins"), pl.DataFrame(bins))
    save(folder.tokens("named_bins"), pl.DataFrame(bins))
    write_json(folder.counted, {"documents": 60, "tokens": 9000, "left_out": {}})
    fit = {"first_rank": 1, "last_rank": 20, "exponent": 1.5, "low": 1.4, "high": 1.6}
    save(folder.tokens("zipf"), pl.DataFrame([fit]))
    sweep = [
        {"coverage": c, "tokens": int(100 * c), "ff": c * c, "fc": c - c * c, "cf": c - c * c}
        | {"cc": (1 - c) ** 2}
        for c in (0.2, 0.4, 0.8)
    ]
    save(folder.tokens("sweep"), pl.DataFrame(sweep))


def _consolidation(folder: RunFolder, random: np.random.Generator) -> None:
    cells = [(group, document) for group in GROUPS for document in range(32)]
    count = random.integers(5, 20, len(cells))
    floor = pl.DataFrame(
        {
            "group": [group for group, _ in cells],
            "document_group": [document for _, document in cells],
            "loss_sum": 5.0 * count + random.normal(0, 0.5, len(cells)),
            "count": count,
        }
    )
    save(folder.consolidation("floors"), floor.select(pl.lit("bigram").alias("floor"), pl.all()))
    losses = pl.concat(
        floor.select(
            pl.lit(step).alias("step"),
            "group",
            "document_group",
            pl.col("loss_sum") - step * pl.col("count") / 8,
            "count",
        )
        for step in STEPS
    )
    save(folder.consolidation("losses"), losses)
    save(folder.consolidation("loss_summary"), summary(losses))
    rows = [
        {"step": step, "group": group, "loss_sum": 8.0 * n / step, "count": n}
        for step in range(1, 201)
        for group, n in zip((*GROUPS, "special"), (3, 4, 5, 6, 1), strict=True)
    ]
    save(folder.consolidation("training"), pl.DataFrame(rows))
    pulls = [
        {"step": step, "optimiser": optimiser, "block": "all", "group": group}
        | {f"{name}{end}": 0.25 for name in ("share_of_tokens", "share") for end in _ENDS}
        | {"signal_to_noise": 0.5}
        for step in STEPS
        for optimiser in ("sgd", "adam")
        for group in GROUPS
    ]
    save(folder.consolidation("gradients"), pl.DataFrame(pulls))
    ends = {f"mean{end}": 2.0 for end in _ENDS}
    targets = [
        {"step": step, "kind": kind, "target": target, "group": "all", "tokens": 9} | ends
        for step in STEPS
        for kind, target in (("all", "all"), ("token", HOSTILE[0]), ("decile", "1"))
    ]
    save(folder.consolidation("loss_targets"), pl.DataFrame(targets))
    guesses = [
        {"prompt": 0, "text": f"a {HOSTILE[0]}", "step": step, "position": place}
        | {"token": TOKENS[place], "class": "content" if place else "function"}
        | {"predicted": HOSTILE[place % 2], "probability": 0.1 + step / 10}
        | {"predicted_class": ("function", "content", "special")[(place + step) % 3]}
        | {"next": TOKENS[place + 1], "next_probability": 0.1, "next_rank": 1 + place % 2}
        for step in STEPS
        for place in range(5)
    ]
    save(folder.consolidation("predictions"), pl.DataFrame(guesses))
    dropped = [
        {"arm": "1 drop fc", "control": control, "outcome": outcome, "group": group}
        | {"difference": 0.2, "difference_low": low, "difference_high": 0.3, "seeds": 15}
        for control, low in (("0 full", 0.1), ("6 equal loss", float("nan")))
        for outcome, group in (("answer", "content"), ("loss", "all"), ("loss", "fc"))
    ]
    save(folder.consolidation("arm_effects"), pl.DataFrame(dropped))
    quality = {"step": STEPS, "width": [64] * 3}
    for name in ("l0", "explained_variance", "ce_recovered"):
        quality |= {name: [0.5, 0.6, 0.7], f"{name}_low": [0.4, 0.5, 0.6]}
        quality[f"{name}_high"] = [0.6, 0.7, float("nan")]
    save(folder.consolidation("dictionaries"), pl.DataFrame(quality))
    grown = {"sae": ["main"] * 3, "step": STEPS, "positions": [90] * 3, "width": [64] * 3}
    grown |= {"features": [30, 20, 40], "explained_variance": [0.6, 0.7, 0.7]}
    ends = {"features_low": [28.0, 18.0, 38.0], "features_high": [32.0, 22.0, 42.0]}
    save(folder.consolidation("growth"), pl.DataFrame(grown | ends))


def _graph(folder: RunFolder) -> None:
    size = len(TOKENS)
    degree = {
        "rank": range(1, size + 1),
        "token_id": range(100, 100 + size),
        "token": TOKENS,
        "class": ["function"] * 5 + ["content"] * (size - 5),
        "occurrences": range(size, 0, -1),
        "degree": [*range(size, 1, -1), 0],
        "random_degree": np.linspace(40, 1, size),
    }
    folder.judge(folder.graph("main", STEPS[-1]))
    meta = {"sae": HOSTILE[0], "hook": "blocks.1.hook_resid_post", "features": 64, "l0": 8.0}
    meta |= {"positions": 900, "features_active": 40, "corpus": {"documents": 60, "tokens": 990}}
    write_json(folder.graph("main", STEPS[-1]) / "meta.json", meta)
    deeper = meta | {"hook": "blocks.2.hook_resid_post"}
    write_json(folder.graph("wide", STEPS[-1]) / "meta.json", deeper)
    save(graph_table(folder.graph("main", STEPS[-1]), "degree"), pl.DataFrame(degree))
    share = np.linspace(0.3, 0.8, 10)
    coverage = {
        "rank": range(1, 11),
        "token_id": range(100, 110),
        "token": TOKENS[:10],
        "positions": range(10, 110, 10),
        "of_active": share,
        "of_active_low": share - 0.05,
        "of_active_high": share + 0.05,
        "of_all": share / 2,
        "random": share + 0.1,
        "log_ratio": share - 1,
        "log_ratio_low": share - 1.1,
        "log_ratio_high": share - 0.9,
    }
    for name in ("main", "wide"):
        save(graph_table(folder.graph(name, STEPS[-1]), "coverage"), pl.DataFrame(coverage))
    cover = {
        "ordering": ["frequency"] * size + ["random"] * size,
        "rank": [*range(1, size + 1)] * 2,
        "positions": [*np.arange(1, size + 1) * 9] * 2,
        "of_active": np.tile(np.linspace(0.2, 1, size), 2),
    }
    save(graph_table(folder.graph("main", STEPS[-1]), "cover"), pl.DataFrame(cover))
    scaling = {
        "statistic": ["heaps_exponent"],
        "value": [0.5],
        "low": [0.4],
        "high": [float("nan")],
    }
    save(
        graph_table(folder.graph("main", STEPS[-1]), "scaling"),
        pl.DataFrame(scaling | {"note": [HOSTILE[0]]}),
    )


def _controls(folder: RunFolder) -> None:
    step, nothing = STEPS[-1], float("nan")
    compared = {"reading": ["closed class"], "separation": [0.99], "unit": ["documents"]}
    save(
        control_table(folder.graph("main", step), "compared"),
        pl.DataFrame(compared | {"exposure": [20], "function": [30], "content": [60]}),
    )
    ran = {"control": ["factorial", "slots"], "title": ["Both at once", "Slots"]}
    ran |= {"tables": ["factorial_cells factorial_effects", ""], "absent": [None, "No store."]}
    save(control_table(folder.graph("main", step), "ran"), pl.DataFrame(ran))
    effects = [
        {"reading": reading, "split": "balanced", "bound": 9, "effect": effect, "value": value}
        | {"low": value - 0.1, "high": nothing if value < 0 else value + 0.1}
        | {"p_value": nothing if value < 0 else 0.01, "types": 90, "note": None}
        for reading in ("as studied", "closed class", "DET")
        for effect, value in (("class", -0.2), ("frequency", 0.3))
    ]
    save(control_table(folder.graph("main", step), "factorial_effects"), pl.DataFrame(effects))
    cells = [
        {"reading": reading, "split": "balanced", "frequency": frequency, "class": kind}
        | {"types": 9 if kind == "content" else 1, "mean": 3.0, "mean_log_n": 4.0}
        | {"sd": 0.5 if kind == "content" else nothing}
        for reading in ("as studied", "closed class")
        for frequency in ("high", "low")
        for kind in ("function", "content")
    ]
    save(control_table(folder.graph("main", step), "factorial_cells"), pl.DataFrame(cells))
    pairs = [
        {"reading": "closed class", "design": design, "function_id": 1, "function": HOSTILE[0]}
        | {"content_id": 2, "content": HOSTILE[1], "function_n": 50, "content_n": 48}
        | {"exposure": 20, "difference": value}
        for design in ("matched", "thinned")
        for value in (0.2, -0.3, nothing)
    ]
    save(control_table(folder.graph("main", step), "pairs"), pl.DataFrame(pairs))
    overlap = [
        {"reading": "closed class", "from": 2**power, "below": 2 ** (power + 1)}
        | {"function": power, "content": 9 - power, "common": power > 0}
        for power in range(6)
    ]
    save(control_table(folder.graph("main", step), "overlap"), pl.DataFrame(overlap))
    _exposures(folder)
    write_robustness(folder, step)


def _exposures(folder: RunFolder) -> None:
    step, nothing = STEPS[-1], float("nan")
    schemes = ("uniform", "content", "activations")
    row = {"thinned": None, "positions": 40, "drawn": 40, "covered": 0.5, "expected": 0.6}
    row |= {"log_ratio": -0.2, "low": -0.3, "high": -0.1, "p_value": 0.01, "log_missed": 0.1}
    row |= {"outcome": "below chance", "note": None}
    curve = [
        {"by": "tokens", "size": float(k), "tokens": k, "scheme": scheme} | row
        for k in (1, 2, 5)
        for scheme in schemes
    ]
    save(control_table(folder.graph("main", step), "exposure_curve"), pl.DataFrame(curve))
    sets = [
        {"reading": reading, "half": drawn == 9, "scheme": scheme}
        | row
        | {"thinned": None if drawn == 40 else drawn / 90, "drawn": drawn}
        for reading in ("as studied", "closed class", "DET")
        for scheme in (*schemes, "types")
        for drawn in (40, 3, 9)
    ]
    empty = {"reading": "PART", "half": False, "scheme": "types"} | row
    empty |= {"low": nothing, "outcome": None}
    save(control_table(folder.graph("main", step), "exposure"), pl.DataFrame([*sets, empty]))
    paths = [
        {"group": group, "size": size, "types": 9, "richness": 4.0 + size, "low": 3.0 + size}
        | {"high": 5.0 + size, "extrapolated": size > 20}
        for group in ("closed class", "DET", "content")
        for size in (1, 10, 20, 40)
    ]
    save(control_table(folder.graph("main", step), "richness_paths"), pl.DataFrame(paths))
    choices = [
        {"effect": effect, "sae": "this one", "layer": "", "rule": rule}
        | {"exclusion": "every feature", "definition": definition, "kind": "form"}
        | {"unit": unit, "exposure": None if unit is None else 20, "types": 30}
        | {"value": value, "low": value - 0.1, "high": nothing if value > 0 else value + 0.1}
        for effect in ("coverage", "class", "total", "direct")
        for unit in (None if effect == "coverage" else "documents",)
        for rule, value in (("positive", -0.2), ("4 largest", 0.2))
        for definition in ("closed class", "with punctuation")
    ]
    save(control_table(folder.graph("main", step), "specifications"), pl.DataFrame(choices))
