"""The gate: the packed examples, replayed inside what was built, must come out as in the training environment.

The verdict is no part of the image. It is remembered for the same content, because the same bytes on the same
host give the same answer.
"""

from __future__ import annotations

import json
from typing import Any

from modelimg.cache import Cache
from modelimg.engines.base import BuildResult, Engine, GateVerdict, SelfTest
from modelimg.errors import GateFailed
from modelimg.plan import BuildPlan

_SHOWN = 3


def run_gate(engine: Engine, result: BuildResult, plan: BuildPlan, cache: Cache) -> GateVerdict:
    """Run the self-test in the built image, unless the same content passed before.

    Raises:
        GateFailed: a prediction differs, or the model does not load; the hint names packages of other versions.
        SandboxUnavailable: nothing of the image can be run on this host.
    """
    return check_image(engine, result, f"{plan.name} {plan.version}", f"{engine.name} {plan.key}", cache)


def check_image(engine: Engine, result: BuildResult, title: str, key: str, cache: Cache) -> GateVerdict:
    """Run the self-test in an image, unless it passed before.

    Args:
        engine: runs it.
        result: the image.
        title: how messages name it.
        key: what its content follows from.
        cache: remembers that it passed.

    Raises:
        As `run_gate`.
    """
    passed = cache.recall("gate", key)
    if passed and passed["passed"] is True:
        return GateVerdict(passed.get("how", "container"), passed=True, remembered=True)
    test = engine.selftest(result)
    report = _report(test)
    if test.exit_code != 0 or report.get("passed") is not True:
        raise GateFailed(
            f"{title} does not pass its self-test in the built image: {_reason(report, test)}",
            hint=_hint(report.get("versions") or []),
        )
    cache.note("gate", key, {"passed": True, "how": test.how})
    return GateVerdict(test.how, passed=True)


def _report(test: SelfTest) -> dict[str, Any]:
    """The one JSON line that ``selftest`` prints; empty where it did not come so far."""
    for line in reversed(test.stdout.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return {}


def _reason(report: dict[str, Any], test: SelfTest) -> str:
    if report.get("error"):
        return str(report["error"])
    differences = report.get("differences") or []
    if differences:
        shown = "; ".join(f"row {d['row']}: expected {d['expected']}, got {d['got']}" for d in differences[:_SHOWN])
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        return f"{shown}{more}"
    last = test.stderr.strip().splitlines()[-1:] or ["no output"]
    return f"it ended with exit code {test.exit_code} ({last[0]})"


def _hint(versions: list[dict[str, str]]) -> str:
    if not versions:
        return "the versions are those of the training environment; `docker run IMAGE selftest` shows the whole report"
    named = ", ".join(f"{v['name']} {v['training']} (image: {v['image']})" for v in versions[:8])
    return f"versions differ from the training environment: {named}; pin them in [requirements], or train with these"
