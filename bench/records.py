"""Records: what a run measures and judges, as its JSON files have it."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

Json = dict[str, Any]  # an object of a JSON file that another program describes


class Rounds(TypedDict):
    """A participant's times. seconds: of a call, round by round; work: of a call."""

    seconds: list[float]
    work: float
    repeated: NotRequired[int]


class Run(TypedDict):
    """When, where and with what a run was made. seconds: that it took."""

    date: str
    machine: str
    versions: dict[str, str]
    complete: bool
    seconds: int
    rounds: int


class Check(TypedDict):
    """A goal of a row in an engine for a target; figure: None without a peer."""

    against: str
    engine: str
    target: str
    figure: float | None
    wanted: float
    or_rate: float | None
    passed: bool


class Limit(TypedDict):
    """A figure that must stay under a limit, in its unit: "s" or "byte"."""

    name: str
    value: float
    wanted: float
    unit: str
    passed: bool


class Measured(TypedDict, total=False):
    """What was measured of an operator's row. missing: why nothing was."""

    missing: str
    rounds: dict[str, Rounds]
    notes: list[str]


class Record(Measured):
    """An operator's row, judged. rates: work per second of each participant."""

    name: str
    operator: str
    unit: str
    note: str
    operations: float
    traffic: float
    medians: dict[str, float]
    rates: dict[str, float]
    checks: list[Check]


class Results(Run):
    """A run over operators: results.json."""

    libraries: dict[str, str]
    rows: list[Record]
    figures: list[Limit]
    overheads: dict[str, float]
    ceilings: dict[str, float]
    levels: dict[str, Rounds]


class Figure(TypedDict):
    """A figure of a model; wanted: the most that it may be, None without a goal.

    sizes: in words, where the figure is of a set of them.
    """

    what: str
    engine: str
    target: str
    figure: float | None
    wanted: float | None
    passed: bool
    sizes: NotRequired[str]


class MeasuredModel(TypedDict):
    """What was measured of a model: by participant, by start and by target."""

    rounds: dict[str, Rounds]
    notes: list[str]
    starts: dict[str, list[float]]
    memory: dict[str, dict[str, int]]
    code: dict[str, int]


class ModelRecord(MeasuredModel):
    """A model's row, judged."""

    name: str
    model: str
    note: str
    medians: dict[str, float]
    start_medians: dict[str, float]
    figures: list[Figure]
    checks: list[Figure]


class MeasuredOpen(TypedDict):
    """What was measured of a model with open sizes.

    rounds: by set of sizes. code: bytes by target, of the open module, then of the
    others. steps: nodes that it runs.
    """

    rounds: dict[str, dict[str, Rounds]]
    code: dict[str, list[int]]
    steps: int


class OpenRecord(MeasuredOpen):
    """A row of open sizes, judged."""

    name: str
    note: str
    medians: dict[str, dict[str, float]]
    figures: list[Figure]
    checks: list[Figure]


class ModelResults(Run):
    """A run over models: models.json. web_call: seconds of the peer's smallest call."""

    web_bytes: int
    web_call: float
    rows: list[ModelRecord]
    open: list[OpenRecord]
