"""How large a network is and how much it computes: parameters, and multiply-accumulates of one run on a frame.

What is counted: the multiplications of convolutions, transposed convolutions and matrix products, each with its
addition as one multiply-accumulate (MAC). A convolution takes (values of its output) x (input channels / groups) x
(kernel positions), a transposed one (values of its input) x (output channels / groups) x (kernel positions), taps on
padding included; a matrix product (values of its result) x (length of the sum). Biases, activations, normalisation,
pooling, resizing, Fourier transforms and the blending at the end are not counted.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from ..filling.engines import open_engine
from ..filling.runtimes import gist
from ..weights import bundled
from .methods import Method

if TYPE_CHECKING:
    import onnx
    from torch import nn

Shape = tuple[int, ...]
Sides = Mapping[str, tuple[int | None, ...]]
"""A graph's values to their shapes; None is a side that is not known."""


@dataclass(frozen=True)
class Complexity:
    """A network's numbers of parameters and of multiply-accumulates a frame (None: they cannot be told)."""

    parameters: int
    macs: int | None


def complexity(method: Method, height: int, width: int) -> Complexity | None:
    """Parameters of a method's network, and MACs of one run on a frame of height x width; None for classical methods.

    The frame grows to what the network takes: a multiple of its step, or the one size that its file fixes. Bundled
    networks have the parameters that their cards state: those of the training, of which the file has folded the batch
    norms into other layers. The MACs are None where the whole path of `inpaintkit fill` decides hole by hole what the
    network sees. Raises ModelError for a file that cannot be read.
    """
    if method.kind == "classical":
        return None
    if method.kind == "trained":
        from ..models.published import load_generator

        generator, _ = load_generator(Path(method.model))
        step = int(getattr(generator, "size_multiple", 1))
        found = generator_complexity(generator, _up_to(height, step), _up_to(width, step))
    else:
        found = _of_file(method, height, width)
    return found if method.through == "engine" else Complexity(found.parameters, None)


def _of_file(method: Method, height: int, width: int) -> Complexity:
    """The same of an ONNX file, the bundled ones included."""
    import onnx

    entry = bundled(method.model) if method.kind == "bundled" else None
    path = Path(method.model) if entry is None else entry.onnx
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own errors, and those of files of weights beside it
        raise ModelError(
            f"model '{path}' is not a readable ONNX file: {gist(error)}; copy or export it again"
        ) from error
    step = 1
    if any(side.dim_value <= 0 for port in model.graph.input for side in port.type.tensor_type.shape.dim[2:]):
        engine: Any = open_engine(method.model, "onnx")
        step = engine.size_multiple if engine.signature == "inpaintkit" else 1
    found = onnx_complexity(model, _up_to(height, step), _up_to(width, step))
    stated = entry.facts.get("parameters") if entry is not None else None
    return found if stated is None else Complexity(int(stated), found.macs)


def _up_to(side: int, step: int) -> int:
    """The side, or the next multiple of the step above it."""
    return side + -side % step


# --- PyTorch ---------------------------------------------------------------------------------------------------------


def generator_complexity(generator: "nn.Module", height: int, width: int) -> Complexity:
    """A generator's numbers for one image (1, 3, height, width) and its mask, counted by PyTorch's own counter.

    Nothing is computed, unless the network decides by its values what it does; the generator itself is left as it is.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    parameters = sum(each.numel() for each in generator.parameters())
    for device in ("meta", "cpu"):
        counted = copy.deepcopy(generator).to(device).eval()
        frame = torch.full((1, 3, height, width), 0.5, device=device)
        mask = torch.zeros((1, 1, height, width), device=device)
        mask[..., height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None] = 1
        try:
            # not inference_mode: it would hide matrix products of more than two dimensions from the counter
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                counted(frame, mask)
        except RuntimeError as error:
            if device == "cpu":
                raise ModelError(f"the network fails on a frame of {width} x {height}: {gist(error)}") from error
            continue  # an operation that needs values, of which the meta device has none
        break
    return Complexity(parameters, counter.get_total_flops() // 2)


# --- ONNX ------------------------------------------------------------------------------------------------------------

WEIGHT_SLOTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "ConvInteger": (1,),
    "QLinearConv": (3, 8),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
    "Gather": (0,),
}
"""Operation to the inputs at which a constant is a parameter. A batch norm's running statistics are none."""

ARITHMETIC = ("Add", "Mul")
"""Operations whose constants are parameters (a bias or a scale apart) when they have more than one value."""

