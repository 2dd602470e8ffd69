"""What the parts of a study share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, lt=1)]
MOST = 10**15
"""Of anything that is counted: beyond it lies no text, no machine and no patience."""
Count = Annotated[int, Field(ge=1, le=MOST)]
Layer = Annotated[int, Field(ge=0, le=10_000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Part(BaseModel):
    """Some settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
