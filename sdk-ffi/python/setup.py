"""Builds the wheel: the native library by cargo, its Python bindings by UniFFI, and beside them the package.

Nothing generated is kept in the source tree; cargo's target folder makes the next build quick.
`REFRAIN_WORKSPACE` names the Rust workspace where it is not a parent of this folder, `CARGO` the cargo to use.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

PROFILE = "ffi"


def workspace() -> Path:
    """The folder of the Rust workspace."""
    named = os.environ.get("REFRAIN_WORKSPACE")
    candidates = [Path(named).resolve()] if named else Path(__file__).resolve().parents
    for folder in candidates:
        if (folder / "Cargo.toml").is_file() and (folder / "sdk-ffi" / "Cargo.toml").is_file():
            return folder
    raise SystemExit(
        "refrain: the Rust workspace was not found in any folder above this one. Install from a checkout "
        "(pip install sdk-ffi/python), install a built wheel, or set REFRAIN_WORKSPACE."
    )


def version() -> str:
    text = (workspace() / "Cargo.toml").read_text(encoding="utf-8")
    section = text.split("[workspace.package]", 1)[1].split("\n[", 1)[0]
    return re.search(r'^version = "([^"]+)"', section, re.MULTILINE).group(1)


class Cargo:
    """Cargo, in the workspace."""

    def __init__(self) -> None:
        self.folder = workspace()
        self.program = os.environ.get("CARGO") or shutil.which("cargo")
        if not self.program:
            raise SystemExit("refrain: cargo was not found. Install Rust from https://rustup.rs and try again.")
        metadata = self.output("metadata", "--format-version=1", "--no-deps")
        self.target = Path(json.loads(metadata)["target_directory"])

    def run(self, *arguments: str) -> None:
        subprocess.run([self.program, *arguments], cwd=self.folder, check=True)

    def output(self, *arguments: str) -> bytes:
        return subprocess.run([self.program, *arguments], cwd=self.folder, check=True, stdout=subprocess.PIPE).stdout


def library_name() -> str:
    if sys.platform == "darwin":
        return "librefrain_ffi.dylib"
    if sys.platform == "win32":
        return "refrain_ffi.dll"
    return "librefrain_ffi.so"


class BuildWithCargo(build_py):
    """Puts the library and its bindings beside the package's own modules."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)  # nothing of an earlier build may reach the wheel
        super().run()
        if self.editable_mode:
            out = Path(__file__).resolve().parent / "src" / "refrain"
        else:
            out = Path(self.build_lib) / "refrain"
        cargo = Cargo()
        cargo.run("build", "-p", "refrain-ffi", "--profile", PROFILE)
        # The library that ships is stripped of the symbols that the generator reads; the development build has them.
        cargo.run("build", "-p", "refrain-ffi", "-p", "refrain-bindgen")
        debug = cargo.target / "debug"
        bindings = Path(self.get_finalized_command("build").build_temp).resolve() / "bindings"
        generator = debug / ("refrain-bindgen.exe" if sys.platform == "win32" else "refrain-bindgen")
        subprocess.run(
            [str(generator), "generate", "--no-format", "--language", "python"]
            + ["--out-dir", str(bindings), str(debug / library_name())],
            cwd=cargo.folder,
            check=True,
        )
        shutil.copyfile(bindings / "refrain_ffi.py", out / "refrain_ffi.py")
        shutil.copyfile(cargo.target / PROFILE / library_name(), out / library_name())


class PlatformWheel(bdist_wheel):
    """For every Python 3, on this platform."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class NativeDistribution(Distribution):
    """One that belongs to a platform, although setuptools compiles nothing."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    version=version(),
    distclass=NativeDistribution,
    cmdclass={"build_py": BuildWithCargo, "bdist_wheel": PlatformWheel},
)
