"""Where a finished image goes: a folder, an archive, the daemon, a registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from modelimg.errors import EngineError, UsageError
from modelimg.oci.manifest import Artifact, ImageIndex
from modelimg.oci.names import ImageName
from modelimg.oci.values import Reference

Report = Callable[[str], None]


@dataclass(frozen=True)
class Delivery:
    """What the user asked to be done with an image.

    Attributes:
        outputs: ``oci:``, ``oci-archive:`` and ``docker-archive:`` names to write.
        load: load it into the Docker daemon.
        push: push it to the registries that its names say.
    """

    outputs: tuple[ImageName, ...] = ()
    load: bool = False
    push: bool = False

    def __post_init__(self) -> None:
        for output in self.outputs:
            if output.path is None:
                raise UsageError(
                    f"--output {output} is no file or folder",
                    hint="it takes oci:DIR, oci-archive:FILE or docker-archive:FILE; --load and --push do the rest",
                )

    def __bool__(self) -> bool:
        return bool(self.outputs or self.load or self.push)


def deliver(
    artifact: Artifact,
    names: Sequence[Reference],
    delivery: Delivery,
    report: Report,
    *,
    base: Reference | None = None,
) -> None:
    """Put an image where it was asked for. Each place sees the whole of it or nothing.

    Args:
        artifact: an image, or an index of several platforms' images.
        names: that it gets.
        delivery: where to.
        report: takes a line of progress.
        base: name of the image that it stands on, whose layers a registry may have already.

    Raises:
        UsageError: a place that is taken by something else, or cannot hold several platforms.
        EngineError: the daemon refused it.
        FetchError: the registry refused it, or a layer could not be had.
    """
    names = [
        replace(name, tag=name.tag or "latest") for name in names
    ]  # as `docker tag` and `docker push` understand it
    for output in delivery.outputs:
        try:
            _write(artifact, output, names)
        except OSError as error:
            raise EngineError(
                f"{output} cannot be written: {error.strerror or error}",
                hint="what was there before is still there; see whether there is room, and whether you may write there",
            ) from error
        report(f"wrote {output}")
    if delivery.load:
        _load(artifact, names, report)
    if delivery.push:
        _push(artifact, names, base, report)


def _write(artifact: Artifact, output: ImageName, names: Sequence[Reference]) -> None:
    from modelimg.oci.layout import write_archive, write_layout

    path = output.path
    assert path is not None  # noqa: S101 - `Delivery` saw to it
    if output.transport == "oci":
        write_layout(artifact, path, output.tag or next((name.tag for name in names if name.tag), None))
    elif output.transport == "oci-archive":
        write_archive(artifact, path, names)
    elif isinstance(artifact, ImageIndex):
        raise UsageError(f"{output} holds an image of one platform", hint="oci: and oci-archive: hold several")
    else:
        from modelimg.oci.archive import write_docker_archive
        from modelimg.oci.writing import replacing

        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            write_docker_archive(artifact, stream, names)


def _load(artifact: Artifact, names: Sequence[Reference], report: Report) -> None:
    from modelimg.daemon import connect, load_image

    loaded = load_image(connect(), artifact, names)
    report(f"loaded {loaded} into the daemon")


def _push(artifact: Artifact, names: Sequence[Reference], base: Reference | None, report: Report) -> None:
    from modelimg.oci.registry import RegistryClient, RegistrySettings

    with RegistryClient(RegistrySettings.from_environment(), report=report) as client:
        for name in names:
            pushed = client.push(artifact, name, mount_from=[base] if base else [])
            report(f"pushed {name}@{pushed.digest} ({pushed.uploaded_bytes / 1e6:.1f} MB were new there)")