PASSING = ("Cast", "DequantizeLinear", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operations behind which a constant, their first input, is still the same parameter."""

UNCOUNTED = (
    "Attention",
    "DeformConv",
    "Einsum",
    "FusedConv",
    "FusedMatMul",
    "GRU",
    "LSTM",
    "MultiHeadAttention",
    "RNN",
    "Scan",
)
"""Operations with products inside that are not taken apart here: a graph that has one has no number of MACs."""


class _CannotTell(Exception):
    """A graph's MACs cannot be told: a size is not known, or an operation is not taken apart."""


def onnx_complexity(model: "onnx.ModelProto", height: int, width: int) -> Complexity:
    """The numbers of a graph whose inputs are one picture of height x width each; sides that it fixes stay as they are.

    Parameters are counted once, in values, whatever they are stored as; constants that are none (sizes, thresholds)
    are left out as far as their use tells. Of the two branches of a condition the dearer one counts, a loop as often
    as it runs if the graph says so. The MACs are None where a size cannot be told, or for operations of `UNCOUNTED`.
    Raises ModelError for a graph that contradicts itself.
    """
    fixed = _at_size(model, height, width)
    parameters = sum(_parameters(fixed.graph, {}).values())
    try:
        return Complexity(parameters, _macs(fixed.graph, _shapes(fixed)))
    except _CannotTell:
        pass
    try:
        return Complexity(parameters, _macs(fixed.graph, _measured_shapes(fixed)))
    except _CannotTell:
        return Complexity(parameters, None)


def _at_size(model: "onnx.ModelProto", height: int, width: int) -> "onnx.ModelProto":
    """A copy of the graph for one frame of this size, with the shapes of its values; its own functions are inlined."""
    import onnx
    from onnx import inliner, shape_inference

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    constants = {each.name for each in fixed.graph.initializer}
    for port in fixed.graph.input:
        if port.name not in constants:
            sides = port.type.tensor_type.shape.dim
            for axis, side in enumerate(sides):
                if side.dim_value <= 0:
                    side.dim_value = {2: height, 3: width}.get(axis, 1) if len(sides) == 4 else 1
    for result in fixed.graph.output:
        result.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]  # they state the sizes as formulas, and inference does not solve them
    try:
        fixed = inliner.inline_local_functions(fixed)
        return shape_inference.infer_shapes(fixed, data_prop=True)
    except Exception as error:
        raise ModelError(f"the ONNX graph cannot be read for its sizes: {gist(error)}; export it again") from error


def _subgraphs(node: "onnx.NodeProto") -> Iterator[tuple[str, "onnx.GraphProto"]]:
    """The bodies of a condition or a loop, by their attribute's name."""
    yield from ((each.name, each.g) for each in node.attribute if each.HasField("g"))


def _attribute(node: "onnx.NodeProto", name: str, otherwise: Any) -> Any:
    import onnx

    return next((onnx.helper.get_attribute_value(each) for each in node.attribute if each.name == name), otherwise)


def _constants(graph: "onnx.GraphProto") -> "Iterator[tuple[str, onnx.TensorProto]]":
    """The tensors that a graph itself states, by the value's name."""
    yield from ((each.name, each) for each in graph.initializer)
    for node in graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], each.t) for each in node.attribute if each.name == "value")


Constant = tuple[str, str, Shape]
"""A constant's graph, its name there, and its shape."""


def _parameters(graph: "onnx.GraphProto", outer: Mapping[str, Constant], where: str = "") -> dict[tuple[str, str], int]:
    """Every constant that is used as a parameter, with its number of values; `outer` are the surrounding graphs'.

    `where` tells the graph from others, which may use the same names.
    """
    numbers = {1, 2, 3, 10, 11, 16, *range(17, 24)}  # TensorProto: floats of all lengths, and 8- and 4-bit integers
    known = dict(outer)
    for name, tensor in _constants(graph):
        if tensor.data_type in numbers:
            known[name] = (where, name, tuple(tensor.dims))
    found: dict[tuple[str, str], int] = {}
    for number, node in enumerate(graph.node):
        if node.op_type in PASSING and node.input and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
        slots = WEIGHT_SLOTS.get(node.op_type, (0, 1) if node.op_type in ARITHMETIC else ())
        for slot in slots:
            if slot < len(node.input) and node.input[slot] in known:
                owner, name, dims = known[node.input[slot]]
                if node.op_type not in ARITHMETIC or math.prod(dims) > 1:
                    found[owner, name] = math.prod(dims)
        for branch, body in _subgraphs(node):
            found.update(_parameters(body, known, f"{where}/{number}/{branch}"))
    return found


def _shapes(model: "onnx.ModelProto") -> dict[str, tuple[int | None, ...]]:
    """The shapes that the graph states or that were inferred."""
    return _graph_shapes(model.graph, {})


