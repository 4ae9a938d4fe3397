"""How large a network is and how much it computes: parameters, and multiply-accumulates of one run on a frame.

What is counted: the multiplications of convolutions, transposed convolutions and matrix products, each with its
addition as one multiply-accumulate (MAC). A convolution takes (values of its output) x (input channels / groups) x
(kernel positions), a transposed one (values of its input) x (output channels / groups) x (kernel positions), taps on
padding included; a matrix product (values of its result) x (length of the sum). Biases, activations, normalisation,
pooling, resizing, Fourier transforms and the blending at the end are not counted. An ONNX graph with any operation that
is known neither as counted nor as one of these has no number of MACs: a network is never cheap for being unknown.
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
    """A network's numbers of parameters and of multiply-accumulates a frame; None where they cannot be told.

    `why` says so in one line. Equal numbers are equal whatever it says.
    """

    parameters: int | None
    macs: int | None
    why: str | None = field(default=None, compare=False)


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
    if method.through == "engine":
        return found
    return Complexity(
        found.parameters,
        None,
        "multiply-accumulates: the path of `inpaintkit fill` decides for every hole what the network sees",
    )


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
    return found if stated is None else Complexity(int(stated), found.macs, found.why)


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

MICROSOFT = "com.microsoft."
"""How `_name` calls the operations that ONNX Runtime adds, when it quantises or optimises a graph."""

WEIGHT_SLOTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "ConvInteger": (1,),
    "QLinearConv": (3, 8),
    "DeformConv": (1, 3),
    "Einsum": (0, 1),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "LSTM": (1, 2, 3, 7),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "RMSNormalization": (1,),
    "PRelu": (1,),
    "Gather": (0,),
    MICROSOFT + "FusedConv": (1, 2),
    MICROSOFT + "NhwcConv": (1, 2),
    MICROSOFT + "NhwcFusedConv": (1, 2),
    MICROSOFT + "FusedGemm": (0, 1, 2),
    MICROSOFT + "FusedMatMul": (0, 1),
    MICROSOFT + "QGemm": (3, 6),
    MICROSOFT + "DynamicQuantizeMatMul": (1, 4),
    MICROSOFT + "MatMulIntegerToFloat": (1, 6),
    MICROSOFT + "Attention": (1, 2),
    MICROSOFT + "QAttention": (1, 2),
    MICROSOFT + "BiasGelu": (1,),
    MICROSOFT + "FastGelu": (1,),
}
"""Operation to the inputs at which a constant is a parameter. A batch norm's running statistics are none."""

ARITHMETIC = ("Add", "Mul")
"""Operations whose constants are parameters (a bias or a scale apart) when they have more than one value."""

PASSING = (
    "Cast",
    "DequantizeLinear",
    "Flatten",
    "Identity",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
    MICROSOFT + "DequantizeLinear",
)
"""Operations behind which a constant, their first input, is still the same parameter."""

_FREE = (
    # arithmetic and activations, value by value
    (
        "",
        "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Celu "
        "Clip Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Hardmax "
        "IsInf IsNaN LeakyRelu Less LessOrEqual Log LogSoftmax Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow "
        "Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Sub Sum Swish Tan Tanh "
        "ThresholdedRelu Where Xor",
    ),
    # sums and extremes along sides
    (
        "",
        "ArgMax ArgMin CumProd CumSum ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
        "ReduceProd ReduceSum ReduceSumSquare TopK",
    ),
    # normalisation, pooling, resizing, Fourier transforms
    (
        "",
        "BatchNormalization GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization "
        "MeanVarianceNormalization RMSNormalization AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool "
        "MaxPool MaxRoiPool MaxUnpool RoiAlign AffineGrid GridSample Resize Upsample BlackmanWindow DFT HammingWindow "
        "HannWindow STFT",
    ),
    # values that are moved, made or stored otherwise
    (
        "",
        "Bernoulli BitCast Cast CastLike CenterCropPad Col2Im Compress Concat ConcatFromSequence Constant "
        "ConstantOfShape DepthToSpace DequantizeLinear DynamicQuantizeLinear Expand EyeLike Flatten Gather "
        "GatherElements GatherND Identity Multinomial NonMaxSuppression NonZero OneHot Optional OptionalGetElement "
        "OptionalHasElement Pad QuantizeLinear RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range "
        "Reshape ReverseSequence Scatter ScatterElements ScatterND SequenceAt SequenceConstruct SequenceEmpty "
        "SequenceErase SequenceInsert SequenceLength Shape Size Slice SpaceToDepth Split SplitToSequence Squeeze Tile "
        "Transpose Trilu Unique Unsqueeze",
    ),
    # conditions and loops: their bodies are counted
    ("", "If Loop"),
    # what ONNX Runtime puts beside the products that it quantises or fuses
    (
        MICROSOFT,
        "BiasGelu DequantizeLinear FastGelu Gelu QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool "
        "QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear "
        "QuickGelu",
    ),
)
FREE = frozenset(domain + name for domain, names in _FREE for name in names.split())
"""Operations without a product that would be counted. One that is neither here nor in `PRODUCTS` leaves no number."""


