"""What the figures were measured on, so that nobody compares them with those of another machine."""

import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from room_server.state.redis import embedded


def described(command: str) -> str:
    """When, where and how, as one Markdown paragraph."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "websockets", "starlette", "redis"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d} · {processor()}, {os.cpu_count()} cores, {memory()} · "
        f"{platform.system()} {platform.release()} · Python {platform.python_version()} · {redis()} · {libraries} · "
        f"`{command}`"
    )


def processor() -> str:
    """The model that the kernel names."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def memory() -> str:
    """How much memory there is."""
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB"


def redis() -> str:
    """The Redis or Valkey of the runs."""
    done = subprocess.run([embedded.find_binary(), "--version"], capture_output=True, text=True, check=True)
    name, _, rest = done.stdout.partition(" server v=")
    return f"{name} {rest.split()[0]}, fsync before each reply ({storage()})" if rest else done.stdout.strip()


def storage() -> str:
    """The file system that takes the writes; an fsync costs nothing on tmpfs."""
    folder = Path(tempfile.gettempdir()).resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    return max((place, kind) for place, kind in mounts if folder.is_relative_to(place))[1]


def command() -> str:
    """How this run was started."""
    return " ".join(["python -m benchmarks", *sys.argv[1:]])
