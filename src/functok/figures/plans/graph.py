"""Figures of the section on the token–feature graph."""

from functok.figures.charts import graph
from functok.figures.charts import orders as cover
from functok.figures.plan import Plan, made_from, of_last_graph

PLANS = (
    Plan(
        name="token-degree",
        section="graph",
        title="Degree of each token",
        reading="A token's height is the number of features that fire at it at least once; "
        "tokens without any have no place on a log scale and are left out.",
        control="The dashed line is what as many random positions would meet: a point below it "
        "meets fewer features than its frequency alone explains.",
        absent="The token–feature graph was not built.",
        tables=made_from(graph.degrees, of_last_graph("degree")),
        chart=graph.token_degree,
    ),
    Plan(
        name="cumulative-coverage",
        section="graph",
        title="Coverage of the most frequent tokens",
        reading="Each step to the right adds one more token to the set; the height is the share "
        "of all active features that the set reaches.",
        control="The dashed line is the expected coverage of equally many random positions, in "
        "closed form: the tokens are special only where the orange line leaves it.",
        absent="Coverage beside random positions was not measured.",
        tables=made_from(graph.coverage_by_rank, of_last_graph("coverage")),
        chart=graph.cumulative_coverage,
    ),
    Plan(
        name="cover-orders",
        section="graph",
        title="Coverage along five orders of the tokens",
        reading="A curve further up reaches more features with the same share of types (left) or "
        "of positions (right); adding tokens by frequency is orange.",
        control="Grey adds tokens at random; green and blue are greedy, close to the best that "
        "any set of tokens can do.",
        absent="Orders of the tokens were not compared.",
        tables=made_from(cover.orders, of_last_graph("cover")),
        chart=cover.cover_orders,
    ),
)
