"""The links of a study in order, what each needs, and what determines it.

The report is a link too; it comes after the figures and lives with them (``functok.report``).
"""

from functok.claims.verdicts import assemble
from functok.consolidation.checkpoints import weights_stamp
from functok.controls.suite.suite import chosen
from functok.study.provenance import write_provenance
from functok.study.run import Link, Run
from functok.study.steps import baselines as arming
from functok.study.steps import controls as controlling
from functok.study.steps import graph as mapping
from functok.study.steps import losses as consolidating
from functok.study.steps import pretrain as pretraining
from functok.study.steps import reactivation as recurring
from functok.study.steps import retrieval as retrieving
from functok.study.steps import tokens as preparing
from functok.study.steps import world as answering


def _claims(run: Run, key: str) -> None:
    write_provenance(run)
    assemble(run.folder)


def _model_settings(run: Run) -> list:
    part = run.study.model
    if part.load:
        stamps = [weights_stamp(checkpoint) for checkpoint in run.checkpoints]
        return [part.load, part.revisions, part.context, stamps]
    return [part.model_dump(mode="json"), run.study.checkpoint_steps()]


def _control_settings(run: Run) -> list:
    part, names = run.study.controls, run.study.tokens
    which = [control.name for control in chosen(part.only)]
    return [which, part.unit, part.exposure, names.languages, names.treebank]


LINKS = (
    Link(
        "tokenizer",
        "Reading the corpus, making the tokenizer",
        (),
        lambda run: [run.corpus_fingerprint, run.study.tokenizer.model_dump()],
        preparing.tokenizer,
    ),
    Link(
        "documents",
        "Encoding the documents",
        ("tokenizer",),
        lambda run: run.study.held_out,
        preparing.documents,
    ),
    Link(
        "tokens",
        "Counting tokens, finding the function tokens",
        ("documents",),
        lambda run: [run.study.tokens.model_dump(), run.treebank_fingerprint],
        preparing.tokens,
    ),
    Link(
        "pretrain",
        "Pre-training the model",
        ("tokens",),
        _model_settings,
        pretraining.model,
    ),
    Link(
        "losses",
        "Splitting the held-out loss by transition group",
        ("pretrain",),
        lambda run: None,
        consolidating.losses,
    ),
    Link(
        "dictionaries",
        "Training sparse autoencoders",
        ("pretrain",),
        lambda run: run.study.dictionaries.model_dump(mode="json"),
        mapping.dictionaries,
    ),
    Link(
        "graph",
        "Building the token–feature graph",
        ("dictionaries",),
        lambda run: run.study.graph.model_dump(),
        mapping.graph,
    ),
    Link(
        "coverage",
        "Measuring coverage beside random positions",
        ("graph",),
        lambda run: None,
        mapping.reach,
    ),
    Link(
        "arms",
        "Building what the graph is held against",
        ("graph",),
        lambda run: run.study.controls.arms,
        arming.arms,
    ),
    Link(
        "controls",
        "Asking whether it is frequency",
        ("coverage", "arms"),
        _control_settings,
        controlling.controls,
    ),
    Link(
        "trace",
        "Tracing features through prompts",
        ("graph",),
        lambda run: run.study.trace.prompts,
        retrieving.traces,
    ),
    Link(
        "reactivation",
        "Counting where features come back",
        ("graph",),
        lambda run: None,
        recurring.reactivation,
    ),
    Link(
        "steer",
        "Steering features",
        ("graph",),
        lambda run: run.study.steer.model_dump(),
        retrieving.steering,
    ),
    Link(
        "world",
        "Teaching a model the tiny world",
        (),
        lambda run: run.study.world.model_dump(),
        answering.world,
    ),
    Link(
        "answers",
        "Swapping answers in the tiny world",
        ("world",),
        lambda run: None,
        answering.answers,
    ),
    Link(
        "claims",
        "Assembling the claims",
        ("losses", "controls", "reactivation", "steer"),
        lambda run: None,
        _claims,
    ),
)
