"""The C programs of the benchmark: the floor and the load."""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import click

PEERS = Path(__file__).parent / "peers"


@cache
def compiled(name: str) -> str:
    """The program made of peers/`name`.c."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise click.ClickException("the floor and the load are C programs: install a compiler (Debian: gcc)")
    binary = Path(tempfile.gettempdir()) / f"room-server-bench-{os.getuid()}-{os.getpid()}-{name}"
    subprocess.run([compiler, "-O2", "-o", str(binary), str(PEERS / f"{name}.c")], check=True)
    return str(binary)


def remove_compiled() -> None:
    """What was compiled, gone."""
    for path in Path(tempfile.gettempdir()).glob(f"room-server-bench-{os.getuid()}-{os.getpid()}-*"):
        path.unlink()
    compiled.cache_clear()
