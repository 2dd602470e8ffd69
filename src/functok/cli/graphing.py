"""``functok graph --model M --sae S --corpus C``: any model, any SAE, any corpus → graphs."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from functok.cli.console import ConsoleProgress
from functok.cli.count import engine_of
from functok.cli.graph_request import Request
from functok.cli.graph_show import show_graph, verified_sentence
from functok.cli.show import print_line
from functok.corpora import open_corpus
from functok.corpus import Corpus
from functok.encoding.documents import encoded_corpus
from functok.encoding.tokenizer import (
    Encoded,
    Tokenizer,
    load_tokenizer,
    save_tokenizer,
    separator_id,
    special_ids,
)
from functok.figures.draw import degree_figure, draw
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.pipeline import build_graphs
from functok.graph.construction.shards import GraphJob, Reading, vocabulary_of
from functok.graph.occurrences import store_size
from functok.graph.tables import views
from functok.models.dictionaries import Sae, open_sae
from functok.models.dictionaries.activations import probe_activations
from functok.models.dictionaries.sites import layers_for, placed
from functok.models.dictionaries.verification import Verification, verify
from functok.models.language.capture import fitting_context
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model, check_tokenizer, decoder_layers, load_model
from functok.runtime.errors import require
from functok.runtime.store import (
    RunFolder,
    fingerprint,
    read_json,
    remove_folder,
    write_json,
    write_table,
)
from functok.runtime.versions import commit, package_version
from functok.tokens.vocabulary import Vocabulary

_PACKAGES = ("functok", "torch", "transformers", "sae-lens", "numpy", "pyarrow")


def build(asked: Request) -> None:
    """Everything from the names to the tables; says on the way what it finds."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    progress = ConsoleProgress()
    engine = engine_of(asked.engine, asked.address, asked.workers)
    require(asked.memory >= 32 << 20, "--memory must be at least 32m: one batch takes as much.")
    corpus = open_corpus(asked.corpus)
    saes = [open_sae(spec, "cpu") for spec in asked.saes]
    tokenizer = load_tokenizer(asked.tokenizer or asked.model)
    model = load_model(asked.model, asked.revision, asked.device, asked.dtype)
    check_tokenizer(model, tokenizer, asked.model)
    asked = replace(asked, context=fitting_context(model, asked.context, asked.model))
    hooks = [
        placed(sae, layer, model)
        for sae, layer in zip(saes, layers_for(asked.layers, saes), strict=True)
    ]
    folder = RunFolder((asked.output or Path("runs") / _name(asked)).resolve())
    with folder.opened():
        save_tokenizer(tokenizer, folder.tokenizer)
        encoded = _encoded(asked, corpus, tokenizer, folder, progress)
        places = _places(folder, saes, hooks)
        checked = _verified(asked, saes, hooks, model, encoded, tokenizer)
        readings = tuple(
            _reading(asked, sae, hook, found, encoded)
            for sae, hook, found in zip(saes, hooks, checked, strict=True)
        )
        del saes
        job = _job(asked, readings, folder, tokenizer, corpus)
        metas = [
            {
                **_described(asked, corpus, encoded, tokenizer),
                "verified": vars(found),
                "key": job.key,
            }
            for found in checked
        ]
        partials = folder.partials("graph")
        if not all(_done(place, job.key) for place in places):
            build_graphs(job, encoded, places, partials, engine, progress, "Graph", metas)
        remove_folder(partials)
        _write_provenance(folder, metas)
        for place in places:
            _view(place, encoded, tokenizer, asked.seed, model)
        degrees = {place.name: pl.read_parquet(place / "degree.parquet") for place in places}
        draw([degree_figure(table, name) for name, table in degrees.items()], folder)
    for place in places:
        show_graph(place)


def _encoded(
    asked: Request, corpus: Corpus, tokenizer: Tokenizer, folder: RunFolder, progress: Any
) -> Encoded:
    """The documents as ids; kept, so that a run that was stopped finds the same."""
    key = fingerprint(
        corpus.fingerprint, tokenizer.backend_tokenizer.to_str(), asked.documents, asked.max_tokens
    )
    if not folder.is_done("encoded", key):
        progress.say("Encoding the documents")
        found, repeated = encoded_corpus(corpus, tokenizer, asked.documents, asked.max_tokens)
        if repeated:
            progress.say(f"  {repeated} repeated documents are left out")
        found.save(folder.encoded("graph"))
        folder.mark_done("encoded", key)
    return Encoded.load(folder.encoded("graph"))


