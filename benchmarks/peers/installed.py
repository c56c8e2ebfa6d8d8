"""Peers that are no part of this project: fetched into a cache folder outside of the tree, and left out where not.

npm packages by their pinned versions, none of their scripts run; nchan, and the library of Centrifugo with a compiler
for it, from Debian's packages, unpacked and not installed. uWebSockets.js itself is not on npm: `uwebsockets` is a
build of it by somebody else.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
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
NCHAN = ("nginx", "libnginx-mod-nchan")
GO = (
    "golang-go",
    "golang-github-centrifugal-centrifuge-dev",
    # What it needs and its package does not name:
    "golang-github-centrifugal-protocol-dev",
    "golang-github-fzambia-eagle-dev",
    "golang-github-igm-sockjs-go-dev",
    "golang-github-mna-redisc-dev",
)


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
    folder = CACHE / f"nchan-{platform.machine()}"
    server, extension = folder / "usr/sbin/nginx", folder / "usr/lib/nginx/modules/ngx_nchan_module.so"
    if not (server.exists() and extension.exists()):
        say("fetching nginx and nchan …")
        unpack(NCHAN, folder)
    run([str(server), "-V"], folder)  # whatever library it needs is there
    return server, extension


def centrifuge() -> Path:
    """The program made of centrifuge.go, without a network. Raises ClickException, which says what is missing."""
    source = Path(__file__).with_name("centrifuge.go")
    binary = CACHE / f"centrifuge-{platform.machine()}-{zlib.crc32(source.read_bytes()):08x}"
    if not binary.exists():
        say("fetching Go and the library of Centrifugo, and compiling the peer …")
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="rs-go-") as name:
            folder = Path(name)
            unpack(needed(GO), folder)
            compile_go(source, binary, folder)
    return binary


def compile_go(source: Path, binary: Path, folder: Path) -> None:
    """Compile with the Go and the libraries that were unpacked in `folder`. Raises ClickException."""
    made = {"GOPATH": "usr/share/gocode", "GOROOT": "usr/lib/go", "GOCACHE": "cache"}
    places = [f"{name}={folder / place}" for name, place in made.items()]
    command = [str(folder / "usr/lib/go/bin/go"), "build", "-o", str(binary), str(source)]
    run(["env", *places, "GO111MODULE=off", "CGO_ENABLED=0", *command], folder)


def needed(packages: Sequence[str]) -> list[str]:
    """The packages and all of Go that they need, whatever is installed here. Raises ClickException."""
    simulated = ["apt-get", "install", "-s", "--no-install-recommends", "-o", "Dir::State::status=/dev/null"]
    words = [line.split() for line in debian([*simulated, *packages], Path("/")).splitlines()]
    return [word[1] for word in words if word[:1] == ["Inst"] and word[1].startswith("golang-")]


def unpack(packages: Sequence[str], folder: Path) -> None:
    """Fetch Debian's packages and unpack them into `folder`. Raises ClickException."""
    folder.mkdir(parents=True, exist_ok=True)
    debian(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *packages], folder)
    for package in folder.glob("*.deb"):
        debian(["dpkg-deb", "-x", package.name, "."], folder)
        package.unlink()


def debian(command: list[str], folder: Path) -> str:
    """What a program of Debian's says. Raises ClickException when it is not there, or fails."""
    if sys.platform != "linux" or shutil.which(command[0]) is None:
        raise click.ClickException("there are no Debian packages here")
    return run(command, folder)


def run(command: list[str], folder: Path) -> str:
    """What a step of an installation says. Raises ClickException with the last line of it."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["it said nothing"])[-1]
        raise click.ClickException(f"{Path(command[0]).name} {command[1]} failed: {last}")
    return done.stdout
