"""Credentials where Docker and Podman keep them.

Sources: https://docs.docker.com/reference/cli/docker/login/ (``config.json``, credential stores and helpers), and
https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md (``auth.json``).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modelimg.errors import RegistryError
from modelimg.oci.registry.settings import DOCKER_HUB, DOCKER_HUB_NAMES, Repository

_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"  # noqa: S105 - what stands in the place of a user name
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_SECONDS = 60.0
_ABSENT = "credentials not found"


@dataclass(frozen=True)
class Credentials:
    """What a registry is shown: a name and a password, or an identity token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @classmethod
    def of(cls, username: str, secret: str) -> Credentials | None:
        """Credentials as stores keep them, where the user name ``<token>`` marks an identity token; None if empty."""
        if username == _TOKEN_USER:
            return cls(identity_token=secret)
        return cls(username, secret) if username or secret else None

    @property
    def basic(self) -> str:
        """The ``Authorization`` header for basic authentication."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def find_credentials(repository: Repository) -> Credentials | None:
    """The credentials for a repository, from the first file that has any.

    ``$REGISTRY_AUTH_FILE``, then Docker's ``config.json`` (in ``$DOCKER_CONFIG`` or ``~/.docker``), then Podman's
    ``auth.json`` (in ``$XDG_RUNTIME_DIR/containers``, then in ``$XDG_CONFIG_HOME/containers`` or
    ``~/.config/containers``).

    Raises:
        RegistryError: a file that cannot be read, or a helper that fails; the message names the file.
    """
    for path in _files():
        if found := _AuthFile.read(path).find(repository):
            return found
    return None


def _files() -> Iterator[Path]:
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        if not Path(named).exists():
            raise RegistryError(f"$REGISTRY_AUTH_FILE names {named}, which does not exist")
        yield Path(named)
    # Without a home there are only the files that variables name.
    home = Path("~").expanduser() if os.environ.get("HOME") else None
    if docker := os.environ.get("DOCKER_CONFIG") or (home and home / ".docker"):
        yield Path(docker) / "config.json"
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers/auth.json"
    if config := os.environ.get("XDG_CONFIG_HOME") or (home and home / ".config"):
        yield Path(config) / "containers/auth.json"


@dataclass(frozen=True)
class _AuthFile:
    """A ``config.json`` or an ``auth.json``."""

    path: Path
    auths: Mapping[str, Any]
    helpers: Mapping[str, Any]
    store: str

    @classmethod
    def read(cls, path: Path) -> _AuthFile:
        """An absent file counts as an empty one."""
        try:
            value = json.loads(path.read_bytes() or b"{}")
            auths, helpers = value.get("auths") or {}, value.get("credHelpers") or {}
            store = value.get("credsStore") or ""
        except (FileNotFoundError, NotADirectoryError):
            return cls(path, {}, {}, "")
        except OSError as error:
            raise RegistryError(f"credentials could not be read from {path}: {error.strerror}") from error
        except (ValueError, AttributeError) as error:
            raise _unusable(path, "it holds no JSON object") from error
        if not (isinstance(auths, dict) and isinstance(helpers, dict) and isinstance(store, str)):
            raise _unusable(path, "auths and credHelpers are objects, credsStore is a name")
        return cls(path, auths, helpers, store)

    def find(self, repository: Repository) -> Credentials | None:
        """A helper for this registry, else what stands in the file, else the store for all registries."""
        for key, helper in self.helpers.items():
            if _registry_of(key) == repository.registry:
                return self._ask(helper, repository.registry)
        for key in self._keys_for(repository):
            if found := self._entry(key):
                return found
        return self._ask(self.store, repository.registry) if self.store else None

    def _keys_for(self, repository: Repository) -> list[str]:
        """The keys of ``auths`` that fit, the most specific first."""
        wanted = f"{repository.registry}/{repository.path}/"
        return sorted(
            (key for key in self.auths if wanted.startswith(f"{_scope_of(key)}/")),
            key=lambda key: (-_scope_of(key).count("/"), key != _scope_of(key), key),
        )

    def _entry(self, key: str) -> Credentials | None:
        """What stands under a key; with a store, Docker leaves an empty object there."""
        entry = self.auths[key]
        where = f"auths.{key}"
        if not isinstance(entry, dict):
            raise _unusable(self.path, f"{where} is no object")
        auth, token = entry.get("auth") or "", entry.get("identitytoken") or ""
        username, password = entry.get("username") or "", entry.get("password") or ""
        if not all(isinstance(text, str) for text in (auth, token, username, password)):
            raise _unusable(self.path, f"{where} holds something other than text")
        if auth:
            try:
                decoded = base64.b64decode(auth, validate=True).decode()
            except (binascii.Error, ValueError) as error:
                raise _unusable(self.path, f"{where}.auth is not base64") from error
            username, colon, password = decoded.partition(":")
            if not colon:
                raise _unusable(self.path, f"{where}.auth is not user:password in base64")
            password = password.rstrip("\0")  # as Docker does: old versions padded it
        return Credentials(identity_token=token) if token else Credentials.of(username, password)

    def _ask(self, helper: object, registry: str) -> Credentials | None:
        """Ask ``docker-credential-HELPER``.

        Source: https://github.com/docker/docker-credential-helpers: the server on standard input, JSON on standard
        output.
        """
        if not isinstance(helper, str) or not _HELPER.fullmatch(helper):
            raise _unusable(self.path, f"{helper!r} is no name of a credential helper")
        import subprocess

        program = f"docker-credential-{helper}"
        server = _DOCKER_HUB_KEY if registry == DOCKER_HUB else registry
        try:
            done = subprocess.run(
                [program, "get"], input=server.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
            )
        except OSError as error:
            raise RegistryError(
                f"{self.path} names the credential helper {program}, which cannot be run: {error.strerror}",
                hint=f"install {program}, or take the helper out of {self.path}",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise RegistryError(f"{program} did not answer in {_HELPER_SECONDS:.0f} s") from error
        if done.returncode:
            said = (done.stdout + b" " + done.stderr).decode(errors="replace").strip()
            if _ABSENT in said:
                return None
            raise RegistryError(f"{program}, which {self.path} names, failed for {server}: {said[:300]}")
        return self._answer(program, done.stdout)

    def _answer(self, program: str, output: bytes) -> Credentials | None:
        try:
            value = json.loads(output)
            return Credentials.of(str(value["Username"]), str(value["Secret"]))
        except (ValueError, KeyError, TypeError) as error:  # never the output itself: it may hold the secret
            raise RegistryError(f"{program}, which {self.path} names, answered with no credentials") from error


def _unusable(path: Path, why: str) -> RegistryError:
    return RegistryError(f"{path} cannot be used for credentials: {why}", hint="mend it, or log in anew: docker login")


def _scope_of(key: str) -> str:
    """What a key of ``auths`` is for: a registry, or a registry and the beginning of a path.

    Docker writes hosts and, for some, URLs, whose path means nothing; Podman writes hosts and paths.
    """
    if "://" in key:
        host, path = urlsplit(key).netloc, ""
    else:
        host, _, path = key.strip("/").partition("/")
    if host in DOCKER_HUB_NAMES:
        host, path = DOCKER_HUB, "" if path in ("v1", "v2") else path
    return f"{host}/{path}" if path else host


def _registry_of(key: str) -> str:
    return _scope_of(key).partition("/")[0]
