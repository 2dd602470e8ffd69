"""From a job to finished graphs: shards on any engine, then one folder per SAE."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.assembly import assemble
from functok.graph.construction.shards import (
    GraphJob,
    document_shards,
    loaded_dictionary,
    loaded_model,
    vocabulary_of,
)
from functok.graph.edges import Packing
from functok.runtime.engine import Engine, run_shards
from functok.runtime.progress import Progress


def build_graphs(
    job: GraphJob,
    encoded: Encoded,
    places: Sequence[Path],
    partials: Path,
    engine: Engine | None = None,
    progress: Progress | None = None,
    name: str = "Graph",
    metas: Sequence[dict[str, Any]] = (),
) -> list[TokenFeatureGraph]:
    """Run ``job`` over ``encoded`` and write one graph for each of its readings.

    Args:
        job: what is done with each shard; its ``encoded`` is where ``encoded`` was saved.
        encoded: the documents.
        places: a folder for each of the job's readings.
        partials: where the shards' results are kept until the graphs are whole.
        engine: where shards run.
        progress: who is told.
        name: what the work is called there.
        metas: what is recorded with each graph besides.

    Raises:
        UserError: if something cannot be written; finished shards are kept.
    """
    shards = document_shards(encoded)
    parts = run_shards(job, shards, partials, engine, progress, name, partial(_tokens, encoded))
    model = loaded_model(job.model, job.revision, job.device, job.dtype, job.key)
    vocabulary = vocabulary_of(model)
    del model
    loaded_model.cache_clear()  # merging, and whatever comes next, needs the memory
    for number, (reading, place) in enumerate(zip(job.readings, places, strict=True)):
        dictionary = loaded_dictionary(reading.sae, job.sae_device, job.key, reading.norm_factor)
        meta = {
            "model": job.model,
            "revision": job.revision,
            "sae": reading.sae,
            "hook": reading.hook.name,
            "rows": vars(job.row_format),
            "precision": {"model": job.dtype, "products": job.precision},
            "excluded": {
                "token_ids": list(job.special),
                "norm_above": reading.massive if reading.massive < float("inf") else None,
                "density_above": reading.dense if reading.dense < 1 else None,
            },
            **(metas[number] if metas else {}),
        }
        packing = Packing(vocabulary, dictionary.features)
        label = f"{name}, merging" + (f" {place.name}" if len(places) > 1 else "")
        assemble(parts, number, place, packing, job.memory, encoded, meta, progress, label)
    loaded_dictionary.cache_clear()
    return [TokenFeatureGraph.load(place) for place in places]


def _tokens(encoded: Encoded, shard: tuple[int, int]) -> int:
    """Tokens of the documents ``start`` to ``stop``."""
    start, stop = shard
    return int(encoded.offsets[stop] - encoded.offsets[start])
