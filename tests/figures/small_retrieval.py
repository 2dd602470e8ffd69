"""The part of a small made-up run that the section on retrieval shows."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from figures.hostile import HOSTILE, save
from functok.runtime.store import RunFolder


def _traced() -> pl.DataFrame:
    """Two prompts of equal tokens; the second has more of everything at its end."""
    rows = []
    for prompt in range(2):
        first: set[int] = set()
        for position, token in enumerate(["␣the", "cat", "␣the", HOSTILE[0], HOSTILE[1]], 1):
            for feature in (position % 3, 7, 9 + position):
                rows.append(
                    {
                        "position": position,
                        "token_id": 5,
                        "token": token,
                        "class": "function" if token == "␣the" else "content",
                        "feature": feature,
                        "activation": float(feature + position + 2 * prompt * (position > 3)),
                        "density": 0.5 if feature == 7 else 0.01,
                        "first": feature not in first,
                        "prompt": prompt,
                        "text": f"prompt {prompt} {HOSTILE[0]}",
                    }
                )
                first.add(feature)
    return pl.DataFrame(rows)


def write_retrieval(folder: RunFolder, random: np.random.Generator) -> None:
    """Traces, re-activation, steering and a grid."""
    save(folder.retrieval("traces"), _traced())
    again = [
        {"trains": trains, "feature": feature, "class": kind, "at_risk": 400, "again": 40 + feature}
        for trains in ("observed", "shifted")
        for feature in range(4)
        for kind in ("function", "content")
    ]
    save(folder.retrieval("reactivation"), pl.DataFrame(again))
    odds = [
        {"trains": trains, "estimate": estimate, "odds_ratio": value}
        | {"odds_ratio_low": value - 0.1, "odds_ratio_high": value + 0.1}
        for trains, value in (("observed", 1.4), ("shifted", 1.0), ("difference", 1.4))
        for estimate in ("raw", "adjusted", "by feature", "held equal", "matched pairs")
    ]
    save(folder.retrieval("reactivation_odds"), pl.DataFrame(odds))
    steering = [
        {"document": d, "feature": f, "direction": way, "gain": random.normal(f), "kl": 0.1}
        for d in range(6)
        for f in (1, 2, 3)
        for way in ("feature", "random", "other")
    ]
    save(folder.retrieval("steering"), pl.DataFrame(steering))
    classes = [
        {"constraint": name, "class": kind, "own": random.normal(1), "other": random.normal(0)}
        for name in ("norm", "kl")
        for kind in ("function", "content")
        for _ in range(6)
    ]
    save(folder.retrieval("steering_classes"), pl.DataFrame(classes))
    texts = [
        {
            "direction": way,
            "feature": 3,
            "strength": 1.0,
            "prompt": HOSTILE[0],
            "at": f"{HOSTILE[1]}@4",
            "answer": f"{way} {HOSTILE[0]}",
            "follows_in_text": HOSTILE[2],
        }
        for way in ("none", "feature", "random")
    ]
    save(folder.retrieval("steered_text"), pl.DataFrame(texts))
    cells = [
        {
            "prompt": f"{HOSTILE[0]} {prompt}",
            "condition": condition,
            "direction": direction,
            "answer": f"{HOSTILE[1]} {prompt}",
            "right": right,
        }
        for prompt in range(3)
        for condition, right in (("Speak <b>", prompt > 0), ("unjudged", None))
        for direction in ("none", "feature", "random")
    ]
    save(folder.retrieval("grid"), pl.DataFrame(cells))
    _traits(folder)
    _facts(folder)
    write_faces(folder)


def write_faces(folder: RunFolder, tokens: Sequence[str] = ("␣the", *HOSTILE)) -> None:
    """Faces of some of the features that the tables above name, one of them silent."""
    rows = [
        {"feature": feature, "label": f"{feature} · {tokens[-1]}", "active": 10 * feature}
        | {"positions": 900, "maximum": 4.5, "tokens": list(tokens), "shares": [0.5] * len(tokens)}
        | {"neighbours": [f"9 · {token}" for token in tokens], "cosines": [0.25] * len(tokens)}
        | {"promotes": list(tokens), "suppresses": [] if feature else list(tokens)}
        for feature in (0, 1, 2, 3, 7)
    ]
    save(folder.retrieval("features"), pl.DataFrame(rows))
    texts = [
        {"feature": feature, "value": 4.5, "tokens": [*tokens, "␣end"]}
        | {"activations": [4.5, *[None] * (len(tokens) - 1), 0.0]}
        for feature in (1, 3, 3)
    ]
    save(folder.retrieval("feature_contexts"), pl.DataFrame(texts))


def _facts(folder: RunFolder) -> None:
    """Patching, knockout and probes of facts; features ablated."""
    curve = [
        {"final_class": name, "layer": layer, "depth": (layer + 1) / 3, "effect": 0.4 * layer}
        for name in ("function", "punctuation", "content")
        for layer in range(3)
    ]
    save(folder.retrieval("patching_curve"), pl.DataFrame(curve))
    inside = [
        {"label": name, "layer": layer, "direction": way, "moved": 0.2 * layer, "total": 4.0}
        for name in ("function", "content")
        for layer in range(3)
        for way in ("denoising", "noising")
    ]
    save(folder.retrieval("patching_inside"), pl.DataFrame(inside))
    worth = [
        {"variant": variant, "class": name, "measure": measure, "share": 0.2, "low": 0.1}
        | {"high": 0.3, "keys": 4.0, "mass": 0.1}
        for variant in ("mask", "zero", "mean")
        for name in ("separators", "subject")
        for measure in ("shapley", "total")
    ]
    save(folder.retrieval("knockout_classes"), pl.DataFrame(worth))
    told = [
        {"class": name, "last": last, "depth": (layer + 1) / 3, "accuracy": 0.6, "control": 0.5}
        | {"selectivity": 0.1 * layer, "selectivity_low": low, "selectivity_high": 0.3}
        | {"auroc": 0.7, "positions": 40}
        for name, low in (("function", 0.0), ("punctuation", float("nan")), ("content", -0.1))
        for last in (False, True)
        for layer in range(3)
    ]
    save(folder.retrieval("probes"), pl.DataFrame(told))
    effects = [
        {"place": place, "measure": measure, "own": 0.2, "random": 0.1, "effect": 0.1}
        | {"effect_low": low, "effect_high": 0.2, "pairs": 30}
        for place, low in (("naming", 0.0), ("last", float("nan")), ("function − content", -0.1))
        for measure in ("kl", "promoted")
    ]
    save(folder.retrieval("ablation_places"), pl.DataFrame(effects))


def _traits(folder: RunFolder) -> None:
    """Two traits, one without a feature; the second's name is hostile."""
    names = ("Speak Chinese", HOSTILE[0])
    shares = {"success": 0.6, "control": 0.1}
    ends = {f"{name}_{end}": value + by for name, value in shares.items() for end, by in _ENDS}
    layers = [
        {"trait": name, "layer": layer, "prompts": 20, "plain": 0.05, **shares, **ends}
        | {"control_kl": 0.4}
        for name in (*names, None)
        for layer in range(3)
    ]
    save(folder.retrieval("traits_by_layer"), pl.DataFrame(layers))
    first = {"sae": "main", "layer": 1, "feature": 7, "strength": 5.0, "control_kl": 0.4}
    first |= {**shares, **ends, "failure": None}
    rows = [
        {"trait": name, "prompt": HOSTILE[1], "prompts": 20, "plain": 0.05, "best_layer": 1}
        | (first if name == names[0] else dict.fromkeys(first) | {"failure": f"None {HOSTILE[0]}."})
        for name in names
    ]
    save(folder.retrieval("traits"), pl.DataFrame(rows, infer_schema_length=None))


_ENDS = (("low", -0.05), ("high", 0.05))


def write_world(folder: RunFolder) -> None:
    """The same of the tiny world."""
    save(folder.retrieval("world_traces"), _traced())
    places = (("last-position", True), ("last-function", False), ("all", True))
    swaps = [
        {
            "latent": latent,
            "method": method,
            "place": place,
            "last": last,
            "strength": strength,
            "prompts": 40,
            "facts": 8,
            "iia": share,
            "iia_low": share - 0.05,
            "iia_high": share + 0.05,
            "chance": 0.1,
        }
        for latent in ("entity", "language")
        for method, share in (("patch", 0.9), ("features", 0.6), ("random", 0.1))
        for place, last in places
        for strength in (1.0, 2.0)[: 1 if method == "patch" else 2]
    ]
    save(folder.retrieval("world_swaps"), pl.DataFrame(swaps))
    grid = pl.read_parquet(folder.retrieval("grid")).drop_nulls("right")
    save(folder.retrieval("world_grid"), grid)
