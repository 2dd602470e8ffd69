"""The small model and SAE of the demo on all of its documents, from which corpora are drawn again.

The study is brought as far as its baselines, in a folder of its own. Then every document is read
once by its model, and once by the untrained one.
"""

from functools import cache
from pathlib import Path

import numpy as np

from functok.calibration.redrawn import Whole, drawn_account, observations
from functok.cli.work import bring, made
from functok.controls.names import BASELINE_NAMES
from functok.encoding.tokenizer import Encoded
from functok.graph.construction.pipeline import build_graphs
from functok.graph.construction.shards import GraphJob, Reading
from functok.graph.contrasts import GRAMMAR
from functok.models.language.untrained import write_untrained
from functok.runtime.progress import Silent
from functok.runtime.store import baseline, read_json, remove_folder
from functok.studies import study_file
from functok.study.opening import open_run
from functok.study.run import Run
from functok.study.settings import load_study

ACCOUNT = GRAMMAR
"""The reading whose account must be the same."""


def prepare(demo: Path, place: Path) -> None:
    """Bring the demo as far as its baselines in folder ``demo``, and keep in ``place`` what its
    models show in every document; what is there already is not done again."""
    every = f"controls.baselines=[{', '.join(BASELINE_NAMES)}]"
    study = load_study(study_file("demo-scratch"), ["world.profile=null", every])
    _documents(bring(made(study, demo), ["baselines"]), place)


def accounts(demo: Path, place: Path, seed: int) -> dict[str, str]:
    """The account by reading in one corpus of the demo's size."""
    whole, tokens = _whole(demo, place)
    return drawn_account(whole, tokens, seed)


@cache
def _whole(demo: Path, place: Path) -> tuple[Whole, int]:
    run = open_run(demo, Silent())
    assert run.study.graph.tokens is not None
    return _documents(run, place), run.study.graph.tokens


def _documents(run: Run, place: Path) -> Whole:
    train, apart = run.encoded("train"), run.encoded("held-out")
    offsets = np.concatenate([train.offsets, apart.offsets[1:] + train.offsets[-1]])
    every = Encoded(
        np.concatenate([train.ids, apart.ids]), offsets, np.concatenate([train.keys, apart.keys])
    )
    if not (place / "encoded.safetensors").exists():
        every.save(place / "encoded.safetensors")
    untrained = baseline(run.judged, "reinitialised")
    model = place / "untrained-model"
    if not model.exists():
        write_untrained(run.last.model, None, model, run.study.seed + 1)
    made_of = {
        "trained": (run.last.model, run.sae_folder(run.main, run.last), run.judged),
        "untrained": (str(model), untrained / "sae", untrained / "graph"),
    }
    seen = {name: _seen(run, place, every, name, *parts) for name, parts in made_of.items()}
    features = read_json(run.judged / "meta.json")["features"]
    return Whole(every, run.vocabulary, features, **seen)


def _seen(run: Run, place: Path, every: Encoded, name: str, model: str, sae: Path, graph: Path):
    """What one SAE sees in every document; read once, and kept."""
    target = place / name
    if not (target / "meta.json").exists():
        limit = read_json(graph / "meta.json")["excluded"]["norm_above"]
        reading = Reading(
            str(sae.resolve()),
            run.hook(run.main, run.last),
            float("inf") if limit is None else limit,
        )
        job = GraphJob(
            key=name,
            model=str(Path(model).resolve()),
            readings=(reading,),
            encoded=place / "encoded.safetensors",
            row_format=run.row_format,
            special=tuple(run.special),
        )
        build_graphs(job, every, [target], place / f"{name}-partials", progress=run.progress)
        remove_folder(place / f"{name}-partials")
    return observations(target / "occurrences")
