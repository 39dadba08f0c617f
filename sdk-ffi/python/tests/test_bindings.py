"""What this package installs. Kotlin and Swift stand on the same library: their bindings are generated and compared."""

import importlib.metadata
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Set

import refrain

WORKSPACE = Path(__file__).resolve().parents[3]
SYMBOL = re.compile(r"uniffi_refrain_ffi_fn_\w+")


class Bindings(unittest.TestCase):
    def generated(self, language: str) -> Set[str]:
        """The library's functions that a language's bindings call."""
        cargo = os.environ.get("CARGO", "cargo")
        # As setup.py does, so that there is nothing left to do where the installation used the same target folder.
        subprocess.run([cargo, "build", "--quiet", "-p", "refrain-ffi", "-p", "refrain-bindgen"], cwd=WORKSPACE, check=True)
        metadata = subprocess.run(
            [cargo, "metadata", "--format-version=1", "--no-deps"], cwd=WORKSPACE, check=True, stdout=subprocess.PIPE
        )
        debug = Path(json.loads(metadata.stdout)["target_directory"]) / "debug"
        (library,) = [path for path in debug.glob("*refrain_ffi.*") if path.suffix in (".so", ".dylib", ".dll")]
        with tempfile.TemporaryDirectory() as out:
            subprocess.run(
                [str(debug / "refrain-bindgen"), "generate", "--no-format", "--language", language, "--out-dir", out]
                + [str(library)],
                cwd=WORKSPACE,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            texts = [path.read_text(encoding="utf-8") for path in Path(out).rglob("*") if path.is_file()]
        return {symbol for text in texts for symbol in SYMBOL.findall(text)}

    def test_kotlin_and_swift_call_the_same_functions_of_the_same_library(self) -> None:
        package = Path(refrain.__file__).parent
        (library,) = [path for path in package.iterdir() if path.suffix in (".so", ".dylib", ".dll")]
        exported = set(SYMBOL.findall(library.read_bytes().decode("latin-1")))
        python = set(SYMBOL.findall((package / "refrain_ffi.py").read_text(encoding="utf-8")))
        self.assertIn("uniffi_refrain_ffi_fn_method_client_opt_out", python)
        self.assertLessEqual(python, exported)
        for language in ("kotlin", "swift"):
            with self.subTest(language=language):
                self.assertEqual(self.generated(language), python)


class Package(unittest.TestCase):
    def test_the_licences_go_with_it(self) -> None:
        files = {path.name: path for path in importlib.metadata.files("refrain-tracking") or []}
        for name in ("LICENSE-APACHE", "LICENSE-MIT"):
            self.assertEqual(files[name].read_text(), (WORKSPACE / name).read_text(encoding="utf-8"))
        self.assertIn("MPL-2.0", files["NOTICE"].read_text())


if __name__ == "__main__":
    unittest.main()
