"""`doit model`, as a call."""

from __future__ import annotations

from typing import Any

from doit.exceptions import TaskFailed

from toolchain.tasks import models
from toolchain.tasks.making import reported


def compiled(**given: Any) -> TaskFailed | None:
    """Compile a model file by the task's options; how it failed, None where not."""
    defaults = {o["name"]: o["default"] for o in (*models.OPTIONS, models.WEIGHTS)}
    return reported(models.compile_file, **defaults | given)
