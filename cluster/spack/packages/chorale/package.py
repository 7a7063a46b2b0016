"""Spack's description of Chorale: `spack repo add cluster/spack`, then `spack dev-build -d . chorale@0.1.0` in a checkout."""

import os

from spack.package import *

try:
    from spack_repo.builtin.build_systems.cmake import CMakePackage
except ImportError:
    pass  # Spack before 1.0 has it in spack.package.


class Chorale(CMakePackage):
    """Trains an ensemble of LoRA adapters over one frozen language model and reports how far its predictions can be
    trusted."""

    license("Apache-2.0")

    version("0.1.0")

    variant("cuda", default=False, description="Compute on GPUs; needs a torch with CUDA")
    variant("tests", default=False, description="Build the C++ tests")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")

    # The program links torch's C++ libraries, found through the interpreter that imports torch.
    depends_on("python@3.10:3.14", type=("build", "run"))
    depends_on("py-torch@2.11", type=("build", "link", "run"))
    depends_on("py-torch+cuda+nccl", when="+cuda")
    depends_on("py-torch~cuda", when="~cuda")
    depends_on("cuda@13", when="+cuda")

    depends_on("mpi")
    depends_on("cli11")
    depends_on("fmt")
    depends_on("hdf5~mpi")
    depends_on("nlohmann-json@3.9:")
    depends_on("openssl")
    depends_on("pcre2")
    depends_on("spdlog")
    depends_on("utf8proc")
    depends_on("yaml-cpp")
    depends_on("catch2", when="+tests", type="build")

    generator("ninja")

    def cmake_args(self):
        return [
            self.define("CHORALE_PYTHON", self.spec["python"].command.path),
            self.define("CHORALE_CUDA", "ON" if self.spec.satisfies("+cuda") else "OFF"),
            self.define_from_variant("CHORALE_TESTS", "tests"),
            # Scripts of the Debian package libjs-vega, which Spack does not have.
            self.define("CHORALE_VEGA_DIRECTORY", os.environ.get("CHORALE_VEGA_DIRECTORY", "/usr/share/javascript/vega")),
        ]
