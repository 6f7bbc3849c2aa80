"""Registries, by the OCI distribution spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md.

`RegistryClient` resolves, pulls and pushes. Below it, each standing only on those after it: ``push`` and ``upload``,
``pull``, ``transport`` (one request: credentials, redirects, tries), ``auth`` (challenges and tokens), ``connections``
(TLS, proxies), ``credentials`` (where they are kept), ``settings`` and ``retry``.
"""

from modelimg.oci.registry.client import RegistryClient
from modelimg.oci.registry.push import PushResult
from modelimg.oci.registry.settings import RegistrySettings

__all__ = ["PushResult", "RegistryClient", "RegistrySettings"]
