"""`doit model`, as a call."""

from __future__ import annotations

from typing import Any

from doit.exceptions import TaskFailed

from toolchain.tasks import model_files
from toolchain.tasks.making import reported


def compiled(**given: Any) -> TaskFailed | None:
    """Compile a model file by the task's options; how it failed, None where not."""
    defaults = {
        o["name"]: o["default"] for o in (*model_files.OPTIONS, model_files.WEIGHTS)
    }
    return reported(model_files.compile_file, **defaults | given)
