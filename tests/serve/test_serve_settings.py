"""What a service may be started with."""

import pytest

from inpaintkit.errors import UsageError
from inpaintkit.serve.settings import ServeSettings, installed_models

TOKEN = "a-token-that-is-long"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "photos.example.com"])
def test_another_host_than_this_computers_own_needs_a_token(host):
    with pytest.raises(UsageError, match="token"):
        ServeSettings(host=host)
    assert not ServeSettings(host=host, token=TOKEN).is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_this_computer_needs_none(host):
    assert ServeSettings(host=host).is_loopback


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": "short"},
        {"token": "é" * 20},
        {"port": 65536},
        {"compat": ("lama",)},
        {"max_bytes": 0},
        {"time_limit_s": 0.0},
        {"engine": "tensorrt"},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(UsageError):
        ServeSettings(**wrong)


def test_a_folder_to_save_in_must_be_there(tmp_path):
    assert ServeSettings(save_dir=tmp_path).save_dir == tmp_path
    with pytest.raises(UsageError, match="no folder"):
        ServeSettings(save_dir=tmp_path / "gone")


def test_clients_know_a_file_by_its_name_only(tmp_path):
    (tmp_path / "lama.onnx").write_bytes(b"")
    paths = ServeSettings(models=(str(tmp_path / "lama.onnx"), "telea")).model_paths
    assert list(paths) == ["lama", "telea"]
    assert paths["lama"] == str(tmp_path / "lama.onnx")


def test_unknown_and_doubled_models_are_refused(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'telea'"):
        _ = ServeSettings(models=("telee",)).model_paths
    with pytest.raises(UsageError, match="two models"):
        _ = ServeSettings(models=("ns", "ns")).model_paths


def test_without_models_every_installed_one_is_there():
    assert list(ServeSettings().model_paths) == installed_models()
    assert {"telea", "ns", "patch"} <= set(installed_models())
