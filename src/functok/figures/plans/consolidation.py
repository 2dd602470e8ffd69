"""Figures of the section on consolidation."""

import polars as pl

from functok.figures.charts import growth, losses
from functok.figures.plan import Plan, made_from, read
from functok.runtime.store import RunFolder


def _growth(folder: RunFolder, features: int) -> list[pl.DataFrame]:
    found = read(folder.consolidation("growth"))
    return [growth.features_by_step(found)] if found is not None and len(found) > 1 else []


PLANS = (
    Plan(
        name="training-loss",
        section="consolidation",
        title="Training loss by transition group",
        reading="Each line is the mean loss of the next-token predictions of one group, binned "
        "over steps.",
        control="None here: compare with the held-out loss and its floors below.",
        absent="No model was trained here, so there is no training loss.",
        tables=made_from(losses.training_losses, lambda folder: folder.consolidation("training")),
        chart=losses.training_loss,
    ),
    Plan(
        name="held-out-loss",
        section="consolidation",
        title="Held-out loss by transition group",
        reading="How far a line lies above or below its own dashed line is what the model lacks "
        "or has learned beyond word pairs; the height alone is mostly the text's own "
        "unpredictability.",
        control="Each dashed line is the loss of a Kneser–Ney bigram on the same tokens.",
        absent="The held-out loss was not split by transition group.",
        tables=made_from(
            losses.held_out_losses,
            lambda folder: folder.consolidation("loss_summary"),
            lambda folder: folder.consolidation("floors"),
        ),
        chart=losses.held_out_loss,
    ),
    Plan(
        name="loss-share",
        section="consolidation",
        title="Who makes the loss",
        reading="The first bar divides the tokens, the others the loss at each checkpoint; a "
        "group whose block grows falls behind the others.",
        control="The first bar is what each group's share would be if all tokens were equally "
        "hard.",
        absent="The held-out loss was not split by transition group.",
        tables=made_from(losses.loss_shares, lambda folder: folder.consolidation("loss_summary")),
        chart=losses.loss_share,
    ),
    Plan(
        name="sae-quality",
        section="consolidation",
        title="How faithful the SAEs are",
        reading="Higher explained variance and more recovered cross-entropy mean a more faithful "
        "SAE; counts of features compare only between SAEs of like quality.",
        control="The SAE of step 0, where there is one, was trained on an untrained model: what "
        "it reaches takes no learning.",
        absent="No SAE was judged.",
        tables=made_from(growth.sae_qualities, lambda folder: folder.consolidation("dictionaries")),
        chart=growth.sae_quality,
    ),
    Plan(
        name="features-firing",
        section="consolidation",
        title="Features that fire at each checkpoint",
        reading="Each point counts the features that fire at least once on the same held-out "
        "positions, with one SAE recipe for all checkpoints.",
        control="Step 0 is the untrained model: features counted there are geometry, not memory.",
        absent="Fewer than two checkpoints have an SAE, so there is no growth to draw.",
        tables=_growth,
        chart=growth.features_firing,
    ),
)
