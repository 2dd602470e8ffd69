"""The steps of a study in order, each in one file; the report's step comes after them."""

from functok.study.steps.baselines import BASELINES
from functok.study.steps.causal.ablation import ABLATION
from functok.study.steps.causal.facts import FACTS
from functok.study.steps.causal.knockout import KNOCKOUT
from functok.study.steps.causal.patching import PATCHING
from functok.study.steps.causal.placement import PLACEMENT
from functok.study.steps.causal.probes import PROBES
from functok.study.steps.claims import CLAIMS
from functok.study.steps.consolidation.counterfactual import COUNTERFACTUAL
from functok.study.steps.consolidation.entropy import ENTROPY
from functok.study.steps.consolidation.gradients import GRADIENTS
from functok.study.steps.consolidation.losses import LOSSES
from functok.study.steps.consolidation.predictions import PREDICTIONS
from functok.study.steps.controls import CONTROLS
from functok.study.steps.coverage import COVERAGE
from functok.study.steps.dictionaries import DICTIONARIES
from functok.study.steps.graph import GRAPH
from functok.study.steps.pretrain import PRETRAIN
from functok.study.steps.reactivation import REACTIVATION
from functok.study.steps.steer import STEER
from functok.study.steps.text import DOCUMENTS, TOKENIZER
from functok.study.steps.tokens import TOKENS
from functok.study.steps.trace import FEATURES, TRACE
from functok.study.steps.traits import TRAITS
from functok.study.steps.world import ANSWERS, WORLD

STEPS = (
    *(TOKENIZER, DOCUMENTS, TOKENS, PRETRAIN, LOSSES, GRADIENTS),
    *(ENTROPY, PREDICTIONS, COUNTERFACTUAL, DICTIONARIES, GRAPH, COVERAGE),
    *(BASELINES, CONTROLS, TRACE, ABLATION, REACTIVATION, STEER, PLACEMENT, TRAITS),
    *(FACTS, PATCHING, KNOCKOUT, PROBES, WORLD, ANSWERS, FEATURES, CLAIMS),
)
"""Each stands after those it needs."""
