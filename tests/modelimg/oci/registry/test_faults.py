"""One thing goes wrong, at every request in turn: a push ends well, or in one clear error; never in a wrong tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from modelimg.errors import ModelimgError, RegistryError
from modelimg.oci.blob import read_blob
from modelimg.oci.manifest import Artifact, Image, ImageIndex
from registry_server import DIGEST, Fault, Reply, ScriptedRegistry, Storage, error, sha256

pytestmark = pytest.mark.usefixtures("small_chunks")


def without_location(reply: Reply) -> Reply:
    return replace(reply, headers={key: value for key, value in reply.headers.items() if key != "location"})


def wrong_digest(reply: Reply) -> Reply:
    return replace(reply, headers={**reply.headers, DIGEST: sha256(b"something else")})


def flipped(reply: Reply) -> Reply:
    return replace(reply, body=bytes([reply.body[0] ^ 1]) + reply.body[1:] if reply.body else b"")


STATUSES = (400, 401, 403, 404, 405, 409, 416, 429, 500, 503)
FAULTS: dict[str, Fault] = {
    **{f"HTTP {status}": Fault(error(status, "SCRIPTED")) for status in STATUSES},
    "HTTP 429, Retry-After": Fault(Reply(429, {"retry-after": "3"})),
    "HTTP 301 to itself": Fault(Reply(301, {"location": "?again"})),
    "200 but nothing done": Fault(Reply(200)),
    "201 but nothing done": Fault(Reply(201)),
    "202 but nothing done": Fault(Reply(202, {"location": "/v2/team/model/blobs/uploads/s999"})),
    "204 but nothing done": Fault(Reply(204)),
    "reset before": Fault(reset="before"),
    "reset midway": Fault(reset="midway"),
    "reset after": Fault(reset="after"),
    "answer cut": Fault(Reply(200, {"content-length": "100"}, b"{"), cut=1),
    "not HTTP": Fault(garble=True),
    "too slow": Fault(delay=0.12),
    "no Location": Fault(edit=without_location),
    "wrong digest": Fault(edit=wrong_digest),
    "flipped bit": Fault(edit=flipped),
}


ALIKE = {"HTTP 405", "HTTP 409", "HTTP 429", "HTTP 503", "200 but nothing done", "204 but nothing done"}
FEWER = {name: fault for name, fault in FAULTS.items() if name not in ALIKE}
"""One of each kind, where the first sweep has been through all of them."""


@pytest.fixture
def hasty() -> Iterator[object]:
    """Connections that wait a tenth of a second for an answer."""
    import httpx

    with httpx.Client(trust_env=False, timeout=httpx.Timeout(10, read=0.1)) as client:
        yield client


class Scene:
    """A registry with an old image behind the tags, a layer that is there and one that can be mounted."""

    def __init__(self, registry: ScriptedRegistry, old: Image, layers: dict[str, bytes]) -> None:
        self.registry = registry
        self.old = old
        self.layers = layers

    def reset(self) -> None:
        storage = Storage()
        for blob in self.old.blobs:
            storage.add_blob("team/model", read_blob(blob))
        storage.add_manifest("team/model", self.old.manifest.media_type, self.old.manifest_data, "1", "2")
        storage.add_blob("team/model", self.layers["present"])
        storage.add_blob("team/base", self.layers["mounted"])
        self.registry.storage = storage
        self.registry.requests.clear()

    def leads_to(self, tag: str) -> str:
        """What a tag leads to, and that nothing behind it is missing or damaged."""
        storage = self.registry.storage
        digest = storage.tags["team/model"][tag]
        assert storage.missing("team/model", storage.manifests["team/model"][digest][1]) == []
        assert all(sha256(data) == digest for digest, data in storage.blobs["team/model"].items())
        return digest


@pytest.fixture
def scene(registry: ScriptedRegistry, image_of: Callable[..., Image], log_in: Callable[..., None]) -> Scene:
    registry.accounts = {"ada": "secret"}
    log_in(registry.host)
    layers = {name: name.encode() * 300 for name in ("present", "mounted", "chunked")} | {"small": b"small"}
    return Scene(registry, image_of(b"old"), layers)


def sweep(
    scene: Scene,
    push: Callable[[], object],
    digest: str,
    tags: tuple[str, ...],
    counts: Counter[str],
    faults: dict[str, Fault] = FAULTS,
) -> None:
    """Every fault at every request of a push."""
    scene.reset()
    push()
    assert {scene.leads_to(tag) for tag in tags} == {digest}
    requests = len(scene.registry.requests)
    for name, fault in faults.items():
        for number in range(requests):
            scene.reset()
            scene.registry.fault = lambda r, number=number, fault=fault: fault if r.number == number else None
            try:
                push()
            except ModelimgError as failed:
                counts["one clear error"] += "\n" not in failed.message
                after = [scene.leads_to(tag) for tag in tags]
                old = str(scene.old.descriptor.digest)
                assert after in [[digest] * done + [old] * (len(tags) - done) for done in range(len(tags))], (
                    name,
                    number,
                )
            else:
                counts["success"] += 1
                assert {scene.leads_to(tag) for tag in tags} == {digest}, (name, number)
    scene.registry.fault = lambda r: None
    counts["requests"] += requests


def test_after_any_single_fault_the_tag_is_right_or_what_it_was(
    scene, make_client, hasty, image_of, name_at, show
) -> None:
    image = image_of(*scene.layers.values())
    counts: Counter[str] = Counter()

    def push() -> None:
        mounts = [name_at(scene.registry, "team/base")]
        make_client(client=hasty).push(image, name_at(scene.registry), mount_from=mounts)

    sweep(scene, push, str(image.descriptor.digest), ("1",), counts)
    total = counts["success"] + counts["one clear error"]
    show(
        f"push: {len(FAULTS)} faults at each of {counts['requests']} requests: {total} pushes, "
        f"{counts['success']} ended well, {counts['one clear error']} in one error, 0 in a wrong tag"
    )
    assert total == len(FAULTS) * counts["requests"]
    assert counts["success"] > total / 2


def test_after_any_single_fault_each_tag_of_an_index_is_right_or_what_it_was(
    scene, make_client, hasty, image_of, name_at, show
) -> None:
    """With two tags the first may be set when the second is refused; both always lead to something whole."""
    scene.registry.accounts = None
    shared = scene.layers["present"]
    images = [image_of(shared, arch.encode(), architecture=arch) for arch in ("amd64", "arm64")]
    index: Artifact = ImageIndex.assemble(images)
    counts: Counter[str] = Counter()

    def push() -> None:
        make_client(client=hasty).push(index, name_at(scene.registry), tags=["2"])

    sweep(scene, push, str(index.descriptor.digest), ("1", "2"), counts, FEWER)
    total = counts["success"] + counts["one clear error"]
    show(
        f"push of an index under two tags: {total} pushes, {counts['success']} ended well, "
        f"{counts['one clear error']} in one error, 0 in a wrong tag"
    )
    assert total == len(FEWER) * counts["requests"]


def test_after_any_single_fault_a_pull_is_right_or_fails(scene, make_client, hasty, image_of, name_at, show) -> None:
    scene.reset()
    make_client().push(image_of(*scene.layers.values()), name_at(scene.registry))
    storage, counts = scene.registry.storage, Counter[str]()

    def pull() -> list[bytes]:
        pulled = make_client(client=hasty).pull(name_at(scene.registry))
        assert isinstance(pulled, Image)
        return [read_blob(layer) for layer in pulled.layers]

    scene.registry.requests.clear()
    assert pull() == list(scene.layers.values())
    requests = len(scene.registry.requests)
    for fault in FEWER.values():
        for number in range(requests):
            scene.registry.storage = storage
            scene.registry.requests.clear()
            scene.registry.fault = lambda r, number=number, fault=fault: fault if r.number == number else None
            try:
                assert pull() == list(scene.layers.values())
                counts["success"] += 1
            except ModelimgError as failed:
                counts["error"] += "\n" not in failed.message
    total = len(FEWER) * requests
    show(
        f"pull: {len(FEWER)} faults at each of {requests} requests: {total} pulls, {counts['success']} ended well, "
        f"{counts['error']} in one error, 0 in wrong bytes"
    )
    assert counts["success"] + counts["error"] == total


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_that_stays_ends_in_one_error(scene, make_client, hasty, image_of, name_at, name, pauses) -> None:
    """From a request in the middle on everything goes wrong: no endless loop, and the tag is what it was."""
    harmless = {"no Location", "wrong digest", "flipped bit"}  # these spoil some answers only
    for number in (3, 7, 11):
        scene.reset()
        del pauses[:]
        scene.registry.fault = lambda r, number=number: FAULTS[name] if r.number >= number else None
        try:
            make_client(client=hasty).push(image_of(*scene.layers.values()), name_at(scene.registry))
        except ModelimgError:
            assert scene.leads_to("1") == str(scene.old.descriptor.digest)
        else:
            assert name in harmless | {"too slow"}
        assert len(scene.registry.requests) < 60
        assert sum(pauses) <= 60


def test_a_registry_that_is_away_is_one_error(make_client, image_of, pauses) -> None:
    import socket

    from modelimg.oci.values import Reference

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        name = Reference.parse(f"127.0.0.1:{unused.getsockname()[1]}/team/model")
        with pytest.raises(RegistryError, match=r"in 5 tries: .*Connection refused"):
            make_client().push(image_of(b"x"), name)
    assert pauses == [0.5, 1, 2, 4]
