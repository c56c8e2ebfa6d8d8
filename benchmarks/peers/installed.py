"""Peers that are no part of this project: fetched into a cache folder outside of the tree, and left out where not.

npm packages by their pinned versions, none of their scripts run; nchan from Debian's packages, unpacked and not
installed. uWebSockets.js itself is not on npm: `uwebsockets` is a build of it by somebody else.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import click

from benchmarks.processes import say

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "room-server-bench"
PACKAGES = {
    "socket.io": "4.8.4",
    "@socket.io/redis-adapter": "8.3.0",
    "@socket.io/redis-emitter": "5.1.0",
    "redis": "6.3.1",
    "ws": "8.23.0",
    "uwebsockets": "3.0.6",
}
DEBIAN = ("nginx", "libnginx-mod-nchan")


def node() -> dict[str, str]:
    """The environment in which node finds the packages. Raises ClickException, which says what is missing."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise click.ClickException("there is no node and npm")
    folder = CACHE / "node"
    manifest = json.dumps({"private": True, "dependencies": PACKAGES})
    done = folder / "installed.json"
    if not done.exists() or done.read_text() != manifest:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(manifest)
        say("installing the peers that run on node …")
        run([npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], folder)
        done.write_text(manifest)
    return {"NODE_PATH": str(folder / "node_modules"), "NODE_ENV": "production"}


def nchan() -> tuple[Path, Path]:
    """The programs nginx and its module nchan. Raises ClickException, which says what is missing."""
    if sys.platform != "linux" or shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise click.ClickException("there are no Debian packages here")
    folder = CACHE / f"nchan-{platform.machine()}"
    server, extension = folder / "usr/sbin/nginx", folder / "usr/lib/nginx/modules/ngx_nchan_module.so"
    if not (server.exists() and extension.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        say("fetching nginx and nchan …")
        run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *DEBIAN], folder)
        for package in folder.glob("*.deb"):
            run(["dpkg-deb", "-x", package.name, "."], folder)
    run([str(server), "-V"], folder)  # whatever library it needs is there
    return server, extension


def run(command: list[str], folder: Path) -> None:
    """A step of an installation. Raises ClickException with the last line that it said."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["it said nothing"])[-1]
        raise click.ClickException(f"{Path(command[0]).name} {command[1]} failed: {last}")
