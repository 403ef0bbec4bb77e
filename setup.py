"""Builds the libraries of the package: CMake makes libmithril and _core, torch's BuildExtension adds _ops.

Build folders stay under build/, so a rebuild compiles only what changed. The environment may steer it, each with 1:
MITHRIL_NO_SIMD leaves intrinsics out, MITHRIL_NO_TORCH leaves _ops out, MITHRIL_WERROR makes warnings errors.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import setuptools
from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
TORCH_MINIMUM = (2, 11)
TORCH_TARGET_VERSION = "0x020b000000000000"  # the same release, as torch's stable ABI writes it


def switched_on(variable: str) -> bool:
    return os.environ.get(variable, "0") not in ("", "0")


def require(found: object, what: str, remedy: str) -> None:
    if not found:
        raise SystemExit(f"mithril: building needs {what}: {remedy}")


def build_core(folder: Path) -> list[Path]:
    """Configures and builds libmithril and _core in `folder`."""
    require(shutil.which("cmake"), "cmake", "apt-get install cmake")
    compiler = os.environ.get("CXX", "c++").split()[0]
    require(shutil.which(compiler), f"a C++17 compiler ({compiler})", "apt-get install g++")
    for module in ("pybind11", "ninja"):
        require(importlib.util.find_spec(module), module, f"python -m pip install {module}")
    import ninja
    import pybind11

    # BuildExtension looks for ninja in PATH, which need not name the environment that runs this.
    os.environ["PATH"] = f"{ninja.BIN_DIR}{os.pathsep}{os.environ['PATH']}"
    definitions = {
        "CMAKE_MAKE_PROGRAM": shutil.which("ninja"),
        "MITHRIL_BUILD_PYTHON": "ON",
        "MITHRIL_NO_SIMD": "ON" if switched_on("MITHRIL_NO_SIMD") else "OFF",
        "MITHRIL_WERROR": "ON" if switched_on("MITHRIL_WERROR") else "OFF",
        "PYBIND11_FINDPYTHON": "ON",
        "Python_EXECUTABLE": sys.executable,
        "pybind11_DIR": pybind11.get_cmake_dir(),
    }
    configure = ["cmake", "--log-level=WARNING", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja"]
    build = ["cmake", "--build", str(folder), "--target", "mithril", "_core"]
    for command in (configure + [f"-D{name}={value}" for name, value in definitions.items()], build):
        if subprocess.run(command).returncode:
            raise SystemExit("mithril: the C++ build failed; what CMake or the compiler said stands above")
    return [folder / "libmithril.so", *folder.glob("_core.*.so")]


def torch_version() -> str | None:
    """The version of the torch that this build can see, found without the cost of importing it."""
    if switched_on("MITHRIL_NO_TORCH"):
        print("mithril: MITHRIL_NO_TORCH is set, building without the tensor operators (_ops)")
        return None
    if importlib.util.find_spec("torch") is None:
        print(
            "mithril: no torch in sight, building without the tensor operators (_ops); if torch is installed, "
            "build beside it with --no-build-isolation"
        )
        return None
    version = importlib.metadata.version("torch")
    require(
        tuple(map(int, version.split(".")[:2])) >= TORCH_MINIMUM,
        f"torch >= {'.'.join(map(str, TORCH_MINIMUM))}, not {version}",
        "upgrade torch, or leave the tensor operators out with MITHRIL_NO_TORCH=1",
    )
    return version


def build_ops(folder: Path, version: str) -> Path:
    """Builds _ops against the libmithril in `folder`; importing torch is the price, so not when nothing changed."""
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("csrc/aten/*.cpp"))
    torch_root = Path(importlib.util.find_spec("torch").origin).parent
    flags = ["-O2", "-g0", "-Wall", "-Wextra", f"-DTORCH_TARGET_VERSION={TORCH_TARGET_VERSION}"]
    # No path of the build machine in binaries or messages.
    flags += [f"-ffile-prefix-map={torch_root}=torch", f"-ffile-prefix-map={ROOT}=."]
    flags += ["-DMITHRIL_NO_SIMD"] * switched_on("MITHRIL_NO_SIMD") + ["-Werror"] * switched_on("MITHRIL_WERROR")

    output = folder / "ops" / "mithril" / "_ops.abi3.so"
    stamp = folder / "ops" / "stamp"
    recipe = "\n".join([version, sys.version, *sources, *flags])
    # Headers of the whole core: any of them may be included. libmithril itself is only linked to, and dynamically.
    inputs = [ROOT / "setup.py", *map(ROOT.joinpath, sources), *ROOT.glob("csrc/*/*.h")]
    if (
        output.exists()
        and stamp.exists()
        and stamp.read_text() == recipe
        and output.stat().st_mtime > max(path.stat().st_mtime for path in inputs)
    ):
        return output

    from torch.utils.cpp_extension import BuildExtension, CppExtension, include_paths

    extension = CppExtension(
        "mithril._ops",
        sources,
        include_dirs=[str(ROOT)],
        library_dirs=[str(folder)],
        libraries=["mithril"],
        # As system headers too, so that they warn of nothing.
        extra_compile_args=flags + [f"-isystem{path}" for path in include_paths()],
        extra_link_args=["-Wl,-rpath,$ORIGIN", "-Wl,--no-undefined", "-s"],
        py_limited_api=True,
    )
    command = BuildExtension(Distribution({"name": "mithril", "ext_modules": [extension]}))
    command.build_lib = str(folder / "ops")
    command.build_temp = str(folder / "ops" / "objects")
    command.ensure_finalized()
    stamp.unlink(missing_ok=True)
    command.run()
    stamp.write_text(recipe)
    return output


class Build(build_ext):
    """Leaves exactly the libraries of this build in the package: of the source tree if editable, else of build_lib."""

    outputs: list[Path]

    def run(self) -> None:
        variant = "-nosimd" if switched_on("MITHRIL_NO_SIMD") else ""
        folder = ROOT / "build" / f"{sys.implementation.cache_tag}{variant}"
        libraries = build_core(folder)
        if version := torch_version():
            libraries.append(build_ops(folder, version))

        package = (ROOT if self.inplace else Path(self.build_lib)) / "mithril"
        package.mkdir(parents=True, exist_ok=True)
        self.outputs = [package / library.name for library in libraries]
        for stale in set(package.glob("*.so")) - set(self.outputs):
            stale.unlink()
        for library, output in zip(libraries, self.outputs, strict=True):
            if not output.exists() or output.stat().st_mtime != library.stat().st_mtime:
                # A process that runs with the old library keeps it: replace the file, never write into it.
                fresh = output.with_suffix(".new")
                shutil.copy2(library, fresh)
                os.replace(fresh, output)

    def get_outputs(self) -> list[str]:
        return [] if self.inplace else [str(path) for path in self.outputs]

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class FreshPackage(build_py):
    """Starts from an empty build_lib: what an earlier build left there would be installed too."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


# Older ones stop at the licence line of pyproject.toml, without saying that their age is the reason.
require(int(setuptools.__version__.split(".")[0]) >= 77, "setuptools >= 77", "python -m pip install -U setuptools")
setup(
    # Names only, so that the wheel counts as built for one platform and one Python; Build knows the rest.
    ext_modules=[Extension("mithril._core", []), Extension("mithril._ops", [], py_limited_api=True)],
    cmdclass={"build_ext": Build, "build_py": FreshPackage},
)
