"""What is compared: names, labels, checksums, and fills that never see what the hole held."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from drawn_photos import drawn_photo

from inpaintkit import Inpainter
from inpaintkit.errors import InpaintError, UsageError
from inpaintkit.evaluation.methods import open_method, parse_methods
from inpaintkit.weights import CATALOGUE

HOLE = np.zeros((60, 72), bool)
HOLE[20:40, 25:50] = True


def test_names_become_methods_in_order() -> None:
    methods = parse_methods("telea, default,default+detail,mine=ns")
    assert [each.label for each in methods] == ["telea", "default", "default+detail", "mine"]
    assert [each.model for each in methods] == ["telea", "default", "default", "ns"]
    assert [each.through for each in methods] == ["engine", "engine", "fill", "engine"]
    assert [each.kind for each in methods] == ["classical", "bundled", "bundled", "classical"]


def test_bundled_weights_are_named_by_their_checksum() -> None:
    (method,) = parse_methods("default")
    assert method.sha256 == hashlib.sha256(CATALOGUE["default"].onnx.read_bytes()).hexdigest()
    assert method.terms
    (method,) = parse_methods("default", runtime="torch")
    entry = CATALOGUE["default"].safetensors
    assert entry is not None
    assert method.sha256 == hashlib.sha256(entry.read_bytes()).hexdigest()


def test_files_are_named_by_their_stem_and_checksum(tmp_path: Path) -> None:
    file = tmp_path / "my.net.onnx"
    file.write_bytes(CATALOGUE["default"].onnx.read_bytes())
    (method,) = parse_methods(str(file))
    assert (method.label, method.kind, method.runtime) == ("my.net", "onnx", "onnx")
    assert method.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_weights_and_runs_go_through_torch(tmp_path: Path) -> None:
    entry = CATALOGUE["default"].safetensors
    assert entry is not None
    run = tmp_path / "run"
    run.mkdir()
    (run / "generator.safetensors").write_bytes(entry.read_bytes())
    ours, file = parse_methods(f"{run},other={run / 'generator.safetensors'}")
    assert (ours.label, ours.kind, ours.runtime, ours.sha256) == ("run", "trained", "torch", file.sha256)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("", "names or files by comma"),
        (" , ", "names or files by comma"),
        ("tela", "did you mean 'telea'"),
        ("telea,ns,telea", "'telea' 2 times"),
        ("a=telea,a=ns", "'a' 2 times"),
        ("=telea", "NAME=MODEL"),
        ("a=", "NAME=MODEL"),
        ("a\nb=telea", "can be printed"),
        ("gone.onnx", "does not exist"),
        ("+detail", "the model's name before"),
    ],
)
def test_what_is_no_list_of_methods_is_refused(asked: str, told: str) -> None:
    with pytest.raises(UsageError, match=told.replace("(", r"\(")) as caught:
        parse_methods(asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["telea", "default", "default+detail"])
def test_fills_do_not_depend_on_what_the_hole_held(name: str) -> None:
    fill = open_method(*parse_methods(name))
    photo = drawn_photo(3)
    other = photo.copy()
    other[HOLE] = 255 - other[HOLE]
    before = photo.copy()
    first, second = fill(photo, HOLE), fill(other, HOLE)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert np.array_equal(first[~HOLE], photo[~HOLE])
    assert (first[HOLE] != 0).any()
    assert np.array_equal(photo, before)


def test_detail_is_the_whole_path_of_fill() -> None:
    photo = drawn_photo(2)
    blank = photo.copy()
    blank[HOLE] = 0
    fill = open_method(*parse_methods("default+detail"))
    assert np.array_equal(fill(photo, HOLE), Inpainter("default", "onnx")(blank, HOLE))
    alone = open_method(*parse_methods("default"))
    assert not np.array_equal(fill(photo, HOLE), alone(photo, HOLE))


def test_the_number_of_threads_changes_no_pixel() -> None:
    photo = drawn_photo(4)
    (method,) = parse_methods("default")
    assert np.array_equal(open_method(method, threads=1)(photo, HOLE), open_method(method, threads=2)(photo, HOLE))


def test_weights_that_changed_meanwhile_are_not_used(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(CATALOGUE["default"].onnx.read_bytes())
    (method,) = parse_methods(str(file))
    file.write_bytes(CATALOGUE["glcic"].onnx.read_bytes())
    with pytest.raises(InpaintError, match="changed"):
        open_method(method)


def test_weights_outside_the_file_count(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.arange(400, dtype=np.float32), "w")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [400])
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [output], [weight])
    file = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph), file, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    assert (tmp_path / "net.onnx.data").stat().st_size == 1600
    (before,) = parse_methods(str(file))
    (tmp_path / "net.onnx.data").write_bytes(bytes(1600))
    (after,) = parse_methods(str(file))
    assert before.sha256 != after.sha256
    with pytest.raises(InpaintError, match="changed"):
        open_method(before)
