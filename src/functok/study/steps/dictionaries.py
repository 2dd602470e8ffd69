"""The SAEs: train them, or verify published ones, and measure their quality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.consolidation.checkpoints import Checkpoint, steps_column
from functok.runtime.paths import user_path
from functok.runtime.store import read_frame, read_json, write_json, write_table
from functok.study.run import Run
from functok.study.settling import stamps
from functok.study.step import ROWS, Step, known, needs_sae

if TYPE_CHECKING:
    from functok.study.settings import DictionaryPart, Study
    from functok.study.step import Shown


def _work(run: Run, key: str) -> dict[str, Any]:
    """Make each SAE ready: trained by its recipe, or published and verified on a probe."""
    for part in run.study.dictionaries:
        rows = []
        for checkpoint in run.decomposed(part):
            if part.load is None:
                _train(run, key, part, checkpoint)
            if part.load is not None or run.study.graph.massive:
                _verify(run, part, checkpoint)
            if part.quality_tokens:
                rows.append(_quality(run, part, checkpoint))
        if rows:
            import pyarrow as pa

            steps = steps_column([checkpoint.step for checkpoint in run.decomposed(part)])
            table = pa.Table.from_pylist(rows).add_column(0, "step", steps)
            write_table(_quality_table(run, part), table)
    return {"dictionaries": [_described(run, *one) for one in _each(run)]}


def _each(run: Run) -> Iterator[tuple[DictionaryPart, Checkpoint]]:
    for part in run.study.dictionaries:
        for checkpoint in run.decomposed(part):
            yield part, checkpoint


def _train(run: Run, key: str, part: DictionaryPart, checkpoint: Checkpoint) -> None:
    from functok.models.dictionaries.activations import sample_activations
    from functok.models.dictionaries.training import train_dictionary

    folder, records, step = run.sae_folder(part, checkpoint), run.folder.records, checkpoint.step
    made = f"dictionary-{part.name}" + ("" if step is None else f"-{step}")
    if records.is_done(made, key):
        return
    records.spoil(made, made)
    assert part.layer is not None
    assert part.recipe is not None
    sample = sample_activations(
        *(run.model(checkpoint), run.encoded("train"), part.layer, run.row_format),
        *(run.vocabulary.classes, part.recipe.activations),
    )
    name = checkpoint.its(f"SAE {part.name}, layer {part.layer}," if step is None else "SAE")
    train_dictionary(sample, part.recipe, part.layer, run.study.seed, folder, run.progress, name)
    records.write(made, key, [folder], {})


def _verify(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> None:
    """Try an SAE on a probe of the text; where it does not fit, at other layers too."""
    from functok.models.dictionaries.activations import probe_activations
    from functok.models.dictionaries.sites import placed
    from functok.models.dictionaries.verification import sentence, verify
    from functok.models.language.hooks import HookPoint
    from functok.models.language.model import decoder_layers

    sae = run.sae(part, checkpoint)
    model = run.model(checkpoint, run.resources.device)
    hook = placed(sae, part.layer, model, part.site)
    text, place = run.measured, (run.row_format, run.special)
    (probe,) = probe_activations(model, text, [hook], *place)
    found = verify(sae, probe)
    if found.warning is not None and hook.site == "resid_post":
        layers = range(len(decoder_layers(model)))
        others = [HookPoint.residual(layer) for layer in layers if layer != hook.layer]
        if others:
            hidden = probe_activations(model, text, others, *place)
            names = [f"layer {other.layer}" for other in others]
            found = verify(sae, probe, dict(zip(names, hidden, strict=True)))
    if part.load is not None:
        run.progress.say(f"  {sentence(sae, hook, found)}")
        if found.warning:
            run.progress.say(f"  Warning: {found.warning}")
    said = {"hook": hook.name, "said": sentence(sae, hook, found), **vars(found)}
    write_json(run.folder.verified(part.name, run.step_of(checkpoint)), said)


def _quality(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> dict[str, Any]:
    from functok.models.dictionaries.quality import dictionary_quality
    from functok.models.dictionaries.sites import residual_layer

    dictionary = run.sae(part, checkpoint).dictionary
    quality = dictionary_quality(
        run.model(checkpoint),
        dictionary,
        run.measured.first(part.quality_tokens),
        residual_layer(run.hook(part, checkpoint)),
        run.row_format,
        run.vocabulary.classes,
    )
    return {"width": dictionary.features, **quality.columns()}


def _quality_table(run: Run, part: DictionaryPart) -> Path:
    name = "dictionaries" if part == run.main else f"dictionaries-{part.name}"
    return run.folder.consolidation(name)


def _described(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> dict[str, Any]:
    """What provenance says of an SAE."""
    from functok.runtime.versions import sha256

    place = user_path(run.sae_spec(part, checkpoint))
    files = sorted(place.glob("*.*")) if place.is_dir() else [place] * place.is_file()
    weights = [file for file in files if file.suffix in (".safetensors", ".npz")]
    verified = run.folder.verified(part.name, run.step_of(checkpoint))
    return {
        "name": part.name,
        "step": checkpoint.step,
        "sae": run.within(run.sae_spec(part, checkpoint)),
        "sha256": {file.name: sha256(file) for file in weights},
        "verified": read_json(verified) if verified.exists() else None,
    }


def _check(run: Run) -> None:
    """Whether each SAE can read the model, before the corpus is encoded."""
    from functok.models.dictionaries import open_sae
    from functok.models.dictionaries.sites import placed
    from functok.models.language.model import layer_of

    loaded = run.model_part.load is not None
    for part, checkpoint in _each(run):
        if part.load is not None:
            sae = open_sae(run.sae_spec(part, checkpoint))
            if loaded:
                placed(sae, part.layer, run.architecture, part.site)
        elif loaded:
            assert part.layer is not None
            layer_of(run.architecture, part.layer)


def _shows(run: Run) -> Shown:

    yield from verified_sentences(run)
    for part in run.study.dictionaries:
        path = _quality_table(run, part)
        if path.exists():
            table = read_frame(path)
            yield known(table.tail(ROWS), "step", "l0", "explained_variance", "ce_recovered")
            yield f"{len(table)} rows in {path}"


def verified_sentences(run: Run) -> Shown:
    """How each published SAE behaves on the probe."""
    for part, checkpoint in _each(run):
        verified = run.folder.verified(part.name, run.step_of(checkpoint))
        if part.load is not None and verified.exists():
            found = read_json(verified)
            yield found["said"]
            if found["warning"]:
                yield f"Warning: {found['warning']}"


def _settings(run: Run) -> Any:
    loaded = [run.sae_spec(*one) for one in _each(run) if one[0].load is not None]
    of_files = stamps(run)
    found = [of_files[f"SAE {spec}"] for spec in loaded]
    parts = [part.model_dump(mode="json") for part in run.study.dictionaries]
    return [parts, found, bool(run.study.graph.massive), run.model_part.overlap]


def _disk(run: Run) -> int:
    """Encoder and decoder of every SAE that is trained here, in fp32."""
    features = sum(part.recipe.width for part, _ in _each(run) if part.load is None and part.recipe)
    return 2 * 4 * features * run.architecture.get_input_embeddings().weight.shape[1]


def _leaves(run: Run) -> Iterable[Path]:
    folders = [run.sae_folder(*one) for one in _each(run)]
    return [*folders, *(_quality_table(run, part) for part in run.study.dictionaries)]


def _title(study: Study) -> str:
    trained = any(part.load is None for part in study.dictionaries)
    return "Training sparse autoencoders" if trained else "Verifying the SAEs on a probe"


DICTIONARIES = Step(
    name="dictionaries",
    title=_title,
    needs=("pretrain",),
    settings=_settings,
    number=2,
    work=_work,
    leaves=_leaves,
    excuse=needs_sae,
    check=_check,
    disk=_disk,
    heals=True,
    figures=("sae-quality",),
    summary="Train SAEs at the chosen checkpoints, or verify published ones; measure quality.",
    shows=_shows,
)
