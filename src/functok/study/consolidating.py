"""The links of the paper's §4 that need no SAE: pre-training, and the loss by group."""

import numpy as np
import polars as pl
import pyarrow as pa

from functok.consolidation.floors import KneserNeyBigram
from functok.consolidation.losses import (
    GroupedLoss,
    contrast,
    loss_table,
    model_losses,
    summary,
)
from functok.evidence import Evidence, as_columns
from functok.models.groups import GroupLoss
from functok.models.language import Model, check_tokenizer, layer_of
from functok.models.training import new_llama, train
from functok.stats import jackknife_p_value
from functok.store import remove_folder, write_table, writing_folder
from functok.study.run import Run
from functok.tokens.classes import TRANSITIONS, class_array
from functok.tokens.contexts import packed_windows

FLOOR = "kneser-ney-bigram"


def model(run: Run, key: str) -> None:
    """Pre-train the model, or make sure that the published one can be used."""
    part = run.study.model
    if part.load:
        for checkpoint in run.checkpoints:
            loaded = run.model(checkpoint)
            check_tokenizer(loaded, run.tokenizer, checkpoint.model)
            layer_of(loaded, run.study.dictionaries.layer)
        assert run.decomposed  # steps that the model does not have are refused before the work
        return
    state = run.folder.resume(f"model-{key}")
    if not state.exists():
        # Models and states of other settings; settle() has asked.
        remove_folder(state.parent)
        remove_folder(run.folder.models)
    function = pl.read_parquet(run.folder.tokens("function_tokens"))["token_id"].to_list()
    size = len(run.tokenizer)
    windows = packed_windows(run.encoded("train"), part.training.context, run.separator)

    def save(trained: Model, step: int) -> None:
        folder = run.folder.model(step)
        if not folder.exists():
            with writing_folder(folder) as temporary:
                trained.save_pretrained(temporary)
                run.tokenizer.save_pretrained(temporary)

    ledger = train(
        model=new_llama(part.shape, size, part.training.context, run.study.seed),
        windows=windows,
        settings=part.training,
        loss=GroupLoss(class_array(function, run.special, size)),
        seed=run.study.seed,
        checkpoints=run.study.checkpoint_steps(),
        save=save,
        state=state,
        progress=run.progress,
    )
    names = np.array([*TRANSITIONS, "special"])
    named = ledger.set_column(
        ledger.column_names.index("group"), "group", pa.array(names[ledger["group"].to_numpy()])
    )
    write_table(run.folder.consolidation("training"), named)


def losses(run: Run, key: str) -> None:
    """The loss on held-out text by transition group, at every checkpoint and under the floor."""
    held_out, place = run.encoded("held-out"), (run.study.context, run.separator, run.classes)
    parts = []
    with run.progress.task("Held-out losses", len(run.checkpoints), "checkpoints") as task:
        for checkpoint in run.checkpoints:
            table = loss_table(model_losses(run.model(checkpoint)), held_out, *place)
            step = pa.array([checkpoint.step] * len(table))
            parts.append(table.add_column(0, "step", step))
            task.advance()
    table = pa.concat_tables(parts)
    write_table(run.folder.consolidation("losses"), table)

    bigram = KneserNeyBigram.fit(run.encoded("train"), run.classes)
    floor = loss_table(bigram.losses, held_out, *place)
    write_table(
        run.folder.consolidation("floors"), floor.add_column(0, "floor", [[FLOOR] * len(floor)])
    )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    write_table(run.folder.consolidation("loss_summary"), summary(frame).to_arrow())
    _loss_evidence(run, frame, floor)


def _loss_evidence(run: Run, frame: pl.DataFrame, floor: pa.Table) -> None:
    """Is function→content harder than content→content beyond what a bigram finds hard?"""
    last = run.checkpoints[-1].step
    learned = GroupedLoss(frame.filter(pl.col("step") == last))
    simple = GroupedLoss(pl.DataFrame(pl.from_arrow(floor)))
    effect = contrast([(learned, 1.0), (simple, -1.0)], "fc", "cc")
    Evidence(
        test="E-loss",
        statistic=f"loss of function→content minus content→content, nats, step {last}",
        **as_columns("measured", learned.contrast("fc", "cc")),
        control="the same difference under a Kneser–Ney bigram",
        control_value=simple.contrast("fc", "cc").value,
        effect_name="difference in excess loss, nats",
        **as_columns("effect", effect),
        p_value=jackknife_p_value(effect, len(learned.used)),
        unit="hash groups of held-out documents",
        units=len(learned.used),
        seed=run.study.seed,
    ).write(run.folder)
