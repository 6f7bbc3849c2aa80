"""Every string that a LABEL line can hold survives the daemon's parser; the rest is known beforehand."""

from __future__ import annotations

import io
import json

import docker
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelimg.errors import RenderError
from modelimg.labels import MAX_DOCKERFILE_VALUE, check_label, fits_dockerfile, quote
from modelimg.tar import make_text, write_tar

pytestmark = pytest.mark.engine

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
TRICKY = st.text(alphabet="\"'\\$ \t\n\r{}`#=éß🐧\u2028\u0085\x0b\x0c\x1b\ufeff<>&;|", max_size=30)


def labels_after_build(
    client: docker.DockerClient, values: dict[str, str], beside: dict[str, str] | None = None
) -> dict[str, str]:
    words = " \\\n      ".join(f"{key}={quote(value)}" for key, value in values.items())
    lines = f"LABEL {words}\n" if words else ""
    context = io.BytesIO()
    write_tar([make_text("Dockerfile", f"FROM scratch\n{lines}")], context)
    context.seek(0)
    image_id = None
    for event in client.api.build(fileobj=context, custom_context=True, decode=True, rm=True, labels=beside):
        assert "error" not in event, event
        image_id = (event.get("aux") or {}).get("ID", image_id)
    labels = client.api.inspect_image(image_id)["Config"]["Labels"]
    client.api.remove_image(image_id, force=True)
    return labels


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXT | TRICKY, min_size=1, max_size=20))
def test_a_value_comes_back_as_it_was_inside_or_beside_the_dockerfile(client, texts: list[str]) -> None:
    values = {f"io.modelimg.k{i}": text for i, text in enumerate(texts)}
    inside = {key: value for key, value in values.items() if fits_dockerfile(value)}
    beside = {key: value for key, value in values.items() if not fits_dockerfile(value)}
    got = labels_after_build(client, inside, beside)
    assert json.dumps(got, sort_keys=True) == json.dumps(values, sort_keys=True)


@pytest.mark.parametrize(
    "value",
    [
        '"',
        "\\",
        "\\\\",
        "$HOME ${HOME}",
        "a\\",
        '\\"',
        "a\tb",
        "🐧 penguin",
        " lead and trail ",
        "",
        "#x",
        "'",
        "`",
        "\\n",
        "x" * MAX_DOCKERFILE_VALUE,
    ],
)
def test_known_traps_survive_a_label_line(client, value: str) -> None:
    assert fits_dockerfile(value)
    assert labels_after_build(client, {"io.modelimg.k": value}) == {"io.modelimg.k": value}


@pytest.mark.parametrize(
    "value", ["two\nlines", "two\rlines", "x" * (MAX_DOCKERFILE_VALUE + 1), "$" * MAX_DOCKERFILE_VALUE]
)
def test_what_a_label_line_cannot_hold_goes_beside_it(client, value: str) -> None:
    assert not fits_dockerfile(value)
    assert labels_after_build(client, {}, {"io.modelimg.k": value}) == {"io.modelimg.k": value}


@pytest.mark.parametrize(
    ("key", "value"), [("k", "a\0b"), ("k", "\ud800"), ("bad key", "v"), ("", "v"), ("é", "v"), ("a\nb", "v")]
)
def test_what_no_label_may_hold_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(RenderError) as refused:
        check_label(key, value)
    assert key in str(refused.value) or repr(key) in str(refused.value)
