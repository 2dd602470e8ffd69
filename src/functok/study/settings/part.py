"""What the parts of a study share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Layer = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """Some settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
