"""Checkpoints: what goes in comes out, whole or not at all, and the newest that can be read is found."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from inpaintkit.errors import ModelError
from inpaintkit.training import checkpoint as checkpoints
from inpaintkit.training.checkpoint import Checkpoint, load, newest, pack_optimiser, save, unpack_optimiser

KINDS = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]


def _checkpoint(step: int, value: float = 1.0) -> Checkpoint:
    return Checkpoint(step, {"networks/a/w": torch.full((3, 2), value), "ema/w": torch.zeros(2)}, {"phase": "joint"})


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def test_tensors_of_every_kind_come_back_bit_for_bit(tmp_path):
    tensors = {
        str(kind): torch.rand(4, 3, generator=torch.Generator().manual_seed(0)).mul(5).to(kind) for kind in KINDS
    }
    tensors |= {"scalar": torch.tensor(3.0), "empty": torch.zeros(0), "nan": torch.tensor([math.nan, math.inf, -0.0])}
    tensors["channels last"] = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tensors["part"] = torch.arange(10)[::2]
    found = load(save(tmp_path, Checkpoint(3, tensors, {}))).tensors
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        same = found[name].contiguous().flatten().view(torch.uint8) == tensor.contiguous().flatten().view(torch.uint8)
        assert same.all(), name


def test_the_record_comes_back_with_the_step(tmp_path):
    record = {"phase": "joint", "recipe": {"data": {"resize": [1, 2]}}, "lr": 4e-4, "none": None}
    found = load(save(tmp_path, Checkpoint(12, {"a": torch.zeros(1)}, record)))
    assert found.step == 12
    assert {key: found.record[key] for key in record} == record


def test_tensors_are_found_under_their_prefix():
    tensors = {"networks/a/w": torch.zeros(1), "networks/ab/w": torch.ones(1), "ema/x/y": torch.ones(2)}
    saved = Checkpoint(0, tensors, {})
    assert list(saved.under("networks/a")) == ["w"]
    assert list(saved.under("ema")) == ["x/y"]
    assert saved.under("nothing") == {}


def test_only_the_newest_are_kept(tmp_path):
    for step in (1, 2, 10, 9):
        save(tmp_path, _checkpoint(step), keep=2)
    assert _names(tmp_path) == ["step-000000009", "step-000000010"]


def test_the_newest_is_the_one_of_the_highest_step_not_of_the_latest_write(tmp_path):
    for step in (5, 1_000_000_000_0, 7):
        save(tmp_path, _checkpoint(step), keep=5)
    found, refused = newest(tmp_path)
    assert found.step == 1_000_000_000_0
    assert refused == []


@pytest.mark.parametrize("folder", ["gone", "."])
def test_where_there_is_none_none_is_found(tmp_path, folder):
    assert newest(tmp_path / folder) == (None, [])


@pytest.mark.parametrize("name", [checkpoints.TENSORS, checkpoints.RECORD])
@pytest.mark.parametrize("how", ["damaged", "truncated", "emptied", "zeroed", "removed"])
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, name, how):
    for step in (10, 20):
        save(tmp_path, _checkpoint(step, step))
    path = tmp_path / "step-000000020" / name
    data = path.read_bytes()
    if how == "removed":
        path.unlink()
    elif how == "damaged" and name == checkpoints.TENSORS:
        _damage(path)
    else:
        broken = {"truncated": data[: len(data) // 2], "emptied": b"", "zeroed": bytes(len(data)), "damaged": b"[1]"}
        path.write_bytes(broken[how])
    found, refused = newest(tmp_path)
    assert found.step == 10
    assert found.tensors["networks/a/w"].unique().tolist() == [10.0]
    assert len(refused) == 1
    assert "step-000000020" in refused[0]
    assert "damaged checkpoint" in refused[0]
    assert "\n" not in refused[0]


def test_a_record_that_was_edited_is_refused(tmp_path):
    save(tmp_path, _checkpoint(10))
    path = save(tmp_path, _checkpoint(20)) / checkpoints.RECORD
    path.write_text(path.read_text(encoding="utf-8").replace('"joint"', '"solo"'), encoding="utf-8")
    found, refused = newest(tmp_path)
    assert found.step == 10
    assert "step-000000020: damaged checkpoint" in refused[0]


def test_when_all_are_damaged_all_are_named(tmp_path):
    for step in (10, 20):
        _damage(save(tmp_path, _checkpoint(step)) / checkpoints.TENSORS)
    found, refused = newest(tmp_path)
    assert found is None
    assert ["step-000000020" in refused[0], "step-000000010" in refused[1]] == [True, True]


def test_a_damaged_one_is_replaced_when_its_step_comes_again(tmp_path):
    save(tmp_path, _checkpoint(10))
    _damage(save(tmp_path, _checkpoint(20)) / checkpoints.TENSORS)
    save(tmp_path, _checkpoint(20, 5))
    found, refused = newest(tmp_path)
    assert (found.step, refused) == (20, [])
    assert found.tensors["networks/a/w"].unique().tolist() == [5.0]


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("moment", "error"),
    [("save_file", SafetensorError("I/O error: No space left on device")), ("file_sha256", FULL), ("_sync", FULL)],
)
def test_a_disk_that_refuses_is_an_error_and_leaves_what_was_there(tmp_path, monkeypatch, moment, error):
    save(tmp_path, _checkpoint(1))

    def refuse(*_):
        raise error

    monkeypatch.setattr(checkpoints, moment, refuse)
    with pytest.raises(ModelError, match="could not be written") as caught:
        save(tmp_path, _checkpoint(2))
    assert "step-000000002" in str(caught.value)
    monkeypatch.undo()
    assert _names(tmp_path) == ["step-000000001"]
    assert newest(tmp_path)[0].step == 1


def test_a_kill_while_writing_leaves_no_half_checkpoint_and_the_next_write_clears_its_traces(tmp_path):
    save(tmp_path, _checkpoint(1))
    traces = tmp_path / ".partial-step-000000002-4194303"  # as of a process that is gone
    traces.mkdir()
    traces.joinpath(checkpoints.TENSORS).write_bytes(b"half a file")
    assert newest(tmp_path)[0].step == 1
    save(tmp_path, _checkpoint(2))
    assert _names(tmp_path) == ["step-000000001", "step-000000002"]


def test_other_things_in_the_folder_are_left_alone(tmp_path):
    tmp_path.joinpath("step-notes").mkdir()
    tmp_path.joinpath("step-000000099.bak").write_text("mine", encoding="utf-8")
    for step in (1, 2, 3):
        save(tmp_path, _checkpoint(step), keep=1)
    assert _names(tmp_path) == ["step-000000003", "step-000000099.bak", "step-notes"]


def test_the_tensors_hash_is_in_the_record(tmp_path):
    path = save(tmp_path, _checkpoint(1))
    record = json.loads(path.joinpath(checkpoints.RECORD).read_text(encoding="utf-8"))
    assert record["step"] == 1
    assert len(record["tensors_sha256"]) == 64


# --- optimisers ---

OPTIMISERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=3e-4, betas=(0.5, 0.99)),
    "amsgrad": lambda parameters: torch.optim.Adam(parameters, lr=3e-4, amsgrad=True),
    "adadelta": lambda parameters: torch.optim.Adadelta(parameters, lr=1.0, rho=0.9, eps=1e-6),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
}


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).to(memory_format=torch.channels_last)


def _steps(network: nn.Module, optimiser: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        network(x).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("kind", sorted(OPTIMISERS))
def test_an_optimiser_goes_on_bit_for_bit(tmp_path, kind):
    unbroken = _network()
    _steps(unbroken, OPTIMISERS[kind](unbroken.parameters()), 0, 6)

    first = _network()
    optimiser = OPTIMISERS[kind](first.parameters())
    _steps(first, optimiser, 0, 3)
    tensors, record = pack_optimiser(optimiser)
    state = {f"o/{name}": tensor for name, tensor in tensors.items()} | {
        f"n/{k}": v for k, v in first.state_dict().items()
    }
    saved = load(save(tmp_path, Checkpoint(3, state, {"optimiser": record})))

    second = _network()
    second.load_state_dict(saved.under("n"))
    optimiser = OPTIMISERS[kind](second.parameters())
    unpack_optimiser(optimiser, saved.under("o"), saved.record["optimiser"])
    _steps(second, optimiser, 3, 6)
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name


def test_an_optimiser_that_never_stepped_comes_back_fresh():
    network = _network()
    tensors, record = pack_optimiser(OPTIMISERS["adam"](network.parameters()))
    assert tensors == {}
    again = OPTIMISERS["adam"](network.parameters())
    unpack_optimiser(again, tensors, json.loads(json.dumps(record)))
    assert again.state_dict()["state"] == {}


def test_what_an_optimiser_remembers_lies_in_memory_as_its_weights_do():
    """Otherwise every step after a resumed start converts between the two layouts."""
    network = _network()
    optimiser = OPTIMISERS["adam"](network.parameters())
    _steps(network, optimiser, 0, 1)
    tensors, record = pack_optimiser(optimiser)
    again = OPTIMISERS["adam"](network.parameters())
    unpack_optimiser(again, {name: t.contiguous() for name, t in tensors.items()}, record)
    for parameter in network.parameters():
        assert again.state[parameter]["exp_avg"].stride() == parameter.stride()
