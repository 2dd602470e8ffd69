"""The features of the study's traits: the table below the figures of the retrieval section."""

from functok.report.markup import escaped, paragraphs, percent, table
from functok.retrieval.steering.trait_tables import in_words
from functok.runtime.store import RunFolder, read_frame

_COLUMNS = "trait plain best_layer sae layer feature success success_low success_high control"
_TITLES = {
    **{"plain": "unsteered", "sae": "SAE", "layer": "its layer"},
    **{"success": "feature alone", "control": "random direction"},
}


def traits_found(folder: RunFolder) -> str:
    """The feature of each trait with how often it shows the trait, and why others have none."""
    path = folder.retrieval("traits")
    if not path.exists():
        return ""
    found = read_frame(path)
    why = [
        f"{row['trait']}: {row['failure']}"
        for row in found.drop_nulls("failure").iter_rows(named=True)
    ]
    shares = ("plain", "success", "success_low", "success_high", "control")
    return (
        "<h3>Trait features, as in the paper's Appendix A</h3>"
        f"<p>{escaped(in_words(found))} Success is judged by the study's own rule; every answer is "
        "in retrieval/traits_answers.parquet.</p>"
        + table(found, _COLUMNS, _TITLES, dict.fromkeys(shares, percent))
        + paragraphs(why)
    )