def _name(node: "onnx.NodeProto") -> str:
    """An operation's name: as it is in the standard domain, behind its domain's in another."""
    name: str = node.op_type
    return name if node.domain in ("", "ai.onnx") else f"{node.domain}.{name}"


class _CannotTell(Exception):
    """A number cannot be told; the message says why."""


class _UnknownSize(_CannotTell):
    """A size is not known, which it may be when the graph runs."""


def onnx_complexity(model: "onnx.ModelProto", height: int, width: int) -> Complexity:
    """The numbers of a graph whose inputs are one picture of height x width each; sides that it fixes stay as they are.

    Parameters are counted once, in values, whatever they are stored as; constants that are none (sizes, thresholds)
    are left out as far as their use tells. Of the two branches of a condition the dearer one counts, a loop as often
    as it runs if the graph says so. The MACs are None where a size cannot be told, or an operation is not known; the
    parameters are where an unknown one has constants that may be some. Raises ModelError for a graph that contradicts
    itself.
    """
    fixed = _at_size(model, height, width)
    reasons = []
    parameters = macs = None
    try:
        parameters = sum(_parameters(fixed.graph, {}).values())
    except _CannotTell as error:
        reasons.append(f"parameters: {error}")
    try:
        macs = _graph_macs(fixed)
    except _CannotTell as error:
        reasons.append(f"multiply-accumulates: {error}")
    return Complexity(parameters, macs, "; ".join(reasons) or None)


def _graph_macs(fixed: "onnx.ModelProto") -> int:
    """MACs of a graph at its size, which is run where its shapes cannot be inferred. Raises _CannotTell."""
    try:
        return _macs(fixed.graph, _shapes(fixed))
    except _UnknownSize:
        return _macs(fixed.graph, _measured_shapes(fixed))


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

    `where` tells the graph from others, which may use the same names. Raises _CannotTell.
    """
    numbers = {1, 2, 3, 10, 11, 16, *range(17, 24)}  # TensorProto: floats of all lengths, and 8- and 4-bit integers
    known = dict(outer)
    for name, tensor in _constants(graph):
        if tensor.data_type in numbers:
            known[name] = (where, name, tuple(tensor.dims))
    found: dict[tuple[str, str], int] = {}
    for number, node in enumerate(graph.node):
        operation = _name(node)
        if operation in PASSING and node.input and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
        given = {slot: known[name] for slot, name in enumerate(node.input) if name in known}
        unknown = operation not in FREE | PRODUCTS.keys() | WEIGHT_SLOTS.keys()
        if unknown and any(math.prod(dims) > 1 for _, _, dims in given.values()):
            raise _CannotTell(f"which constants of the operation {operation} are some is not known here")
        for slot in WEIGHT_SLOTS.get(operation, (0, 1) if operation in ARITHMETIC else ()):
            if slot in given:
                owner, name, dims = given[slot]
                if operation not in ARITHMETIC or math.prod(dims) > 1:
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
    products = [node for node in asked.graph.node if _name(node) in PRODUCTS]
    names = sorted({name for node in products for name in (*node.input, *node.output) if name})
    if not names:
        raise _CannotTell("sizes inside conditions and loops are not told by the graph")
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
        raise _CannotTell(f"its sizes are found only by running it, which fails ({gist(error)})") from error
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
    """One operation with products, its shapes at hand. `sides` raises _UnknownSize for a shape that is not known."""

    node: "onnx.NodeProto"
    shapes: Sides = field(repr=False)

    def sides(self, name: str) -> Shape:
        """The shape of a value."""
        shape = self.shapes.get(name)
        known = tuple(side for side in shape or () if side is not None)
        if shape is None or len(known) < len(shape):
            raise _UnknownSize(f"the graph does not tell the size of '{name}'")
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
    MICROSOFT + "FusedConv": _convolution(1),
}
"""The counted operations, each with the MACs of one of them."""


def _macs(graph: "onnx.GraphProto", shapes: Sides) -> int:
    """MACs of one run of a graph. Raises _CannotTell."""
    total = 0
    for node in graph.node:
        operation = _name(node)
        if operation in PRODUCTS:
            total += PRODUCTS[operation](_Product(node, shapes))
        elif operation not in FREE:
            raise _CannotTell(f"what the operation {operation} computes is not known here")
        inside = [_macs(body, _graph_shapes(body, shapes)) for _, body in _subgraphs(node)]
        if any(inside):
            total += max(inside) * (_rounds(graph, node) if operation == "Loop" else 1)
    return total


def _rounds(graph: "onnx.GraphProto", loop: "onnx.NodeProto") -> int:
    """How often a loop runs, where a constant says so and nothing can end it earlier. Raises _CannotTell."""
    from onnx import numpy_helper

    constants = dict(_constants(graph))
    if loop.input[0] not in constants or (len(loop.input) > 1 and loop.input[1]):
        raise _CannotTell("how often a loop runs is not stated")
    return int(numpy_helper.to_array(constants[loop.input[0]]).item())
