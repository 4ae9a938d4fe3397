"""What runs an ONNX graph on the processor, ONNX Runtime or OpenVINO, behind one face: `Session`.

OpenVINO is optional and slow to import, so nothing here loads it before a graph is opened in it.
"""

import importlib
import importlib.util
import io
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, UsageError

OPENVINO_DEVICE = "CPU"

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
"""What OpenVINO calls a precision."""

_WEIGHTED = ("Convolution", "ConvolutionBackpropData", "GroupConvolution", "GroupConvolutionBackpropData", "MatMul")
"""OpenVINO's names of the operations that bfloat16 is for."""

_ONNX_TYPES = {"float32": "float", "float64": "double"}
"""NumPy's names of number formats to ONNX's, where they differ."""


@dataclass(frozen=True)
class Port:
    """One input or output of an ONNX graph; dimensions that may vary are None."""

    name: str
    type: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dims = ",".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} {self.type.removeprefix('tensor(').removesuffix(')')} ({dims})"


class Graph(Protocol):
    """A graph ready to run; safe to run from several threads."""

    def run(self, outputs: list[str], inputs: dict[str, NDArray[Any]]) -> list[Any]:
        """The named outputs for the named inputs."""
        ...


@dataclass(frozen=True)
class Session:
    """An open ONNX graph with its ports and metadata; safe to run from several threads."""

    graph: Graph
    path: Path
    inputs: dict[str, Port]
    outputs: list[Port]
    metadata: dict[str, str]
    sidecar: dict[str, Any] = field(default_factory=dict)
    runtime: str = "onnx"
    precision: str = "float32"

    def run(self, image: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
        """The first output for one image and mask in the graph's own layout. Raises ModelError."""
        try:
            return self.graph.run([self.outputs[0].name], {"image": image, "mask": mask})[0]
        except Exception as error:
            other = "export it again" if self.runtime == "onnx" else "use --engine onnx"
            raise ModelError(
                f"model '{self.path}' failed on a {image.shape[3]} x {image.shape[2]} crop: {gist(error)}; "
                f"{other}, or try --model default"
            ) from error


def open_session(
    path: Path,
    runtime: str = "onnx",
    precision: str = "float32",
    *,
    threads: int | None = None,
    data: bytes | None = None,
) -> Session:
    """An ONNX file in one of `SESSIONS`, on at most `threads` threads (None: one per processor core).

    `data` is the file's content where it has been read already. Raises ModelError for a file that the runtime cannot
    use and for a runtime that is not installed, UsageError for a precision that it does not have.
    """
    return SESSIONS[runtime](path, precision, threads, data)


# --- ONNX Runtime ----------------------------------------------------------------------------------------------------


def _open_in_onnxruntime(path: Path, precision: str, threads: int | None, data: bytes | None) -> Session:
    if precision != "float32":
        raise UsageError(
            f"--precision {precision} needs --engine torch, or OpenVINO (pip install 'inpaintkit[openvino]'): ONNX "
            "Runtime fills in float32"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        graph = onnxruntime.InferenceSession(data or str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _unreadable(path, error) from error

    def port(argument: Any) -> Port:
        shape = tuple(side if isinstance(side, int) and side > 0 else None for side in argument.shape)
        return Port(argument.name, argument.type, shape)

    return Session(
        graph=graph,
        path=path,
        inputs={argument.name: port(argument) for argument in graph.get_inputs()},
        outputs=[port(argument) for argument in graph.get_outputs()],
        metadata=dict(graph.get_modelmeta().custom_metadata_map),
    )


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"model '{path}' is not a readable ONNX file: {gist(error)}; copy or export it again")


# --- OpenVINO --------------------------------------------------------------------------------------------------------


class _OpenVinoGraph:
    """A compiled graph, or two in a row, with one request each, which callers take in turns.

    One fill occupies all threads anyway.
    """

    def __init__(self, stages: list[Any]) -> None:
        self._requests = [compiled.create_infer_request() for compiled in stages]
        self._one_at_a_time = threading.Lock()

    def run(self, outputs: list[str], inputs: dict[str, NDArray[Any]]) -> list[Any]:
        """The named outputs, as copies that later runs leave alone."""
        values: dict[Any, Any] = inputs
        with self._one_at_a_time:
            for request in self._requests:
                request.infer(values, share_inputs=True)
                values = dict(enumerate(request.output_tensors))
            return [self._requests[-1].get_tensor(name).data.copy() for name in outputs]


def import_openvino() -> Any:
    """The library, imported without its telemetry.

    Importing OpenVINO reports the import to its makers over the network and writes an identifier into the home folder,
    without asking. Without the package that does so it works the same, so that package is hidden meanwhile.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    telemetry = "openvino_telemetry"
    imported_before = sys.modules.get(telemetry)
    sys.modules[telemetry] = None  # type: ignore[assignment]  # makes `import` say that there is none
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[telemetry]
        if imported_before is not None:
            sys.modules[telemetry] = imported_before


def openvino_works() -> bool:
    """Whether OpenVINO is installed, can be loaded and knows this processor."""
    try:
        return importlib.util.find_spec("openvino") is not None and bool(_capabilities())
    except Exception:  # a broken installation raises nearly anything; `doctor` says what is wrong with it
        return False


def openvino_has_bfloat16() -> bool:
    """Whether OpenVINO works and this processor has instructions for bfloat16."""
    return openvino_works() and "BF16" in _capabilities()


@cache
def _core() -> Any:
    return import_openvino().Core()


@cache
def _capabilities() -> tuple[str, ...]:
    return tuple(_core().get_property(OPENVINO_DEVICE, "OPTIMIZATION_CAPABILITIES"))


def _open_in_openvino(path: Path, precision: str, threads: int | None, data: bytes | None) -> Session:
    try:
        core, capabilities = _core(), _capabilities()
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise _broken(path, error) from error
        raise ModelError(
            f"model '{path}' needs OpenVINO for --engine openvino: pip install 'inpaintkit[openvino]', or leave "
            "--engine out"
        ) from None
    except Exception as error:
        raise _broken(path, error) from error
    if precision == "bfloat16" and "BF16" not in capabilities:
        raise UsageError("--precision bfloat16 needs a processor with instructions for it: leave it out")
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # pinned, two processes that fill would share the same cores
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        model = _read_in_openvino(path, data)
        inputs = {port.name: port for port in map(_port_in_openvino, model.inputs)}
        outputs = [_port_in_openvino(port) for port in model.outputs]
        stated = model.get_rt_info()["framework"] if model.has_rt_info(["framework"]) else {}
        metadata = {key: str(stated[key].value) for key in stated}
        stages = [(model, precision)] if precision == "float32" else _keep_preparation_exact(model, precision)
        graph = _OpenVinoGraph(
            [
                core.compile_model(stage, OPENVINO_DEVICE, {**settings, "INFERENCE_PRECISION_HINT": _HINTS[number]})
                for stage, number in stages
            ]
        )
    except Exception as error:
        raise _unreadable(path, error) from error
    return Session(
        graph=graph,
        path=path,
        inputs=inputs,
        outputs=outputs,
        metadata=metadata,
        runtime="openvino",
        precision=precision,
    )


def _broken(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"model '{path}' cannot be opened by OpenVINO, which cannot be loaded ({gist(error)}): reinstall it, or use "
        "--engine onnx"
    )


def _read_in_openvino(path: Path, data: bytes | None) -> Any:
    """The graph, read as ONNX and as nothing else. Raises RuntimeError or ValueError."""
    frontend = import_openvino().frontend.FrontEndManager().load_by_framework("onnx")
    loaded = frontend.load(str(path) if data is None else io.BytesIO(data))
    model = None if loaded is None else frontend.convert(loaded)
    if model is None or not model.outputs:
        raise ValueError("it holds no ONNX graph")
    return model


def _keep_preparation_exact(model: Any, precision: str) -> list[tuple[Any, str]]:
    """The graph cut in two where its weights begin: what prepares their input, in float32, and the rest.

    What comes before the first weights has no learned tolerance of rounding, and may reach the output past the
    weights: the diffusion fill of the default network is such a thing. OpenVINO rounds it too when it gets the graph
    in one piece. The graph is changed in place. One that cannot be cut stays whole.
    """
    openvino = import_openvino()
    fed, weighted = _fed_and_weighted(model)

    def reads_on(target: Any) -> bool:
        return target.get_node().get_name() in weighted

    crossing = [
        port
        for node in model.get_ordered_ops()
        if node.get_name() in fed - weighted
        for port in node.outputs()
        if any(map(reads_on, port.get_target_inputs()))
    ]
    cut_well = (openvino.Type.f32, openvino.Type.boolean)  # other types are sizes, which a graph should know by itself
    if not crossing or any(port.element_type not in cut_well for port in crossing):
        return [(model, precision)]
    entries = []
    for port in crossing:
        entry = openvino.op.Parameter(port.element_type, port.partial_shape)
        for target in filter(reads_on, port.get_target_inputs()):
            target.replace_source_output(entry.output(0))
        entries.append(entry)
    preparation = openvino.Model(crossing, model.get_parameters(), "preparation")
    return [(preparation, "float32"), (openvino.Model(model.get_results(), entries, "network"), precision)]


def _fed_and_weighted(model: Any) -> tuple[set[str], set[str]]:
    """The names of the nodes that the inputs reach, and of those that they reach through weights."""
    fed: set[str] = set()
    weighted: set[str] = set()
    for node in model.get_ordered_ops():
        name, kind = node.get_name(), node.get_type_name()
        sources = {entry.get_source_output().get_node().get_name() for entry in node.inputs()}
        if kind == "Parameter" or sources & fed:
            fed.add(name)
            if kind in _WEIGHTED or sources & weighted:
                weighted.add(name)
    return fed, weighted


def _port_in_openvino(port: Any) -> Port:
    sides = port.partial_shape if port.partial_shape.rank.is_static else ()
    dtype = np.dtype(port.element_type.to_dtype()).name
    return Port(
        port.get_any_name(),
        f"tensor({_ONNX_TYPES.get(dtype, dtype)})",
        tuple(side.get_length() if side.is_static else None for side in sides),
    )


SESSIONS: dict[str, Callable[[Path, str, int | None, bytes | None], Session]] = {
    "onnx": _open_in_onnxruntime,
    "openvino": _open_in_openvino,
}
"""What opens an ONNX file in a runtime: (path, precision, threads, content or None) -> session."""


def gist(error: Exception) -> str:
    """A library's error on one line: its first, or its last where the first only says where it was raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if lines[0].startswith("Exception from ") else lines[0]
