"""What is tested for each claim of the paper, declared before any data are seen.

Every claim has rows of two kinds (``docs/methods.md#declared-tests``):

* observed   Does this model show what the paper reports? ``effect`` is the measurement minus the
             row's ``bound`` (or a log ratio, whose bound is 0); a description with an interval.
* beyond     Is it more than its control? ``effect`` compares measurement and control, in ``unit``;
             an effect within ±``margin`` is negligible.

A row is the file ``tests/<test>.parquet`` that a step writes (``evidence.py``); a row that no step
has written was not run.
"""

import math
from dataclasses import dataclass

RICHNESS = math.log(1.10)
"""Margin of log ratios of features: a tenth more or fewer."""
ODDS = math.log(1.5)
"""Margin of log odds ratios: re-activation half as likely again."""
LOSS = 0.1
"""Margin of losses, in nats: what doubling a small model's size brings."""
SHARE = 0.05
"""Margin of shares of a gradient: a twentieth of the update."""
STEERING = 0.2
"""Margin of gains by steering, in nats: a next token a fifth more likely."""


@dataclass(frozen=True)
class Row:
    """One question about a claim."""

    test: str
    """P1 to P8 for the primary tests, E-… for other comparisons with a control, O-… for
    observations."""
    asks: str
    """The question, in one clause that ends in no full stop."""
    unit: str
    """Of the effect."""
    margin: float = 0.0
    """Of a comparison: smaller effects are negligible."""
    bound: float = 0.0
    """Of an observation: the value above which the paper's report is observed."""

    @property
    def observation(self) -> bool:
        return self.test.startswith("O-")


@dataclass(frozen=True)
class Claim:
    """One claim of the paper."""

    name: str
    section: str
    statement: str
    reported: str
    """What the paper reports for it."""
    rows: tuple[Row, ...]
    needs_sae: bool = True
    """Whether it rests on an SAE."""


CLAIMS = (
    Claim("coverage", "§3.1, Table 1", "A few function tokens reach most features.",
        "ten tokens reach 76.5 % of the features of Gemma-2-9B, layer 20; no control",
        (
            Row("O-coverage", "do ten tokens reach most active features", "share", bound=0.5),
            Row("E-coverage", "do they reach more than as many positions of content tokens",
                "log ratio", margin=RICHNESS),
        ),
    ),
    Claim("degree", "§3.1, Figure 5; §7", "The degrees of tokens follow a power law.",
        "log-log plots; no exponent, no goodness of fit",
        (
            Row("O-power-law", "does a power law fit the degrees better than a log-normal",
                "log likelihood ratio"),
        ),
    ),
    Claim("hubs", "§3.1, Figure 5",
        "Function tokens are the hubs of the graph because of their class, not their frequency.",
        "degree falls with frequency rank on log-log axes; no control",
        (
            Row("O-hubs", "do function types reach more features than content types", "log ratio"),
            Row("P1", "do function positions reach more features than content positions",
                "log ratio", margin=RICHNESS),
            Row("P2", "do function types reach more than content types of equal frequency",
                "log ratio", margin=RICHNESS),
            Row("P3", "does that remain given neighbours and dispersion", "log ratio",
                margin=RICHNESS),
            Row("P4", "has training enlarged it", "log ratio", margin=RICHNESS),
        ),
    ),
    Claim("reactivation", "§3.2, Figure 6",
        "Function tokens re-activate the features that predict what comes next.",
        "three features on two prompts; no control",
        (
            Row("O-reactivation",
                "are features re-activated at function tokens more often than at content tokens",
                "log odds ratio"),
            Row("E-reactivation", "more than when each feature's activity is shifted",
                "log odds ratio", margin=ODDS),
            Row("P5", "does the class of the last token decide how early the answer is there",
                "share of depth", margin=1 / 12),
            Row("P6", "do function positions carry more of the answer than content positions",
                "share of the effect", margin=0.05),
        ),
    ),
    Claim("steering", "§3.2, Figures 7 and 11",
        "Steering one feature at the last token steers the output.",
        "examples for three features; no success rate, no control",
        (
            Row("O-steering", "does steering raise the tokens that follow the feature in text",
                "nats"),
            Row("E-steering", "more than other directions of the same norm", "nats",
                margin=STEERING),
        ),
    ),
    Claim("steering-class", "§3.2", "Function tokens are the better place to steer.",
        "only the last function token was steered; no control",
        (
            Row("P7", "does steering at function tokens gain more than at content tokens", "nats",
                margin=STEERING),
        ),
    ),
    Claim("loss", "§4.2, Figure 9",
        "Predicting content after a function token is the hardest, so it dominates training.",
        "function→content 4.88 nats, content→content 3.69 (1.5B); no floor",
        (
            Row("O-loss-hardest", "has function→content the highest mean loss", "nats"),
            Row("O-loss-share", "has function→content the largest share of the loss", "share"),
            Row("O-loss-drop", "has function→content the largest share of the drop in loss",
                "share"),
            Row("E-loss", "is its loss higher above a floor, too", "nats", margin=LOSS),
            Row("E-loss-gradient", "has it the largest share of the gradient, as Adam scales it",
                "share", margin=SHARE),
            Row("E-loss-target", "is it higher with the target token held fixed", "nats",
                margin=LOSS),
        ), needs_sae=False,
    ),
    Claim("learned-first", "§4.2, Figure 10", "Function tokens are learned first.",
        "examples of predictions at 2.3 %, 38 % and 94 % of training; no statistic",
        (
            Row("E-learned-first",
                "are function tokens learned earlier than content tokens of equal frequency",
                "log steps"),
        ), needs_sae=False,
    ),
    Claim("scale", "§4.2, Figure 9a, b", "A larger model gains most where content is predicted.",
        "f→c 4.88 to 4.27, c→c 3.69 to 3.08, f→f 2.12 to 1.87, c→f 1.90 to 1.64; no interval",
        (
            Row("O-scale", "does the larger model gain more at content than at function targets",
                "nats"),
        ), needs_sae=False,
    ),
    Claim("growth", "§4.1, Figure 8", "Pre-training grows the number of features.",
        "1,942 features at step 3,000 and 64,042 of 65,536 at step 130,000; recipe not fixed",
        (
            Row("O-growth", "are there more features late than early in training", "log ratio"),
            Row("E-growth", "are there more than in the untrained model", "log ratio",
                margin=RICHNESS),
        ),
    ),
    Claim("slope", "§4.1, Figure 8b", "The degree distribution grows steeper in training.",
        "log-log plots at three checkpoints; no exponent",
        (
            Row("O-slope", "is the slope of degree over rank steeper late than early",
                "difference of exponents"),
        ),
    ),
    Claim("consolidation", "§4.2",
        "Training on function→content predictions is what consolidates memory.", "no causal run",
        (
            Row("P8",
                "does dropping function→content predictions cost more recall than equal drops",
                "nats", margin=LOSS),
        ), needs_sae=False,
    ),
)  # fmt: skip

HYPOTHESES = {
    "P1": ("P1",),
    "P2 to P4": ("P2", "P3", "P4"),
    **{test: (test,) for test in ("P5", "P6", "P7", "P8")},
}
"""What the primary tests decide; corrected together, whether they were run or not. P2 to P4 are one
hypothesis: an effect of class that is there given frequency, given context, and by training."""

PRIMARY = tuple(test for tests in HYPOTHESES.values() for test in tests)
"""The primary tests, P1 to P8."""

ROWS = {row.test: row for claim in CLAIMS for row in claim.rows}
"""Every row by its test."""
