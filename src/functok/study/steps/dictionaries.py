"""The SAEs: train them, or verify published ones, and measure their quality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.consolidation.checkpoints import Checkpoint, steps_column
from functok.runtime.errors import require
from functok.runtime.paths import user_path
from functok.runtime.store import read_frame, read_json, write_json, write_table
from functok.study.health import health_sentences, quality_table
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.samples import train_saes
from functok.study.settling import stamps
from functok.study.step import ROWS, Step, known, needs_sae, without

if TYPE_CHECKING:
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import DictionaryPart, Study
    from functok.study.step import Shown


def _work(run: Run, key: str) -> dict[str, Any]:
    """Make each SAE ready: trained by its recipe, or published; then try it on a probe."""
    rows: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for checkpoint, parts in by_checkpoint(run).items():
        train_saes(run, key, checkpoint, [part for part in parts if part.load is None])
        for part in parts:
            limit = _verify(run, part, checkpoint)
            if part.quality_tokens and reconstructs(run, part, checkpoint):
                rows.setdefault(part.name, []).append(_quality(run, part, checkpoint, limit))
    for part in run.study.dictionaries:
        if part.name in rows:
            _write_quality(run, part, rows[part.name])
    return {"dictionaries": [_described(run, *one) for one in _each(run)]}


def _each(run: Run) -> Iterator[tuple[DictionaryPart, Checkpoint]]:
    for part in run.study.dictionaries:
        for checkpoint in run.decomposed(part):
            yield part, checkpoint


def by_checkpoint(run: Run) -> dict[Checkpoint, list[DictionaryPart]]:
    """Each checkpoint in order of step, with the SAEs that decompose it."""
    wanted: dict[Checkpoint, list[DictionaryPart]] = {}
    for part, checkpoint in _each(run):
        wanted.setdefault(checkpoint, []).append(part)
    return {checkpoint: wanted[checkpoint] for checkpoint in sorted(wanted)}


def _verify(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> float:
    """Try an SAE on a probe of the text; where it does not fit, at other layers too.

    Returns:
        The norm above which a position is massive.
    """
    from functok.models.dictionaries.activations import probe_activations
    from functok.models.dictionaries.sae import measured_factor
    from functok.models.dictionaries.sites import placed
    from functok.models.dictionaries.verification import sentence, verify
    from functok.models.language.hooks import HookPoint
    from functok.models.language.model import decoder_layers

    measures = part.norm_factor == "auto"
    sae = run.sae(part, checkpoint, 1.0 if measures else None)
    sae = replace(sae, spec=run.within(sae.spec))
    model = run.model(checkpoint)
    hook = placed(sae, part.layer, model, part.site)
    text, place = run.measured, (run.row_format, run.exclusions)
    (probe,) = probe_activations(model, text, [hook], *place)
    limit = run.exclusions.norm_limit(probe)
    kept = probe.norm(dim=1) <= limit
    if measures:
        sae = sae.with_factor(measured_factor(probe[kept]))
    found = verify(sae, probe[kept])
    if found.warning is not None and hook.site == "resid_post":
        layers = range(len(decoder_layers(model)))
        others = [HookPoint.residual(layer) for layer in layers if layer != hook.layer]
        if others:
            hidden = [some[kept] for some in probe_activations(model, text, others, *place)]
            names = [f"layer {other.layer}" for other in others]
            found = verify(sae, probe[kept], dict(zip(names, hidden, strict=True)))
    if part.load is not None:
        run.progress.say(f"  {sentence(sae, hook, found)}")
        if found.warning:
            run.progress.say(f"  Warning: {found.warning}")
    norm_above = limit if limit < float("inf") else None
    said = {"hook": hook.name, "said": sentence(sae, hook, found), **vars(found)}
    said |= {"norm_above": norm_above, "massive": int((~kept).sum())}
    said |= {"norm_factor": sae.dictionary.norm_factor}
    write_json(run.folder.verified(part.name, checkpoint.step), said)
    return limit


def reconstructs(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> bool:
    """Whether an SAE gives back the residual stream after a layer, so that it can be replaced."""
    hook = run.hook(part, checkpoint)
    return hook.site == "resid_post" or (hook.site == "resid_pre" and (hook.layer or 0) > 0)


def _quality(
    run: Run, part: DictionaryPart, checkpoint: Checkpoint, limit: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row of the table, and what was left out."""
    from functok.encoding.documents import drawn, sample_sentence
    from functok.models.dictionaries.quality import dictionary_quality
    from functok.models.dictionaries.sites import residual_layer
    from functok.runtime.progress import ticking

    dictionary = run.sae(part, checkpoint).dictionary
    text = drawn(run.measured, part.quality_tokens)
    run.progress.say(f"  Quality on {sample_sentence(text, run.measured)}")
    name, passes = checkpoint.its("Quality of the SAE"), 2
    with run.progress.task(name, passes * len(text.ids), "tokens") as task, ticking(task):
        quality = dictionary_quality(
            run.model(checkpoint),
            dictionary,
            text,
            residual_layer(run.hook(part, checkpoint)),
            run.row_format,
            run.exclusions,
            limit,
            memory=run.resources.memory,
        )
    row = {"step": checkpoint.step, "width": dictionary.features, "documents": len(text)}
    return row | quality.columns(), quality.excluded


