"""What a run is about: the model, its SAEs and the text, by their names and sizes."""

from typing import Any

from functok.runtime.store import RunFolder, read_json


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


def _model(model: dict[str, Any]) -> str:
    if not model:
        return ""
    revisions = f", {len(model['revisions'])} revisions" if len(model["revisions"]) > 1 else ""
    return (
        f"{model['name']}{revisions} ({model['kind']}, {model['parameters']:,} parameters, "
        f"{model['layers']} layers, d_model {model['d_model']}), read in rows of "
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
