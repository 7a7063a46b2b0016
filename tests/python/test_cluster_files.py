"""What cluster/ ships for building without root, where neither Apptainer nor Spack can be installed: as far as they can be
checked without either. The job scripts are tested in a real Slurm, by test_slurm_*.py."""

import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("CHORALE_SOURCE", Path(__file__).resolve().parents[2]))
CLUSTER = SOURCE / "cluster"


def sections(text):
    """The %sections of an Apptainer file, by name, and its header."""
    parts = re.split(r"^%(\w+).*\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2])), parts[0]


def cmake_options():
    files = [SOURCE / "CMakeLists.txt", *(SOURCE / "cmake").glob("*.cmake")]
    return set(re.findall(r"(?:option|set)\((CHORALE_\w+)", "".join(path.read_text() for path in files)))


def test_the_image_copies_and_runs_what_there_is():
    parts, header = sections((CLUSTER / "container/chorale.def").read_text())
    assert re.search(r"^Bootstrap: docker\nFrom: \{\{ base \}\}$", header, re.MULTILINE)
    assert "base=debian:12" in parts["arguments"]
    copied = {line.split()[0] for line in parts["files"].splitlines() if line.strip()}
    # Everything the build reads, and nothing that set-up or builds leave in a checkout.
    assert all((SOURCE / name).exists() for name in copied)
    added = {name.split("/")[0] for name in re.findall(r"add_subdirectory\(([\w/]+)\)", (SOURCE / "CMakeLists.txt").read_text())}
    assert added - {"tests"} <= copied and {"cmake", "recipes", "CMakePresets.json"} <= copied
    assert subprocess.run(["bash", "-n"], input=parts["post"], text=True, capture_output=True).returncode == 0
    for command in ("launch/setup", "--preset release"):
        assert command in parts["post"]
    assert "launch" in copied and os.access(SOURCE / "launch/setup", os.X_OK)


class Recorder:
    """A stand-in for spack.package: directives note what they were given."""

    def __init__(self):
        self.calls = {}

    def directive(self, name):
        return lambda *arguments, **keywords: self.calls.setdefault(name, []).append((arguments, keywords))


@pytest.fixture
def spack_package(monkeypatch):
    recorder = Recorder()
    module = types.ModuleType("spack.package")
    for name in ("license", "version", "variant", "depends_on", "generator"):
        setattr(module, name, recorder.directive(name))

    class CMakePackage:
        spec = {"python": types.SimpleNamespace(command=types.SimpleNamespace(path="/spack/python"))}
        chosen = set()

        def define(self, name, value):
            return f"-D{name}={value}"

        def define_from_variant(self, name, variant):
            return self.define(name, "ON" if f"+{variant}" in self.chosen else "OFF")

    module.CMakePackage = CMakePackage
    monkeypatch.setitem(sys.modules, "spack", types.ModuleType("spack"))
    monkeypatch.setitem(sys.modules, "spack.package", module)
    names = {}
    path = CLUSTER / "spack/packages/chorale/package.py"
    exec(compile(path.read_text(), path, "exec"), names)
    return names["Chorale"], recorder.calls


def test_the_spack_package_names_what_the_build_needs(spack_package):
    package, calls = spack_package
    needed = {re.match(r"[\w-]+", arguments[0]).group() for arguments, _ in calls["depends_on"]}
    # Debian's names of the libraries, and Spack's.
    spack_names = {"libcli11-dev": "cli11", "libfmt-dev": "fmt", "libhdf5-dev": "hdf5", "libopenmpi-dev": "mpi", "libpcre2-dev": "pcre2",
                   "libspdlog-dev": "spdlog", "libssl-dev": "openssl", "libutf8proc-dev": "utf8proc", "libyaml-cpp-dev": "yaml-cpp",
                   "nlohmann-json3-dev": "nlohmann-json", "libjs-vega": None}
    for line in (SOURCE / "launch/packages.txt").read_text().splitlines():
        if line.startswith("lib") or line.endswith("-dev"):
            assert line in spack_names, f"{line} is new: name it in cluster/spack and here"
            assert spack_names[line] is None or spack_names[line] in needed
    assert "py-torch" in needed
    torch = re.search(r"^torch==(\d+\.\d+)", (SOURCE / "launch/requirements.txt").read_text(), re.MULTILINE).group(1)
    assert any(arguments[0] == f"py-torch@{torch}" for arguments, _ in calls["depends_on"])
    version = re.search(r"project\(chorale VERSION (\S+)", (SOURCE / "CMakeLists.txt").read_text()).group(1)
    assert calls["version"] == [((version,), {})]


@pytest.mark.parametrize("cuda", [True, False])
def test_the_spack_package_passes_options_that_exist(spack_package, cuda, monkeypatch):
    package, _ = spack_package
    monkeypatch.setenv("CHORALE_VEGA_DIRECTORY", "/home/me/vega")

    class Spec(dict):
        def satisfies(self, what):
            return cuda and what == "+cuda"

    instance = package()
    instance.spec = Spec(package.spec)
    options = dict(argument[2:].split("=", 1) for argument in instance.cmake_args())
    assert set(options) <= cmake_options()
    assert options == {"CHORALE_PYTHON": "/spack/python", "CHORALE_CUDA": "ON" if cuda else "OFF", "CHORALE_TESTS": "OFF",
                       "CHORALE_VEGA_DIRECTORY": "/home/me/vega"}


def test_shell_scripts_are_clean():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed (tests/packages-lint.txt)")
    scripts = [path for path in CLUSTER.rglob("*") if path.is_file() and (path.suffix in (".sh", ".sbatch") or path.name in ("slurm", "submit"))]
    assert len(scripts) >= 12
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=SOURCE, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout


def test_the_readme_names_files_that_exist():
    text = (CLUSTER / "README.md").read_text()
    for name in re.findall(r"(?:cluster/)?slurm/submit (\S+\.sbatch)", text):
        assert (CLUSTER / "slurm" / name).is_file(), name
    for name in re.findall(r"`((?:slurm|virtual|container|spack)/[\w./]*)`", text):
        assert (CLUSTER / name).exists(), name
