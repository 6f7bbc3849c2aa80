"""The story of packing: model → data → contracts → examples → locks → imports → folder."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelimg.errors import RequirementsError, SchemaError, UsageError
from modelimg.oci.values import Digest, Platform, Reference, check_tag
from modelimg.pack.allowlist import AllowList
from modelimg.pack.answers import output_profile
from modelimg.pack.code import CodeModule, find_code, importable, imports
from modelimg.pack.data import Split, SplitValue, read_splits, reader_for
from modelimg.pack.draft import draft_input, draft_output
from modelimg.pack.examples import example_rows, make_examples
from modelimg.pack.fastpath import prove_fast_path
from modelimg.pack.imports import imported_modules
from modelimg.pack.lock import ServingLock
from modelimg.pack.metrics import TRAIN, all_metrics
from modelimg.pack.model import PackedModel, read_model
from modelimg.pack.package import ModelPackage, file_digests, read_package, write_file, writing_package
from modelimg.pack.profiles import input_profile
from modelimg.pack.provenance import provenance, running_command, training_folder
from modelimg.pack.requirements import Locker, Needs, modules_of_code, modules_of_globals
from modelimg.pack.schemas import PackedSchema, SchemaValue, load_packed, pack_schema
from modelimg.pack.vcs import code_state
from modelimg_runtime import contract

_METADATA = ("description", "authors", "url", "documentation", "vendor", "licenses", "title")
_TEST = "test"
_TEMPLATE = "Dockerfile.j2"


def pack(
    model: Any,
    out: str | Path,
    *,
    name: str,
    version: str,
    train: SplitValue,
    test: SplitValue | None = None,
    splits: Mapping[str, SplitValue] | None = None,
    input_schema: SchemaValue | None = None,
    output_schema: SchemaValue | None = None,
    metrics: Mapping[str, Any] | None = None,
    code: Iterable[str | Path] = (),
    requirements: str | Path | None = None,
    platforms: Sequence[str] = ("linux/amd64",),
    trust: Iterable[str] = (),
    overwrite: bool = True,
    target: str | None = None,
    metadata: Mapping[str, str] | None = None,
    training_command: str | None = None,
    image: contract.ImageSettings | None = None,
    profile: contract.ProfileSettings | str | Path | None = None,
    root: str | Path | None = None,
) -> ModelPackage:
    """Write a model package.

    Args:
        model: a fitted estimator, or the path of a ``.joblib``, ``.pkl`` or ``.pickle`` file.
        out: folder to write; it appears whole or not at all.
        name: of the image, such as ``churn``.
        version: of the model, usable as an image's tag.
        train: the training data: ``(X, y)`` with X of shape (n_rows, n_features), or a CSV or Parquet file.
        test: data that the model was not fitted on; metrics are computed on it.
        splits: further named splits.
        input_schema: a pandera schema, or ``schemas.py:Name``; drafted from the training data by default.
        output_schema: the same for the model's answers.
        metrics: ``{split: {metric: value}}`` of your own, laid over the computed ones.
        code: your own modules that the model needs, ``.py`` files or package folders.
        requirements: a ``requirements.txt`` or ``pylock.toml`` that wins over what is found out.
        platforms: ``os/arch`` to lock for.
        trust: modules, or ``module.Class``, that a model file may refer to beside the usual ones.
        overwrite: replace an older model package in ``out``.
        target: name of the target column in data files.
        metadata: standard texts for the image: description, authors, url, documentation, vendor, licenses.
        training_command: the command that trained the model; by default how this script was called.
        image: base, template and pruning of the image, and whether it can read Parquet.
        profile: how much the profile of the training data says of it; or the path of an ``input_profile.json`` that was
            made elsewhere, of data of which ``train`` may be a sample.
        root: folder that relative paths start from; the working directory by default.

    Raises:
        UsageError: something asked for cannot be meant.
        PackError: a subclass that says what is wrong: the model file, the data, a schema or the requirements.
    """
    folder = Path(root or Path.cwd())
    _check_names(name, version, metadata or {})
    own = find_code(code, folder)
    job = _Job(
        name=name,
        version=version,
        metadata=dict(sorted((metadata or {}).items())),
        root=folder,
        out=Path(out),
        platforms=_platforms(platforms),
        own=own,
        allowed=AllowList(tuple(trust), tuple(module.name for module in own)),
        splits={TRAIN: train} | ({} if test is None else {_TEST: test}) | dict(splits or {}),
        target=target,
        schemas=(input_schema, output_schema),
        metrics=metrics,
        requirements=_requirements_file(requirements, folder),
        # Called from a script, its folder holds the training code; otherwise the toml's does.
        code_folder=folder if root else training_folder(),
        command=training_command,
        ask_script=root is None,
        image=image or contract.ImageSettings(),
        profile=profile if isinstance(profile, contract.ProfileSettings) else contract.ProfileSettings(),
        profile_file=folder / profile if isinstance(profile, str | Path) else None,
    )
    with writing_package(job.out, overwrite=overwrite) as fresh, importable(own):
        packed, tables, contracts = _write_contents(fresh, job, model)
        settings = _image_settings(fresh, job.image, folder)
        _write_manifest(fresh, _manifest(fresh, job, settings, packed, tables, contracts))
    return read_package(job.out)


@dataclass(frozen=True)
class _Job:
    """What was asked for, checked as far as that needs no model."""

    name: str
    version: str
    metadata: Mapping[str, str]
    root: Path
    out: Path
    platforms: tuple[Platform, ...]
    own: tuple[CodeModule, ...]
    allowed: AllowList
    splits: Mapping[str, SplitValue]
    target: str | None
    schemas: tuple[SchemaValue | None, SchemaValue | None]
    metrics: Mapping[str, Any] | None
    requirements: Path | None
    code_folder: Path
    command: str | None
    ask_script: bool
    image: contract.ImageSettings
    profile: contract.ProfileSettings
    profile_file: Path | None


def _write_contents(
    fresh: Path, job: _Job, model: Any
) -> tuple[PackedModel, dict[str, Split], dict[str, PackedSchema]]:
    """Everything but the manifest."""
    # The model, under the allow-list.
    packed = read_model(model, job.allowed, job.root)

    # The data, and what the model makes of it.
    tables = read_splits(reader_for(packed.estimator, job.target, job.root), job.splits)
    scores = all_metrics(packed, tables, job.metrics)
    contracts = _contracts(packed, tables, *job.schemas, job.root)
    examples = _examples(packed, contracts, tables)
    profiles = _profiles(packed, job, tables, contracts)

    # What the image needs.
    locker = Locker(platform.python_version(), job.root, job.requirements)
    needs = _needs(packed, job, contracts, locker)
    locks = {each: locker.serving(needs, each) for each in job.platforms}

    # Where it all came from.
    state = code_state(job.code_folder, without=job.out)
    command = job.command or (running_command(state.root) if job.ask_script else None)

    # The files.
    write_file(fresh, packed.file.file, packed.data)
    _write_contracts(fresh, contracts)
    for name, text in profiles.items():
        write_file(fresh, name, text)
    _write_locks(fresh, locks)
    _write_code(fresh, job.own)
    write_file(fresh, contract.TRAINING_LOCK, locker.training())
    write_file(fresh, contract.EXAMPLES, examples.to_json())
    write_file(fresh, contract.FAST_PATH, prove_fast_path(packed, contracts, _example_split(tables)).to_json())
    write_file(fresh, contract.METRICS, contract.canonical_json(scores))
    write_file(fresh, contract.PROVENANCE, contract.canonical_json(provenance(state, tables, command)))
    if state.patch:
        write_file(fresh, contract.CODE_PATCH, state.patch)
    return packed, tables, contracts


def _platforms(texts: Sequence[str]) -> tuple[Platform, ...]:
    if not texts:
        raise UsageError("no platform to lock for", hint="leave platforms out, or name linux/amd64")
    return tuple(Platform.parse(text) for text in dict.fromkeys(texts))


def _check_names(name: str, version: str, metadata: Mapping[str, str]) -> None:
    hint = "a name is lower-case letters and digits, parted by '.', '_' or '-'"
    try:
        reference = Reference.parse(name)
    except UsageError as error:
        raise UsageError(f"{name!r} cannot name an image", hint=hint) from error
    if str(reference) != reference.repository or "/" in name:
        raise UsageError(f"{name!r} cannot name an image", hint=hint)
    try:
        check_tag(version)
    except UsageError as error:
        raise UsageError(f"the version {version!r} cannot be an image's tag", hint=error.hint) from error
    for key, value in metadata.items():
        if key not in _METADATA or not isinstance(value, str):
            raise UsageError(f"metadata has no text {key!r}", hint=f"known are {', '.join(_METADATA)}, each a string")


def _contracts(
    model: PackedModel,
    splits: Mapping[str, Split],
    given_input: SchemaValue | None,
    given_output: SchemaValue | None,
    root: Path,
) -> dict[str, PackedSchema]:
    split = _example_split(splits)
    accepts = draft_input(splits[TRAIN].X) if given_input is None else pack_schema("input", given_input, root)
    if given_output is None:
        answers = draft_output(model, split.X.iloc[example_rows(split)])
    else:
        answers = pack_schema("output", given_output, root)
    if accepts.file == answers.file and accepts.content != answers.content:
        raise SchemaError(
            "the input and the output schema are code in two different files, and the package holds one",
            hint=f"put both into one {contract.SCHEMAS_MODULE}",
        )
    return {"input": accepts, "output": answers}


def _examples(
    model: PackedModel, contracts: Mapping[str, PackedSchema], splits: Mapping[str, Split]
) -> contract.Examples:
    return make_examples(model, contracts["input"].schema, contracts["output"].schema, _example_split(splits))


def _profiles(
    model: PackedModel, job: _Job, splits: Mapping[str, Split], contracts: Mapping[str, PackedSchema]
) -> dict[str, str]:
    """File name → text: what went into training, and what comes out on data of tests, if there are any."""
    accepts, answers = (Digest.of(contracts[side].content).hex for side in ("input", "output"))
    return {
        contract.INPUT_PROFILE: input_profile(splits[TRAIN], accepts, job.profile, job.profile_file).to_json(),
        contract.OUTPUT_PROFILE: output_profile(model, _example_split(splits), answers, job.profile).to_json(),
    }


def _example_split(splits: Mapping[str, Split]) -> Split:
    return splits.get(_TEST, splits[TRAIN])


def _requirements_file(given: str | Path | None, root: Path) -> Path | None:
    if given is None:
        return None
    file = root / given
    if not file.is_file():
        raise RequirementsError(f"the requirements file {file} does not exist")
    return file


def _needs(model: PackedModel, job: _Job, contracts: Mapping[str, PackedSchema], locker: Locker) -> Needs:
    """Globals of the model file, imports of all code that is packed, and what is asked for."""
    sources = [(name, file.read_bytes()) for module in job.own for name, file in module.files().items()]
    sources += [(each.file, each.content) for each in contracts.values() if each.file.endswith(".py")]
    python = [(name, data) for name, data in sources if name.endswith(".py")]
    asked = [contract.PARQUET_REQUIREMENT] if job.image.parquet else []
    return Needs(
        modules={**modules_of_code(imports(python), locker.installed), **modules_of_globals(model.file.globals)},
        code=tuple(module.name for module in job.own),
        extra=tuple(sorted({*(line for each in contracts.values() for line in each.extra), *asked})),
    )


def _manifest(
    folder: Path,
    job: _Job,
    settings: contract.ImageSettings,
    model: PackedModel,
    splits: Mapping[str, Split],
    contracts: Mapping[str, PackedSchema],
) -> contract.PackageManifest:
    """What the package says of itself, of the files that are in the folder."""
    return contract.PackageManifest(
        name=job.name,
        version=job.version,
        model=model.file,
        task=model.task,
        python=platform.python_version(),
        platforms=tuple(map(str, job.platforms)),
        schemas={side: each.reference for side, each in contracts.items()},
        image=settings,
        files=file_digests(folder),
        classes=model.classes,
        target=_target_name(splits[TRAIN]),
        code_modules=job.allowed.code,
        metadata=job.metadata,
    )


def _write_manifest(folder: Path, manifest: contract.PackageManifest) -> None:
    """The manifest, twice: serving the package shows what that imports, and the list is part of the package."""
    write_file(folder, contract.MANIFEST, manifest.to_json())
    names = imported_modules(folder)
    write_file(folder, contract.IMPORTS, names)
    files = {**manifest.files, contract.IMPORTS: Digest.of(names.encode()).hex}
    write_file(folder, contract.MANIFEST, replace(manifest, files=dict(sorted(files.items()))).to_json())


def _write_contracts(folder: Path, contracts: Mapping[str, PackedSchema]) -> None:
    for side, each in contracts.items():
        write_file(folder, each.file, each.content)
        load_packed(side, folder, each.reference)


def _write_locks(folder: Path, locks: Mapping[Platform, ServingLock]) -> None:
    for each, lock in locks.items():
        write_file(folder, contract.serving_lock(str(each)), lock.text)
        for name, wheel in lock.local.items():
            write_file(folder, name, wheel.read_bytes())


def _write_code(folder: Path, own: Sequence[CodeModule]) -> None:
    for module in own:
        for name, file in module.files().items():
            write_file(folder, f"{contract.CODE_DIR}/{name}", file.read_bytes())


def _image_settings(folder: Path, settings: contract.ImageSettings, root: Path) -> contract.ImageSettings:
    """The settings with the user's template in the package."""
    if settings.template is None:
        return settings
    source = root / settings.template
    if not source.is_file():
        raise UsageError(f"the template {source} does not exist")
    write_file(folder, _TEMPLATE, source.read_bytes())
    return replace(settings, template=_TEMPLATE)


def _target_name(split: Split) -> str | None:
    return str(split.y.columns[0]) if split.y is not None and split.y.shape[1] == 1 else None
