"""Compiles the request path to C: `python -m native.build [--out build/native] [--optimize 3]`.

The sources are copied to `--out`, the modules named in `native/modules.txt` are compiled there by mypyc, and the result is
a folder that holds the package `spork`: put it first on PYTHONPATH and the same program runs from it. Nothing but time differs; the
typed Python in `src` stays the one source, and runs by itself wherever there is no C compiler.

Needs a C compiler, Python's headers and the packages of `requirements/dev.txt` (mypy brings mypyc).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = Path(__file__).with_name("modules.txt")

#: A compiled class has no `__dict__` to save, and mypyc cannot replace the class as `slots=True` asks.
_SLOTS = re.compile(r"(@dataclass\([^)]*?)(?:, )?slots=True(?:, )?")

_SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup
modules = mypycify(
    ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", *{modules!r}],
    opt_level={optimize!r}, debug_level="0", multi_file=True,
)
setup(name="spork-native", packages=[], ext_modules=modules, script_args=["-q", "build_ext", "--inplace"])
"""


def modules() -> list[str]:
    """The modules that are compiled, as paths below the build's root: `spork/` is the copy of `src`."""
    return [f"spork/{line}" for line in MODULES.read_text().split("\n") if line and not line.startswith("#")]


def prepare(out: Path) -> None:
    """A fresh copy of the sources in `out`, in the form that mypyc takes."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(ROOT / "src", out / "spork", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in modules():
        path = out / name
        path.write_text(_SLOTS.sub(r"\1", path.read_text()))


def build(out: Path, optimize: str) -> None:
    """Compile into `out`. Raises SystemExit with what the compiler said."""
    prepare(out)
    setup = _SETUP.format(modules=modules(), optimize=optimize)
    # An attribute `_unix` becomes a C field of the name that some compilers define for the system they compile for.
    env = os.environ | {"MYPYPATH": str(out), "CFLAGS": os.environ.get("CFLAGS", "") + " -U__unix"}
    done = subprocess.run([sys.executable, "-c", setup], cwd=out, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"could not compile (a C compiler and Python's headers are needed):\n{done.stdout}{done.stderr}"
        )
    shutil.rmtree(out / "build")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "native")
    parser.add_argument("--optimize", default="3", choices=["0", "1", "2", "3"], help="the C compiler's level")
    args = parser.parse_args()
    build(args.out.resolve(), args.optimize)
    print(f"{len(modules())} modules compiled; run them with PYTHONPATH={args.out}")


if __name__ == "__main__":
    main()
