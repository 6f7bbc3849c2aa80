from __future__ import annotations

from pathlib import Path

import pytest
from pandera.config import ValidationDepth, _config_from_env_vars

from modelimg_runtime.environment import Settings, refuse_weakened_validation
from modelimg_runtime.errors import ContractWeakened, SettingRefused


def test_defaults_hold_where_nothing_is_set():
    assert Settings.from_environ({}) == Settings(Path("/modelimg/model"), 8080, 10_000_000)
    assert Settings.from_environ({"PORT": "", "AIP_HTTP_PORT": "", "MODELIMG_MODEL_DIR": ""}) == Settings()


@pytest.mark.parametrize(
    ("environ", "port"),
    [({"PORT": "1"}, 1), ({"AIP_HTTP_PORT": "7080"}, 7080), ({"PORT": "9000", "AIP_HTTP_PORT": "7080"}, 9000)],
)
def test_port_wins_over_vertex(environ, port):
    assert Settings.from_environ(environ).port == port


@pytest.mark.parametrize("text", ["0", "65536", "-1", "8080.0", "eighty", " 80", "٣", "9" * 5000, "0x50"])
@pytest.mark.parametrize("name", ["PORT", "AIP_HTTP_PORT"])
def test_what_is_no_port_is_refused_by_name(name, text):
    with pytest.raises(SettingRefused, match=f"^{name}="):
        Settings.from_environ({name: text})


def test_it_listens_everywhere_unless_told_otherwise():
    assert Settings.from_environ({}).host == Settings.from_environ({"MODELIMG_HOST": ""}).host == "0.0.0.0"
    assert Settings.from_environ({"MODELIMG_HOST": "127.0.0.1"}).host == "127.0.0.1"


@pytest.mark.parametrize("text", ["localhost", "1.2.3", "::1", "127.0.0.1:80", "256.0.0.1", " 127.0.0.1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(SettingRefused, match=r"^MODELIMG_HOST="):
        Settings.from_environ({"MODELIMG_HOST": text})


@pytest.mark.parametrize("text", ["0", "10MB", "1e6", "-5"])
def test_what_is_no_body_limit_is_refused(text):
    with pytest.raises(SettingRefused, match="MODELIMG_MAX_BODY_BYTES"):
        Settings.from_environ({"MODELIMG_MAX_BODY_BYTES": text})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PANDERA_VALIDATION_ENABLED", "False"),
        ("PANDERA_VALIDATION_ENABLED", "false"),
        ("PANDERA_VALIDATION_ENABLED", "0"),
        ("PANDERA_VALIDATION_ENABLED", ""),
        ("PANDERA_VALIDATION_ENABLED", "TRUE"),  # false to pandera
        ("PANDERA_VALIDATION_DEPTH", "SCHEMA_ONLY"),
        ("PANDERA_VALIDATION_DEPTH", "DATA_ONLY"),
        ("PANDERA_VALIDATION_DEPTH", ""),
        ("PANDERA_USE_NARWHALS_BACKEND", "True"),
    ],
)
def test_every_switch_that_weakens_validation_is_refused_by_name(name, value):
    with pytest.raises(ContractWeakened, match=name):
        refuse_weakened_validation({name: value})


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PANDERA_VALIDATION_ENABLED": "True"},
        {"PANDERA_VALIDATION_ENABLED": "1"},
        {"PANDERA_VALIDATION_DEPTH": "SCHEMA_AND_DATA"},
        {"PANDERA_USE_NARWHALS_BACKEND": "False"},
        {"PANDERA_CACHE_DATAFRAME": "True"},
    ],
)
def test_switches_that_leave_validation_whole_pass(environ, monkeypatch):
    refuse_weakened_validation(environ)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    read = _config_from_env_vars()  # as pandera does when it is imported
    assert read.validation_enabled
    assert read.validation_depth in (None, ValidationDepth.SCHEMA_AND_DATA)
    assert not read.use_narwhals_backend
