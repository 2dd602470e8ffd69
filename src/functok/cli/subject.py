"""What trace, steer and find-feature ask about: a run, or a model and an SAE by their names."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from functok.runtime.errors import UserError, require

if TYPE_CHECKING:
    from functok.retrieval.prompts.subject import Subject


class Named(NamedTuple):
    """The names on the command line."""

    model: str | None
    revision: str | None
    sae: str | None
    layer: int | None
    site: str | None
    tokenizer: str | None
    function_tokens: Path | None

    def refuse(self, target: Path) -> None:
        """Refuse names beside a run or a study.

        Raises:
            UserError: if there is one.
        """
        require(
            all(name is None for name in self),
            f"{target} is a run or a study, which names its own model and SAE.",
        )

    def subject(
        self, command: str, target: Path | None, output: Path | None, replace: bool
    ) -> "Subject":
        """The subject of the run of ``target``, or else of these names.

        Raises:
            UserError: if both are given, or neither.
        """
        if target is not None:
            from functok.cli.work import bring
            from functok.study.asking import subject_of

            self.refuse(target)
            return subject_of(bring(target, "graph", output, replace))
        if self.model is None or self.sae is None:
            raise UserError(
                f"functok {command} needs a run folder or a study file, or --model and --sae."
            )
        require(output is None and not replace, "Without a run nothing is kept; leave -o away.")
        from functok.cli.work import quiet_libraries
        from functok.retrieval.prompts.subject import open_subject

        quiet_libraries()
        return open_subject(
            self.model,
            self.sae,
            self.layer,
            self.site,
            self.revision,
            self.tokenizer,
            self.function_tokens,
        )
