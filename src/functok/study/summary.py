"""What a run is about: the model, its SAEs and the text, by their names and sizes."""

from typing import Any

from functok.runtime.paths import user_path
from functok.runtime.store import RunFolder, read_json
from functok.runtime.store.records import read_record
from functok.study.run import Run


def summary(folder: RunFolder) -> dict[str, str]:
    """One sentence each on Model, SAE and Text, as far as the run has them."""
    if not folder.provenance.exists():
        return {}
    found = read_json(folder.provenance)
    judged = None if folder.judged is None else folder.judged / "meta.json"
    meta = read_json(judged) if judged is not None and judged.exists() else {}
    said = {
        "Model": _model(found.get("model", {})),
        "SAE": _sae(meta),
        "Text": _text(found, meta),
    }
    return {name: sentence for name, sentence in said.items() if sentence}


def sentences(folder: RunFolder) -> list[str]:
    """The same for the terminal."""
    return [f"{name}: {said}." for name, said in summary(folder).items()]


def model_name(folder: RunFolder) -> str | None:
    """The name and revision of a loaded model; None for one that was trained in the run."""
    if not folder.provenance.exists():
        return None
    model = read_json(folder.provenance).get("model", {})
    return model["name"] if model.get("loaded") else None


def about_model(folder: RunFolder) -> list[str]:
    """What to know of the model before any result, a sentence each."""
    model = read_record(folder.provenance).get("model")
    origin = model.get("origin") if isinstance(model, dict) else None
    return [] if origin is None else [f"The model's weights are {origin}."]


def _model(model: dict[str, Any]) -> str:
    if not model:
        return ""
    revisions = f", {len(model['revisions'])} revisions" if len(model["revisions"]) > 1 else ""
    weights = f", weights {model['origin']}" if "origin" in model else ""
    return (
        f"{model['name']}{revisions} ({model['kind']}, {model['parameters']:,} parameters, "
        f"{model['layers']} layers, d_model {model['d_model']}{weights}), run on rows of "
        f"{model['context']} tokens"
    )


def _sae(meta: dict[str, Any]) -> str:
    if not meta:
        return ""
    return f"{meta['sae']} at {meta['hook']}, {meta['features']:,} features, L0 {meta['l0']:.3g}"


def _text(found: dict[str, Any], meta: dict[str, Any]) -> str:
    spec, counted = found.get("corpus", {}).get("spec"), found.get("counted", {})
    if not spec:
        return ""
    whole = f", {counted['documents']:,} documents, {counted['tokens']:,} tokens" if counted else ""
    read = meta.get("corpus", {})
    part = (
        f"; of these, {read['documents']:,} documents, {read['tokens']:,} tokens in the graph"
        if "documents" in read
        else ""
    )
    return f"{spec}{whole}{part}"


def described(run: Run) -> dict[str, Any]:
    """The model in words and sizes, for whoever reads about it."""
    from functok.models.language.gguf import origin_of
    from functok.models.language.model import decoder_layers

    part, model = run.model_part, run.architecture
    origin = origin_of(user_path(run.last_trained.model)) if part.load else None
    said = {} if origin is None else {"origin": origin}
    return said | {
        "name": run.last_trained.called if part.load else "trained here",
        "loaded": part.load,
        "revisions": [one.revision or one.name for one in run.checkpoints] if part.load else [],
        "kind": type(model).__name__,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "layers": len(decoder_layers(model)),
        "d_model": model.config.get_text_config().hidden_size,
        "context": run.context,
    }


def fingerprints(run: Run) -> dict[str, Any]:
    """Where each checkpoint lies, and the SHA-256 of its weights as far as they are here."""
    from functok.runtime.versions import sha256

    return {
        checkpoint.name if checkpoint.step is None else str(checkpoint.step): {
            "model": run.within(checkpoint.model),
            "revision": checkpoint.revision,
            "sha256": {
                file.name: sha256(file)
                for file in sorted(user_path(checkpoint.model).glob("*.safetensors"))
            },
        }
        for checkpoint in run.checkpoints
    }


def other_saes(folder: RunFolder, study: dict[str, Any]) -> list[RunFolder]:
    """The places of the results of each SAE but the first, which claims are not judged on.

    Args:
        study: as it was written out.
    """
    parts = study.get("dictionaries")
    return [folder.of(part["name"]) for part in parts[1:]] if isinstance(parts, list) else []
