from __future__ import annotations

from pathlib import Path

import pytest
from pandera.config import ValidationDepth, _config_from_env_vars

from modelimg_runtime import container
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
    ("name", "text"),
    [
        ("MODELIMG_WORKERS", "0"),
        ("MODELIMG_WORKERS", "257"),
        ("MODELIMG_WORKERS", "all"),
        ("MODELIMG_WORKERS", "Auto"),
        ("MODELIMG_LOG_FORMAT", "JSON"),
        ("MODELIMG_LOG_FORMAT", "xml"),
        ("MODELIMG_LOG_LEVEL", "trace"),
        ("MODELIMG_LOG_LEVEL", "20"),
        ("MODELIMG_ACCESS_LOG", "yes"),
        ("MODELIMG_ACCESS_LOG", "1"),
        ("MODELIMG_READ_TIMEOUT_SECONDS", "0"),
        ("MODELIMG_READ_TIMEOUT_SECONDS", "1.5"),
        ("MODELIMG_READ_TIMEOUT_SECONDS", "3601"),
        ("MODELIMG_KEEP_ALIVE_SECONDS", "0"),
        ("MODELIMG_DRAIN_DELAY_SECONDS", "-1"),
        ("MODELIMG_DRAIN_DELAY_SECONDS", "21"),
        ("MODELIMG_MAX_WAITING", "0"),
        ("MODELIMG_MAX_HELD_BYTES", "1GB"),
    ],
)
def test_what_operation_cannot_mean_is_refused_by_name(name, text):
    with pytest.raises(SettingRefused, match=f"^{name}={text} "):
        Settings.from_environ({name: text})


def test_operation_is_set_by_the_environment():
    environ = {
        "MODELIMG_WORKERS": "3",
        "MODELIMG_LOG_FORMAT": "json",
        "MODELIMG_LOG_LEVEL": "debug",
        "MODELIMG_ACCESS_LOG": "on",
        "MODELIMG_READ_TIMEOUT_SECONDS": "7",
        "MODELIMG_KEEP_ALIVE_SECONDS": "8",
        "MODELIMG_DRAIN_DELAY_SECONDS": "9",
        "MODELIMG_MAX_WAITING": "10",
        "MODELIMG_MAX_HELD_BYTES": "11",
    }
    settings = Settings.from_environ(environ)
    assert (settings.workers, settings.log_format, settings.log_level, settings.access_log) == (
        3,
        "json",
        "debug",
        True,
    )
    assert (settings.read_timeout, settings.keep_alive, settings.drain_delay) == (7, 8, 9)
    assert (settings.max_waiting, settings.max_held_bytes) == (10, 11)
    assert Settings.from_environ(dict.fromkeys(environ, "")) == Settings()


def test_auto_is_as_many_workers_as_the_container_has_cpus():
    assert Settings.from_environ({"MODELIMG_WORKERS": "auto"}).workers == container.cpus()


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