def _graph_shapes(graph: "onnx.GraphProto", outer: Sides) -> dict[str, tuple[int | None, ...]]:
    shapes = dict(outer)
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            sides = value.type.tensor_type.shape.dim
            shapes[value.name] = tuple(side.dim_value if side.HasField("dim_value") else None for side in sides)
    shapes.update({name: tuple(tensor.dims) for name, tensor in _constants(graph)})
    return shapes


def _measured_shapes(model: "onnx.ModelProto") -> dict[str, tuple[int | None, ...]]:
    """The shapes as they are when the graph runs: every product's inputs and output report theirs.

    For graphs that compute sizes in ways that inference does not follow. Raises _CannotTell where it cannot run.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    asked = copy.deepcopy(model)
    products = [node for node in asked.graph.node if node.op_type in PRODUCTS]
    names = sorted({name for node in products for name in (*node.input, *node.output) if name})
    if not names:
        raise _CannotTell("the products are inside conditions and loops")
    for name in names:
        asked.graph.node.append(helper.make_node("Shape", [name], [f"{name}/shape"]))
        asked.graph.output.append(helper.make_tensor_value_info(f"{name}/shape", TensorProto.INT64, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # optimisation would fuse values away
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(asked.SerializeToString(), options, providers=["CPUExecutionProvider"])
        given = {port.name: _probe(port) for port in session.get_inputs()}
        found = session.run([f"{name}/shape" for name in names], given)
    except Exception as error:
        raise _CannotTell from error
    shapes = dict(zip(names, (tuple(map(int, shape)) for shape in found), strict=True))
    return _shapes(model) | shapes


def _probe(port: Any) -> np.ndarray:
    """What an input is given when only shapes are asked for: a square in the middle of the frame."""
    dtypes = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16, "tensor(bool)": np.bool_}
    probe = np.zeros(port.shape, dtypes.get(port.type, np.float32))
    if probe.ndim == 4:
        height, width = probe.shape[2:]
        middle = np.s_[..., height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None]
        probe[middle] = 255 if probe.dtype == np.uint8 else 1
    return probe


@dataclass
class _Product:
    """One operation with products, its shapes at hand. `sides` raises _CannotTell for a shape that is not known."""

    node: "onnx.NodeProto"
    shapes: Sides = field(repr=False)

    def sides(self, name: str) -> Shape:
        """The shape of a value."""
        shape = self.shapes.get(name)
        if shape is None:
            raise _CannotTell(name)
        known = tuple(side for side in shape if side is not None)
        if len(known) < len(shape):
            raise _CannotTell(name)
        return known

    def given(self, slot: int) -> Shape:
        """The shape of an input."""
        return self.sides(self.node.input[slot])

    @property
    def result(self) -> Shape:
        """The shape of the output."""
        return self.sides(self.node.output[0])


def _convolution(weight: int) -> Callable[[_Product], int]:
    return lambda it: math.prod(it.result) * math.prod(it.given(weight)[1:])


def _transposed(it: _Product) -> int:
    return math.prod(it.given(0)) * math.prod(it.given(1)[1:])


def _gemm(it: _Product) -> int:
    return math.prod(it.result) * it.given(0)[0 if _attribute(it.node, "transA", 0) else 1]


def _matrix_product(it: _Product) -> int:
    return math.prod(it.result) * it.given(0)[-1]


PRODUCTS: dict[str, Callable[[_Product], int]] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _matrix_product,
    "MatMulInteger": _matrix_product,
    "QLinearMatMul": _matrix_product,
}
"""The counted operations, each with the MACs of one of them."""


def _macs(graph: "onnx.GraphProto", shapes: Sides) -> int:
    """MACs of one run of a graph. Raises _CannotTell."""
    total = 0
    for node in graph.node:
        if node.op_type in UNCOUNTED:
            raise _CannotTell(node.op_type)
        if node.op_type in PRODUCTS:
            total += PRODUCTS[node.op_type](_Product(node, shapes))
        inside = [_macs(body, _graph_shapes(body, shapes)) for _, body in _subgraphs(node)]
        if any(inside):
            total += max(inside) * (_rounds(graph, node) if node.op_type == "Loop" else 1)
    return total


def _rounds(graph: "onnx.GraphProto", loop: "onnx.NodeProto") -> int:
    """How often a loop runs, where a constant says so and nothing can end it earlier. Raises _CannotTell."""
    from onnx import numpy_helper

    constants = dict(_constants(graph))
    if loop.input[0] not in constants or (len(loop.input) > 1 and loop.input[1]):
        raise _CannotTell(loop.name)
    return int(numpy_helper.to_array(constants[loop.input[0]]).item())
