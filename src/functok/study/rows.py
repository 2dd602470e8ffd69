"""What the rows of a study are: what they begin with, and how a long document continues."""

from typing import TYPE_CHECKING

from functok.encoding.contexts import RowFormat, usual_overlap
from functok.models.language.row_start import (
    RowStart,
    measured_start,
    probe_tokens,
    set_start,
    trained_start,
)
from functok.runtime.progress import ticking

if TYPE_CHECKING:
    from functok.models.language.model import Model
    from functok.study.run import Run


def found_start(run: "Run", model: "Model") -> RowStart:
    """What a loaded model's rows begin with: as the study sets it, else by a probe of its text."""
    asked, text = run.model_part.row_start, run.measured
    if asked != "auto":
        return set_start(run.tokenizer, asked)
    total = probe_tokens(run.tokenizer, text)
    with run.progress.task("What rows begin with", total, "tokens") as task, ticking(task):
        return measured_start(model, run.tokenizer, text, "documents of the corpus")


def row_start(run: "Run") -> RowStart:
    """What rows begin with; of a loaded model, as was found when the model was checked."""
    if run.model_part.load:
        return RowStart(**run.facts("pretrain")["row_start"])
    return trained_start(run.tokenizer, run.separator)


def row_format(run: "Run") -> RowFormat:
    """How documents become the rows on which the model is measured.

    Raises:
        UserError: if the overlap leaves no new token in a row.
    """
    asked = run.model_part.overlap
    overlap = usual_overlap(run.context) if asked is None else asked
    return RowFormat(run.context, row_start(run).id, overlap)
