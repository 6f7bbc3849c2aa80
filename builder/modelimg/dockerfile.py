"""Plan → Dockerfile text and build context.

The rendered Dockerfile is whole: ``docker build`` of the written context gives the image by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2

import modelimg
from modelimg.base.resolve import ResolvedBase
from modelimg.errors import RenderError, UsageError
from modelimg.fetch import Fetcher
from modelimg.labels import fits_dockerfile, quote
from modelimg.layerstore import Layer, LayerStore
from modelimg.plan import BuildPlan

TEMPLATE = "Dockerfile.j2"
BASE_LAYER = "base.tar"


def templates_dir() -> Path:
    """Where the templates are: inside the installed package, or at the top of a checkout."""
    package = Path(modelimg.__file__).parent
    packaged = package / "templates"
    return packaged if packaged.is_dir() else package.parents[1] / "templates"


def render_parent(plan: BuildPlan) -> str:
    """The part of our own template that stays when code and model change, as a Dockerfile of its own."""
    return _render(None, _variables(plan), blocks=("base", "layers", "run"))


def render_on_parent(plan: BuildPlan, parent: str) -> str:
    """What is left to do on an image made from `render_parent`: code, model and labels."""
    return f"FROM {parent}\n" + _render(None, _variables(plan), blocks=("model", "labels"))


def render_dockerfile(plan: BuildPlan) -> str:
    """The whole Dockerfile of a plan, from the user's template where there is one.

    Raises:
        RenderError: the template has an error; the message says in which line.
    """
    return _render(plan.template_path, _variables(plan))


def split_labels(plan: BuildPlan) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Labels that a LABEL line can hold, and those that only the engine's API can pass."""
    inside = [(key, value) for key, value in plan.run.labels.items() if fits_dockerfile(value)]
    return inside, {key: value for key, value in plan.run.labels.items() if not fits_dockerfile(value)}


def write_context(plan: BuildPlan, fetcher: Fetcher, out: Path) -> list[Layer]:
    """Write a folder that ``docker build`` turns into the image by itself.

    It appears under its name when it is whole; an existing folder is replaced only if it is such a context.

    Raises:
        RenderError: a label that a Dockerfile cannot hold; the message names it.
        UsageError: ``out`` exists and is something else.
    """
    _, outside = split_labels(plan)
    if outside:
        raise RenderError(
            f"the label {min(outside)} cannot stand in a Dockerfile: it holds a line break or is longer than 60 kB",
            hint="`modelimg build` passes it beside the Dockerfile",
        )
    if out.exists() and not (out / "Dockerfile").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is no rendered context", hint="name a folder that does not exist yet")
    store = LayerStore(fetcher)
    layers = [store.tar(plan, layer) for layer in plan.layers]
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        (aside / "Dockerfile").write_text(render_dockerfile(plan), encoding="utf-8")
        for name, source in context_files(plan.base, layers):
            _place(source, aside / name)
        aside.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return layers


def context_files(base: ResolvedBase, layers: Iterable[Layer]) -> list[tuple[str, Path]]:
    """Name in the build context → tar on this host."""
    own = [(f"{layer.name}.tar", layer.path) for layer in layers]
    return [(BASE_LAYER, base.tar_path), *own] if base.tar_path else own


def _place(source: Path, target: Path) -> None:
    """Copy; a hard link into the cache would let an edit of the context damage the cache."""
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fchmod(writer.fileno(), 0o644)


def _variables(plan: BuildPlan) -> dict[str, Any]:
    return {
        "base": plan.base.reference,
        "base_layer": BASE_LAYER if plan.base.tar else None,
        "lower_layers": [f"{layer.name}.tar" for layer in plan.lower_layers],
        "model_layers": [f"{layer.name}.tar" for layer in plan.upper_layers],
        "labels": split_labels(plan)[0],
        "env": [tuple(item.split("=", 1)) for item in plan.run.env],
        "ports": list(plan.run.exposed_ports),
        "stop_signal": plan.run.stop_signal,
        "health": plan.run.health,
        "user": plan.run.user,
        "entrypoint": list(plan.run.entrypoint),
        "cmd": list(plan.run.cmd),
        "plan": plan.to_dict(),
    }


def _render(own: Path | None, variables: dict[str, Any], blocks: Sequence[str] = ()) -> str:
    """Render the user's template, or ours; or only some blocks of it, in this order."""
    try:
        template = _environment(own).get_template(_own_name(own) if own else TEMPLATE)
        if not blocks:
            return template.render(variables)
        return "".join(text for block in blocks for text in template.blocks[block](template.new_context(variables)))
    except jinja2.TemplateSyntaxError as error:
        raise RenderError(f"{error.name or TEMPLATE}:{error.lineno}: {error.message}") from error
    except jinja2.TemplateNotFound as error:
        raise RenderError(f"the template {error.name} was not found") from error
    except jinja2.UndefinedError as error:
        raise RenderError(
            f"{own or TEMPLATE}: {error.message}",
            hint="docs/how-to/own-template.md lists the variables that a template gets",
        ) from error


def _environment(own: Path | None) -> jinja2.Environment:
    """Ours is found under its name whatever a user's own is called, which may well be the same."""
    loaders: list[jinja2.BaseLoader] = [jinja2.FileSystemLoader(templates_dir())]
    if own:
        loaders = [jinja2.DictLoader({_own_name(own): _read(own)}), *loaders, jinja2.FileSystemLoader(own.parent)]
    environment = jinja2.Environment(  # noqa: S701 - a Dockerfile is no HTML; `quote` escapes what a LABEL needs
        loader=jinja2.ChoiceLoader(loaders), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["quote"] = quote
    environment.filters["tojson"] = _json_words
    return environment


def _own_name(own: Path) -> str:
    return own.absolute().as_posix()


def _read(own: Path) -> str:
    try:
        return own.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RenderError(f"the template {own} cannot be read as text: {error}") from error


def _json_words(value: Any) -> str:
    """JSON as Dockerfile's exec forms take it; Jinja's own filter escapes for HTML."""
    return json.dumps([value] if isinstance(value, str) else list(value), ensure_ascii=False)