def _verified(
    asked: Request,
    saes: list[Sae],
    hooks: list[HookPoint],
    model: Model,
    encoded: Encoded,
    tokenizer: Tokenizer,
) -> list[Verification]:
    assert asked.context is not None
    place = (asked.context, separator_id(tokenizer), special_ids(tokenizer))
    points = list(dict.fromkeys(hooks))
    seen = dict(zip(points, probe_activations(model, encoded, points, *place), strict=True))
    found = []
    for sae, hook in zip(saes, hooks, strict=True):
        whole = open_sae(sae.spec, "cpu", decoder=True)
        checked = verify(whole, seen[hook])
        if checked.warning is not None and hook.site == "resid_post":
            layers = [HookPoint.residual(layer) for layer in range(len(decoder_layers(model)))]
            others = [layer for layer in layers if layer.layer != hook.layer]
            if others:
                hidden = probe_activations(model, encoded, others, *place)
                names = [f"layer {other.layer}" for other in others]
                checked = verify(whole, seen[hook], dict(zip(names, hidden, strict=True)))
        print_line(verified_sentence(sae, hook, checked))
        if checked.warning:
            print_line(f"Warning: {checked.warning}")
        found.append(checked)
    return found


def _reading(
    asked: Request, sae: Sae, hook: HookPoint, found: Verification, encoded: Encoded
) -> Reading:
    limit = asked.massive * found.median_norm if asked.massive else float("inf")
    size = store_size(len(encoded.ids), found.l0)
    keeps = size <= asked.occurrences
    if not keeps:
        print_line(
            f"The occurrence store of {sae.spec} would take about {size / 2**30:.2g} GiB and is "
            f"not kept; --occurrences {size / 2**30 * 1.2:.2g}g keeps it."
        )
    return Reading(sae.spec, hook, limit, asked.dense, keeps)


def _job(
    asked: Request,
    readings: tuple[Reading, ...],
    folder: RunFolder,
    tokenizer: Tokenizer,
    corpus: Corpus,
) -> GraphJob:
    assert asked.context is not None
    on_gpu = asked.device.startswith("cuda") or (asked.sae_device or "").startswith("cuda")
    job = GraphJob(
        key="",
        model=_absolute(asked.model),
        revision=asked.revision,
        readings=tuple(replace(one, sae=_absolute(one.sae)) for one in readings),
        encoded=folder.encoded("graph"),
        context=asked.context,
        separator=separator_id(tokenizer),
        special=tuple(special_ids(tokenizer)),
        memory=asked.memory,
        with_loss=asked.with_loss,
        dtype=asked.dtype,
        device=asked.device,
        sae_device=asked.sae_device or asked.device,
        precision=asked.precision or ("tf32" if on_gpu else "fp32"),
    )
    ids = (corpus.fingerprint, asked.documents, asked.max_tokens)
    stamps = [_stamp(Path(name)) for name in (job.model, *(one.sae for one in job.readings))]
    settings = {name: value for name, value in vars(job).items() if name != "memory"}
    return replace(job, key=fingerprint("graph 1", settings, ids, stamps))


def _absolute(name: str) -> str:
    """A path as every worker and machine sees it; names on the hub stay what they are."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name


def _stamp(path: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files in a folder; of a name on the hub nothing."""
    files = sorted(path.glob("*")) if path.is_dir() else [path] * path.is_file()
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def _done(place: Path, key: str) -> bool:
    meta = place / "meta.json"
    return meta.exists() and read_json(meta).get("key") == key


def _places(folder: RunFolder, saes: list[Sae], hooks: list[HookPoint]) -> list[Path]:
    names: list[str] = []
    for sae, hook in zip(saes, hooks, strict=True):
        name = sae.name
        if name in names:
            name = f"{name}-{hook.name}"
        require(name not in names, f"SAE {sae.spec!r} is named twice; name it once.")
        names.append(name)
    return [folder.root / "graph" / name for name in names]


def _described(
    asked: Request, corpus: Corpus, encoded: Encoded, tokenizer: Tokenizer
) -> dict[str, Any]:
    return {
        "corpus": {
            "spec": corpus.spec,
            "fingerprint": corpus.fingerprint,
            "documents": len(encoded),
            "tokens": len(encoded.ids),
        },
        "excluded_tokens": tokenizer.convert_ids_to_tokens(special_ids(tokenizer)),
        "massive_means": f"norm above {asked.massive:g} times the probe's median"
        if asked.massive
        else "not left out",
        "seed": asked.seed,
    }


def _write_provenance(folder: RunFolder, metas: list[dict[str, Any]]) -> None:
    versions = {name: package_version(name) for name in _PACKAGES}
    write_json(folder.provenance, {"versions": versions, "commit": commit(), "graphs": metas})


def _view(place: Path, encoded: Encoded, tokenizer: Tokenizer, seed: int, model: Model) -> None:
    """The tables of ``graph/tables.py`` beside the graph; function tokens are those of its text."""
    graph = TokenFeatureGraph.load(place)
    vocabulary = Vocabulary.of_text(tokenizer, vocabulary_of(model), encoded)
    for name, table in views(graph, vocabulary, seed):
        write_table(place / f"{name}.parquet", table)


def _name(asked: Request) -> str:
    model = Path(asked.model).name
    stem = Path(asked.corpus.split("?")[0]).name.split(".")[0]
    return re.sub(r"[^\w.-]+", "-", f"graph-{model}-{stem}").strip("-.")