def _write_quality(
    run: Run, part: DictionaryPart, rows: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    import pyarrow as pa

    from functok.claims.evidence import with_intervals
    from functok.models.exclusions import with_exclusions

    table = pa.Table.from_pylist([row for row, _ in rows])
    table = with_intervals(table, table["documents"][0].as_py())
    steps = steps_column([row["step"] for row, _ in rows])
    table = table.set_column(0, "step", steps)
    excluded = {str(row["step"]): left_out for row, left_out in rows}
    write_table(quality_table(run, part), with_exclusions(table, excluded))


def _described(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> dict[str, Any]:
    """What provenance says of an SAE."""
    from functok.runtime.versions import sha256

    place = user_path(run.sae_spec(part, checkpoint))
    files = sorted(place.glob("*.*")) if place.is_dir() else [place] * place.is_file()
    files += place.glob("checkpoints/final.safetensors")
    weights = [file for file in files if file.suffix in (".safetensors", ".npz", ".pt")]
    verified = run.folder.verified(part.name, checkpoint.step)
    return {
        "name": part.name,
        "step": checkpoint.step,
        "sae": run.within(run.sae_spec(part, checkpoint)),
        "sha256": {file.name: sha256(file) for file in weights},
        "verified": read_json(verified) if verified.exists() else None,
    }


def _check(run: Run) -> None:
    """Whether each SAE can read the model and stands once, before the corpus is encoded."""
    from functok.models.dictionaries import open_sae
    from functok.models.dictionaries.sites import placed
    from functok.models.language.model import layer_of

    loaded = run.model_part.load is not None
    seen: dict[tuple[Any, ...], str] = {}
    for part, checkpoint in _each(run):
        what: Any = (part.recipe, part.seed)
        where: Any = (part.layer, part.site)
        if part.load is not None:
            factor = 1.0 if part.norm_factor == "auto" else part.norm_factor
            sae = open_sae(run.sae_spec(part, checkpoint), norm_factor=factor)
            what = str(user_path(sae.spec).resolve())
            if loaded:
                where = placed(sae, part.layer, run.architecture, part.site)
        elif loaded:
            where = part.place_in(run.architecture)
            layer_of(run.architecture, part.layer_in(run.architecture))
        other = seen.setdefault((checkpoint, what, where), part.name)
        same = f"SAEs {other} and {part.name} are one SAE twice at one site; name it once."
        require(other == part.name, same)


def _shows(run: Run) -> Shown:

    yield from verified_sentences(run)
    for part in run.study.dictionaries:
        path = quality_table(run, part)
        if path.exists():
            table = read_frame(path)
            columns = ("explained_variance", "with_massive", "ce_recovered")
            yield known(table.tail(ROWS), "step", "l0", *columns)
        yield from health_sentences(run, part)
        if path.exists():
            yield f"{len(read_frame(path))} rows in {path}"


def verified_sentences(run: Run) -> Shown:
    """How each published SAE behaves on the probe."""
    for part, checkpoint in _each(run):
        verified = run.folder.verified(part.name, checkpoint.step)
        if part.load is not None and verified.exists():
            found = read_json(verified)
            yield found["said"]
            if found["warning"]:
                yield f"Warning: {found['warning']}"


def _settings(run: Run) -> Any:
    loaded = [run.sae_spec(*one) for one in _each(run) if one[0].load is not None]
    of_files = stamps(run)
    found = [of_files[f"SAE {spec}"] for spec in loaded]
    parts = [_said(part) for part in run.study.dictionaries]
    return [parts, found, run.study.graph.massive, run.model_part.overlap]


def _said(part: DictionaryPart) -> dict[str, Any]:
    from functok.models.dictionaries.settings import LATER

    said = without(part.model_dump(mode="json"), norm_factor=None, seed=0)
    return said if part.recipe is None else said | {"recipe": without(said["recipe"], **LATER)}


def _cost(run: Run, forecast: Forecast) -> Cost:
    """At each checkpoint one pass for the samples, the trainings, a probe, and the quality."""
    cost = forecast.loading()
    for _, parts in by_checkpoint(run).items():
        trained = [part for part in parts if part.load is None]
        cost += forecast.sampling(trained) if trained else forecast.loading()
        for part in trained:
            cost += forecast.sae_training(part)
        for part in parts:
            cost += forecast.loading(2) + forecast.probing(forecast.probe.sae(part).layers)
            cost += forecast.quality(part, forecast.measured(part.quality_tokens))
    return cost


def _leaves(run: Run) -> Iterable[Path]:
    folders = [run.sae_folder(*one) for one in _each(run)]
    return [*folders, *(quality_table(run, part) for part in run.study.dictionaries)]


def _title(study: Study) -> str:
    trained = any(part.load is None for part in study.dictionaries)
    return "Training sparse autoencoders" if trained else "Verifying the SAEs on a probe"


DICTIONARIES = Step(
    name="dictionaries",
    title=_title,
    needs=("pretrain",),
    settings=_settings,
    number=3,
    work=_work,
    runs_model=True,
    leaves=_leaves,
    excuse=needs_sae,
    check=_check,
    cost=_cost,
    heals=True,
    figures=("sae-quality",),
    summary="Train SAEs at the chosen checkpoints, or verify published ones; measure quality.",
    shows=_shows,
)
