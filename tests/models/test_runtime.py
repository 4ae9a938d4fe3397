"""Networks as engines: what PyTorch fills is what the module fills, at any size, and known pixels stay."""

from pathlib import Path

import numpy as np
import pytest
import torch
from generator_contract import stirred
from torch import nn

from inpaintkit.errors import ModelError, UsageError
from inpaintkit.filling.engines import Engine, open_engine
from inpaintkit.models import GENERATORS
from inpaintkit.models.published import save_generator
from inpaintkit.models.runtime import TorchEngine
from inpaintkit.tensors import composite, crop_back, pad_to_multiple

NETWORKS = {"glcic": {"width": 8}, "unet": {"width": 8, "dilations": [1, 2]}}


def _network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return stirred(
        GENERATORS[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in NETWORKS[name].items()})
    ).eval()


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def pair(request, tmp_path_factory) -> tuple[nn.Module, Path]:
    """A network, and the file that holds it."""
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    network = _network(request.param)
    description = {"model": request.param, "arguments": NETWORKS[request.param], "training_size": 96, "licence": "none"}
    save_generator(path, network.state_dict(), description, half=False)
    return network, path


def _photo(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(height * 1000 + width)
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 4 + max(1, height // 2), width // 3 : width // 3 + max(1, width // 3)] = True
    return rng.random((height, width, 3), dtype=np.float32), mask


def _by_module(network: nn.Module, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    x, m = torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(mask)[None, None].float()
    padded, padded_mask = pad_to_multiple(x, m, network.size_multiple)
    with torch.inference_mode():
        completed = crop_back(network(padded, padded_mask).image, *image.shape[:2])
        return composite(x, m, completed)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 7), (33, 50), (64, 48)])
def test_it_fills_what_the_module_fills(pair, height, width):
    network, path = pair
    image, mask = _photo(height, width)
    filled = TorchEngine(path)(image, mask)
    assert (filled.dtype, filled.shape) == (np.float32, image.shape)
    assert filled.flags.c_contiguous
    np.testing.assert_allclose(filled, _by_module(network, image, mask), rtol=0, atol=3e-5)
    assert np.array_equal(filled[~mask], image[~mask])


def test_bfloat16_is_near_and_keeps_known_pixels_bit_for_bit(pair):
    network, path = pair
    image, mask = _photo(40, 50)
    filled = TorchEngine(path, precision="bfloat16")(image, mask)
    assert filled.dtype == np.float32
    assert np.array_equal(filled[~mask], image[~mask])
    difference = np.abs(filled - _by_module(network, image, mask))[mask]
    assert difference.max() > 0
    assert difference.mean() < 0.02


def test_arguments_stay_and_may_be_views_or_read_only(pair):
    _, path = pair
    image, mask = _photo(32, 48)
    engine = TorchEngine(path)
    expected = engine(image[::-1, ::2], mask[::-1, ::2])
    copies = np.ascontiguousarray(image[::-1, ::2]), np.ascontiguousarray(mask[::-1, ::2])
    kept = [a.copy() for a in copies]
    for array in copies:
        array.setflags(write=False)
    assert np.array_equal(engine(*copies), expected)
    assert all(np.array_equal(a, b) for a, b in zip(copies, kept, strict=True))


def test_an_empty_mask_gives_the_photo_and_a_full_one_a_filled_frame(pair):
    _, path = pair
    image, mask = _photo(32, 48)
    engine = TorchEngine(path)
    assert np.array_equal(engine(image, np.zeros_like(mask)), image)
    assert np.isfinite(engine(image, np.ones_like(mask))).all()


def test_it_is_an_engine_and_says_what_it_is(pair):
    network, path = pair
    engine = TorchEngine(path, name="mine")
    assert isinstance(engine, Engine)
    assert engine.working_size == 96
    facts = engine.describe()
    assert facts["name"] == "mine"
    assert (facts["runtime"], facts["precision"], facts["licence"]) == ("torch", "float32", "none")
    assert facts["model"] == path.stem
    assert TorchEngine(path).name == path.stem
    assert engine.size_multiple == network.size_multiple


def test_the_one_door_opens_weights_files(pair):
    _, path = pair
    image, mask = _photo(32, 48)
    for precision in ("float32", "bfloat16"):
        by_door = open_engine(path, "torch", precision)
        assert by_door.runtime == "torch"
        assert np.array_equal(by_door(image, mask), TorchEngine(path, precision=precision)(image, mask))


def test_an_unknown_precision_names_the_nearest(pair):
    with pytest.raises(UsageError, match="did you mean 'bfloat16'"):
        TorchEngine(pair[1], precision="bfloat")


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(ModelError, match="not a whole weights file"):
        TorchEngine(path)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(ModelError, match="run"):
        TorchEngine(tmp_path)
