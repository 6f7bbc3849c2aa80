"""Running a base's interpreter in a container, on a file of this host.

For hosts that permit no namespaces, and for bases that only a daemon has.
"""

from __future__ import annotations

import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import docker
import docker.errors
import requests.exceptions
from docker.models.containers import Container

from modelimg.base.resolve import ResolvedBase
from modelimg.daemon import connect, load_image, root_cause
from modelimg.errors import EngineError, EngineUnavailable
from modelimg.oci.values import Platform, Reference
from modelimg.sandbox import Finished
from modelimg.tar import FileContent, make_directory, make_file, write_tar

FOLDER = "modelimg-work"
"""Where the files are in the container: ``in``, and ``out`` when it has ended."""

_REPOSITORY = "modelimg/base"
_SECONDS = 600
_ERRORS = (docker.errors.DockerException, requests.exceptions.RequestException, OSError, tarfile.TarError)


def obstacle(platform: Platform) -> str | None:
    """Why no container of a platform can be run; None where a daemon does."""
    try:
        client = connect()
    except EngineUnavailable as error:
        return error.message
    with closing(client):
        facts = client.version()
    found = Platform(facts["Os"], facts["Arch"])
    return None if found == platform else f"the Docker daemon runs {found}, not {platform}"


def run_in_container(
    base: ResolvedBase, command: Sequence[str], *, env: Mapping[str, str], source: Path, output: Path
) -> Finished:
    """Run a command in a fresh container of a base, without network and capabilities.

    Args:
        base: loaded into the daemon for as long as it takes, where the daemon has it not.
        command: absolute path in the base, and its arguments; it finds and leaves its files in ``FOLDER``.
        env: variables beside the base's own.
        source: becomes ``in``.
        output: takes ``out``, where the command succeeds.

    Raises:
        EngineError: the daemon refused, or went away.
    """
    try:
        with closing(connect()) as client, _image(client, base) as image:
            container = client.containers.create(
                image,
                entrypoint=list(command),
                command=[],
                environment=dict(env),
                user="0:0",  # the folder's owner; without capabilities, not much of a root
                network_mode="none",
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
            )
            try:
                return _run(container, source, output)
            finally:
                container.remove(force=True)
    except _ERRORS as error:
        raise EngineError(
            f"the Docker daemon could not run {command[0]} of {base.name}: {root_cause(error)}"
        ) from error


def _run(container: Container, source: Path, output: Path) -> Finished:
    with tempfile.TemporaryFile() as archive:
        entry = make_file(f"{FOLDER}/in", FileContent(source), source.stat().st_size)
        write_tar([make_directory(FOLDER), entry], archive)
        archive.seek(0)
        container.put_archive("/", archive)
    container.start()
    exit_code = int(container.wait(timeout=_SECONDS)["StatusCode"])
    if exit_code == 0:
        _fetch(container, output)
    return Finished(exit_code, b"", container.logs(stdout=False, stderr=True))


def _fetch(container: Container, output: Path) -> None:
    chunks, _ = container.get_archive(f"/{FOLDER}/out")
    with tempfile.TemporaryFile() as archive, output.open("wb") as out:
        archive.writelines(chunks)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as members:
            content = members.extractfile(members.getmembers()[0])
            if content:
                shutil.copyfileobj(content, out)


@contextmanager
def _image(client: docker.DockerClient, base: ResolvedBase) -> Iterator[str]:
    """A name by which the daemon knows the base."""
    if base.image is None:
        yield base.reference
        return
    name = Reference("", _REPOSITORY, f"{base.digest.hex[:32]}-{secrets.token_hex(8)}")  # another build has its own
    load_image(client, base.image, [name])
    try:
        yield str(name)
    finally:
        client.images.remove(str(name))
