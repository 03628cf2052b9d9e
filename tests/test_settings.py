from pathlib import Path

import pytest

from serving.errors import SettingsError
from serving.settings import Settings, warn_of_unknown, workers_from_environment


def test_settings():
    given = {"MARSAD_MODEL": "/m", "MARSAD_THREADS": "2", "MARSAD_PRECISION": "bf16", "MARSAD_MAX_WAITING": " "}
    assert Settings.from_environment(given) == Settings(model=Path("/m"), threads=2, precision="bf16")
    assert workers_from_environment({"MARSAD_WORKERS": "3"}) == 3


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MARSAD_THREADS", "two", "MARSAD_THREADS: expected a whole number, 0 or more, found 'two'"),
        ("MARSAD_MAX_DOCUMENTS", "0", "MARSAD_MAX_DOCUMENTS: expected a whole number, 1 or more, found '0'"),
        ("MARSAD_MAX_DOCUMENTS", "٣", "MARSAD_MAX_DOCUMENTS: expected"),
        ("MARSAD_PRECISION", "int8", "MARSAD_PRECISION: expected one of auto, f32, bf16, found 'int8'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(variable, value, message):
    with pytest.raises(SettingsError, match=message):
        Settings.from_environment({variable: value})


def test_a_setting_that_does_not_exist_is_told(caplog):
    warn_of_unknown({"MARSAD_MODLE": "/m", "MARSAD_MODEL": "/m", "MARSAD_WORKERS": "1", "PATH": ""})
    assert [record.args[0] for record in caplog.records] == ["MARSAD_MODLE"]
