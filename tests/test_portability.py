"""The light side runs on Windows and macOS as on Linux: nothing in its source exists on one of them only.

Read from the source text, so the promise is checked on every machine and not only on the one that would break.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "inpaintkit"
LIGHT_PARTS = ("__init__.py", "__main__.py", "errors.py", "photo.py", "weights", "masks", "filling", "serve", "cli")

# Modules of the standard library that are missing on Windows.
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "spwd", "syslog", "termios", "tty"}

# Calls and names that are missing on Windows, or behave otherwise there, by what is wrong with them.
FAULTS = {
    "it is missing on Windows": """
        os.fork os.forkpty os.killpg os.getpgid os.setpgid os.setsid os.getsid os.wait os.wait3 os.wait4 os.nice
        os.mkfifo os.mknod os.pipe2 os.uname os.getloadavg os.statvfs os.fstatvfs os.chroot os.openpty os.ttyname
        os.O_DIRECTORY os.O_NOFOLLOW os.O_CLOEXEC os.O_NONBLOCK os.pread os.pwrite os.sendfile os.posix_fallocate
        os.sched_getaffinity os.sched_setaffinity os.sched_yield time.clock_gettime socket.AF_UNIX""",
    "owners and modes mean something else, or nothing, on Windows": """
        os.getuid os.geteuid os.getgid os.getegid os.setuid os.setgid os.getgroups os.chown os.lchown os.chmod
        os.fchmod os.umask""",
    "Windows has no such signal": """
        signal.SIGALRM signal.SIGKILL signal.SIGHUP signal.SIGUSR1 signal.SIGUSR2 signal.SIGQUIT signal.SIGCHLD
        signal.SIGPIPE signal.SIGSTOP signal.SIGCONT signal.alarm signal.setitimer signal.pause signal.sigwait
        signal.pthread_sigmask signal.pthread_kill""",
    "on Windows it ends the process whatever the signal; use subprocess.Popen.terminate": "os.kill",
    "on Windows it fails when the target exists; use os.replace": "os.rename",
    "it runs another shell on every system; use subprocess.run with a list": "os.system",
}
POSIX_NAMES = {name: fault for fault, names in FAULTS.items() for name in names.split()}
# OpenCV's file functions cannot open a name with letters outside the Windows code page.
OPENCV_FILES = {"imread", "imwrite", "imreadmulti", "imwritemulti", "imcount", "VideoCapture", "VideoWriter"}
POSIX_ROOTS = tuple("/" + folder for folder in ("tmp", "dev/", "proc/", "etc/", "var/", "usr/", "home/"))
TEXT_FILES = {"open", "read_text", "write_text", "NamedTemporaryFile", "TemporaryFile", "fdopen"}


def light_sources() -> list[Path]:
    """The Python files of the light side."""
    parts = [PACKAGE / name for name in LIGHT_PARTS]
    return sorted(file for part in parts for file in ([part] if part.suffix else part.rglob("*.py")) if file.exists())


def _aliases(tree: ast.AST) -> dict[str, str]:
    """Local name -> dotted name it was imported from."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return ""


