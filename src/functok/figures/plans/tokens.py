"""Figures of the section on function tokens."""

from functok.figures.charts import tokens
from functok.figures.plan import Plan, made_from

PLANS = (
    Plan(
        name="token-frequency",
        section="tokens",
        title="How frequent each token is",
        reading="Every point is a token; a straight fall is Zipf's law, and the orange head are "
        "the function tokens, a set chosen by this very rank.",
        control="None is needed: this is the definition at work, not a finding.",
        absent="Tokens were not counted.",
        tables=made_from(
            tokens.tokens_by_rank,
            lambda folder: folder.tokens("counts"),
            lambda folder: folder.tokens("function_tokens"),
        ),
        chart=tokens.token_frequency,
    ),
    Plan(
        name="token-bins",
        section="tokens",
        title="Where in the corpus two tokens occur",
        reading="Each bar is a hundredth of the documents; above, a token that is everywhere, "
        "below, the burstiest of the thousand most frequent ones. Scales differ.",
        control="The dashed line is what an even spread would give.",
        absent="How tokens spread was not measured.",
        tables=made_from(tokens.bins_beside_chance, lambda folder: folder.tokens("bins")),
        chart=tokens.occurrences_over_bins,
    ),
    Plan(
        name="document-coverage",
        section="tokens",
        title="In how many documents each token occurs",
        reading="Points high up occur in nearly every document; orange points low down are "
        "frequent only where they come in bursts.",
        control="None: at equal rank, tokens that lie lower are the burstier ones.",
        absent="Tokens were not counted.",
        tables=made_from(
            tokens.tokens_by_rank,
            lambda folder: folder.tokens("counts"),
            lambda folder: folder.tokens("function_tokens"),
        ),
        chart=tokens.document_coverage,
    ),
    Plan(
        name="threshold-sweep",
        section="tokens",
        title="What hangs on the threshold",
        reading="Each line is a group's share of all pairs of neighbours if the function tokens "
        "are those that cover the share below; the two mixed groups coincide. The paper takes 40 % "
        "and gives no reason.",
        control="Thin dashes are the shares if neighbours were independent of one another.",
        absent="The threshold was not varied.",
        tables=made_from(tokens.shares_by_threshold, lambda folder: folder.tokens("sweep")),
        chart=tokens.threshold_sweep,
    ),
)
