"""``python -m modelimg_runtime serve | selftest | score | info | health``: the image's entry point.

Exit codes: 0 done, 1 refused or failed, 2 usage, 3 the self-test or the contract said no. Imports are where they are
needed: ``health`` runs every few seconds and must not import a web server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from modelimg_runtime.environment import Settings, refuse_weakened_validation
from modelimg_runtime.errors import StartRefused


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, Callable[[Settings], int]] = {
        "serve": _serve,
        "selftest": _selftest,
        "score": partial(_score, given[1:]),
        "info": _info,
        "health": _health,
    }
    command = given[0] if given else "serve"
    if command in ("-h", "--help"):
        print(f"usage: python -m modelimg_runtime [{' | '.join(commands)}]")
        return 0
    if command not in commands or (len(given) > 1 and command != "score"):
        print(f"usage: python -m modelimg_runtime [{' | '.join(commands)}], not {' '.join(given)}", file=sys.stderr)
        return 2
    try:
        return commands[command](Settings.from_environ(os.environ))
    except StartRefused as error:
        print(f"modelimg: {error}", file=sys.stderr)
        return 1


def _serve(settings: Settings) -> int:
    from modelimg_runtime.serve import serve, set_process_defaults

    refuse_weakened_validation(os.environ)
    set_process_defaults(settings.workers)
    serve(settings)
    return 0


def _selftest(settings: Settings) -> int:
    """Print the verdict as one line of JSON; what the model's own code prints goes to standard error."""
    import json
    from contextlib import redirect_stdout

    from modelimg_runtime.serve import set_process_defaults

    refuse_weakened_validation(os.environ)
    set_process_defaults()
    with redirect_stdout(sys.stderr):
        from modelimg_runtime.selftest import selftest

        verdict = selftest(settings.model_dir)
    print(json.dumps(verdict.as_json()))
    return 0 if verdict.passed else 3


def _score(arguments: Sequence[str], settings: Settings) -> int:
    from modelimg_runtime.score.command import score
    from modelimg_runtime.serve import set_process_defaults

    refuse_weakened_validation(os.environ)
    set_process_defaults()
    return score(arguments, settings)


def _info(settings: Settings) -> int:
    import json

    from modelimg_runtime.describe import info
    from modelimg_runtime.package import open_package

    print(json.dumps(info(open_package(settings.model_dir)), indent=2, ensure_ascii=False))
    return 0


def _health(settings: Settings) -> int:
    from modelimg_runtime.health import is_ready

    return 0 if is_ready(settings.port) else 1


if __name__ == "__main__":
    sys.exit(main())
