"""Judging: rounds become medians, rates and verdicts. No measuring here.

A ratio is taken in each round, and its median counts: on a shared machine, rounds of
a row differ by a factor of two, and participants within a round hardly.
"""

from __future__ import annotations

from statistics import median

from bench.ceilings import of_target
from bench.records import Check, Limit, Measured, Record, Results, Rounds
from bench.row import ENGINE_NAMES, ENGINES, ORT_WEB, TARGETS, TFJS, Goal, Row

PEERS = (f"node/{ORT_WEB}", f"node/{TFJS}")
CALL_GOAL = 100e-9  # seconds from ops_call to a kernel and back
# Bytes of the default target's library, of its gzip, and of float32 matmul alone.
SIZE_GOALS = {"library": 250_000, "library, gzip": 90_000, "matmul alone": 24_000}


def judged(row: Row, measured: Measured) -> Record:
    """A row's record: what was measured, its medians, rates and checks."""
    rounds = measured.get("rounds", {})
    medians = medians_of(rounds)
    rates = {n: rounds[n]["work"] / t if t > 0 else 0.0 for n, t in medians.items()}
    return {
        "name": row.name,
        "operator": row.operator,
        "unit": row.unit,
        "note": row.note,
        "operations": row.operations,
        "traffic": row.traffic,
        **measured,
        "medians": medians,
        "rates": rates,
        "checks": [
            check for goal in row.goals for check in _checks(row, goal, rounds, rates)
        ],
    }


def _checks(
    row: Row, goal: Goal, rounds: dict[str, Rounds], rates: dict[str, float]
) -> list[Check]:
    """A goal's checks: per engine (peers: in Node) and target."""
    peers = goal.against in ("best peer", ORT_WEB)
    found: list[Check] = []
    for engine in ENGINES[1:] if peers else ENGINES:
        for target in TARGETS:
            ours, wanted = f"{engine}/{target}", goal.wanted(engine, target)
            base = _base(goal, engine, target, rates)
            figure = None
            if ours in rates and base in rates:
                work = row.traffic if goal.against == "stream" else row.work
                each = rounds[base]["work"]
                figure = work / each * ratio(rounds[base], rounds[ours])
            passed = figure is not None and figure >= wanted
            if goal.or_rate is not None and rates.get(ours, 0) >= goal.or_rate:
                passed = True
            found.append(
                {
                    "against": goal.against,
                    "engine": engine,
                    "target": target,
                    "figure": figure,
                    "wanted": wanted,
                    "or_rate": goal.or_rate,
                    "passed": passed,
                }
            )
    return found


def medians_of(rounds: dict[str, Rounds]) -> dict[str, float]:
    """Seconds of each participant: the median of its rounds."""
    return {name: median(r["seconds"]) for name, r in rounds.items()}


def ratio(a: Rounds, b: Rounds) -> float:
    """Seconds of a divided by seconds of b: the median over rounds."""
    pairs = zip(a["seconds"], b["seconds"], strict=False)
    return median(x / y if y > 0 else 0.0 for x, y in pairs)


def _base(goal: Goal, engine: str, target: str, rates: dict[str, float]) -> str | None:
    """Whose rate a goal divides by; None where nobody's was measured."""
    if goal.against == "ceiling":
        names = (f"{engine}/{n}" for n in of_target(target))
        return max(names, key=lambda n: rates.get(n, 0.0))
    if goal.against == "stream":
        return f"{engine}/stream"
    if goal.against == ORT_WEB:
        return PEERS[0]
    return max((p for p in PEERS if p in rates), key=rates.__getitem__, default=None)


def best_peer(record: Record) -> str | None:
    """The faster peer of a row; None where neither has it."""
    rates = record["rates"]
    return max((p for p in PEERS if p in rates), key=rates.__getitem__, default=None)


def limit(name: str, value: float, wanted: float, unit: str) -> Limit:
    """A figure that must stay under a limit: a size, an overhead."""
    return {
        "name": name,
        "value": value,
        "wanted": wanted,
        "unit": unit,
        "passed": value < wanted,
    }


def misses(results: Results) -> list[str]:
    """Every goal that was not reached, in words."""
    found = []
    for record in results["rows"]:
        if "missing" in record:
            found.append(f"{record['name']}: missing ({record['missing']})")
            continue
        found += [
            f"{record['name']}: {check['target']} in {ENGINE_NAMES[check['engine']]}, "
            f"{_against(check)}"
            for check in record["checks"]
            if not check["passed"]
        ]
    return found + [
        f"{f['name']}: {amount(f['value'], f['unit'])}, wanted under "
        f"{amount(f['wanted'], f['unit'])}"
        for f in results["figures"]
        if not f["passed"]
    ]


def _against(check: Check) -> str:
    of, figure, wanted = check["against"], check["figure"], check["wanted"]
    if figure is None:
        return f"nothing to compare with: {of}"
    if of in ("ceiling", "stream"):
        return f"{figure:.1%} of the {of}, wanted {wanted:.0%}"
    return f"{figure:.2f} x the {of}, wanted {wanted:g} x"


def amount(value: float, unit: str) -> str:
    """A number with its unit: seconds as ns or µs, bytes."""
    if unit == "byte":
        return f"{value:,.0f} bytes"
    return f"{value * 1e6:.1f} µs" if value >= 1e-6 else f"{value * 1e9:.0f} ns"