def _docstrings(tree: ast.AST) -> set[ast.AST]:
    return {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def posix_only(source: str) -> Iterator[str]:
    """What in the source would fail or act otherwise on Windows: modules, names and file names."""
    tree = ast.parse(source)
    names, documentation = _aliases(tree), _docstrings(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import | ast.ImportFrom):
            base = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (f"{line}: imports {name}" for name in base if name.split(".")[0] in POSIX_MODULES)
        if isinstance(node, ast.ImportFrom) and not node.level:
            taken = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (f"{line}: {name}: {POSIX_NAMES[name]}" for name in taken if name in POSIX_NAMES)
        if isinstance(node, ast.Attribute):
            name = _dotted(node, names)
            if name in POSIX_NAMES:
                yield f"{line}: {name}: {POSIX_NAMES[name]}"
        if isinstance(node, ast.keyword) and node.arg in {"preexec_fn", "start_new_session"}:
            yield f"{node.value.lineno}: {node.arg}: it is missing on Windows"
        if isinstance(node, ast.Call) and _dotted(node.func, names).endswith(("get_context", "set_start_method")):
            methods = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            yield from (f"{line}: {method}: Windows only spawns" for method in methods if method != "spawn")
        text = node.value if isinstance(node, ast.Constant) and node not in documentation else None
        if isinstance(text, str) and text.startswith(POSIX_ROOTS):
            yield f"{line}: {text!r}: a folder of one system; use tempfile or pathlib"


def _is_binary(call: ast.Call, position: int, default: str) -> bool:
    mode = next((word.value for word in call.keywords if word.arg == "mode"), None)
    if mode is None and len(call.args) > position:
        mode = call.args[position]
    if mode is None:
        return "b" in default
    return not isinstance(mode, ast.Constant) or "b" in str(mode.value)


def text_without_encoding(source: str) -> Iterator[str]:
    """Text files opened with the encoding left to the system: UTF-8 on Linux, often another on Windows."""
    tree = ast.parse(source)
    names = _aliases(tree)
    other_open = {"Image", "PIL.Image", "tarfile", "zipfile.ZipFile", "webbrowser", "os", "tifffile", "wave", "gzip"}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        owner, _, name = _dotted(node.func, names).rpartition(".")
        name = name or getattr(node.func, "attr", "")
        if name not in TEXT_FILES or (name == "open" and owner in other_open):
            continue
        if any(word.arg == "encoding" for word in node.keywords):
            continue
        if name in {"read_text", "write_text"}:
            given = len(node.args) > (0 if name == "read_text" else 1)
        else:
            method = name == "open" and isinstance(node.func, ast.Attribute) and owner not in {"io", "builtins"}
            temporary = name.endswith("TemporaryFile")
            given = _is_binary(node, 0 if method or temporary else 1, "w+b" if temporary else "r")
        if not given:
            yield f"{node.lineno}: {name}() of a text file without encoding="


def opencv_files(source: str) -> Iterator[str]:
    """OpenCV calls that open a file by name: bytes through pathlib and cv2.imdecode / imencode instead."""
    tree = ast.parse(source)
    names = _aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            owner, _, name = _dotted(node, names).rpartition(".")
            if owner == "cv2" and name in OPENCV_FILES:
                yield f"{node.lineno}: cv2.{name} cannot open every file name on Windows"


def _found(check, paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(PACKAGE).as_posix()}:{fault}"
        for path in paths
        for fault in check(path.read_text(encoding="utf-8"))
    ]


def test_the_light_side_is_there():
    assert {"errors.py", "photo.py"} <= {path.name for path in light_sources()}


def test_no_posix_only_call_on_the_light_side():
    assert _found(posix_only, light_sources()) == []


def test_no_opencv_file_name_anywhere():
    assert _found(opencv_files, sorted(PACKAGE.rglob("*.py"))) == []


def test_text_files_name_their_encoding_everywhere():
    assert _found(text_without_encoding, sorted(PACKAGE.rglob("*.py"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.fork()",
        "import os as system\nsystem.geteuid()",
        "from os import killpg",
        "import os\nn = len(os.sched_getaffinity(0))",
        "import fcntl",
        "from resource import getrusage",
        "def f():\n    import pwd",
        "import signal\nsignal.signal(signal.SIGALRM, f)",
        "from signal import SIGUSR1",
        "import os, signal\nos.kill(1, signal.SIGTERM)",
        "import os\nos.rename(a, b)",
        "folder = '/" + "tmp/fills'",
        "import multiprocessing\nmultiprocessing.get_context('fork')",
        "import subprocess\nsubprocess.Popen(['x'], preexec_fn=f)",
        "import os\nos.chmod(p, 0o600)",
    ],
)
def test_a_posix_only_call_is_found(source):
    assert list(posix_only(source))


@pytest.mark.parametrize(
    "source",
    [
        "open('a.txt')",
        "open('a.txt', 'w')",
        "from pathlib import Path\nPath('a').read_text()",
        "from pathlib import Path\nPath('a').write_text(text)",
        "path.open()",
        "path.open('a')",
        "import io\nio.open('a', mode='r')",
        "import tempfile\ntempfile.NamedTemporaryFile('w')",
    ],
)
def test_a_text_file_without_encoding_is_found(source):
    assert list(text_without_encoding(source))


@pytest.mark.parametrize("source", ["import cv2\ncv2.imread(p)", "from cv2 import imwrite\nimwrite(p, a)"])
def test_an_opencv_file_name_is_found(source):
    assert list(opencv_files(source))


def test_portable_source_passes():
    source = (
        '"""Not /tm' + 'p/x: this is documentation."""\n'
        "import os, signal, tarfile, tempfile\nfrom pathlib import Path\nfrom PIL import Image\n"
        "os.replace(a, b)\nsignal.signal(signal.SIGTERM, f)\nopen('a', 'rb')\nPath('a').open('wb')\n"
        "open('a', encoding='utf-8')\nPath('a').read_text('utf-8')\nPath('a').write_text(t, encoding='utf-8')\n"
        "Image.open(p)\ntarfile.open(p)\ntempfile.NamedTemporaryFile(delete=False)\npath.open(mode)\n"
        "import cv2\ncv2.imdecode(b, 1)\nprint('a/b')\n"
    )
    assert [*posix_only(source), *text_without_encoding(source), *opencv_files(source)] == []
