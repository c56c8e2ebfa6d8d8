"""A real WordPress: Debian's, on a MariaDB of its own, served by PHP's own web server.

`.wordpress/` keeps what is made once: WordPress unpacked, and a database in which it is installed. Each test gets a
copy of that database, and a folder for its `wp-content`; WordPress' own files are shared.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.support import PATIENCE

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "wordpress" / "room-server"
PHP = Path(__file__).parent / "php"
KEPT = ROOT / ".wordpress"
CORE = KEPT / "core"
THEME = "twentytwentythree"
FIELDS = ("scheduled_at", "player_url", "cta_label", "cta_url", "recording_url")
"""What is planned of a webinar, as its post's meta names it without `room_server_`."""
ADMIN = 1
"""The user that WordPress' installation makes: `admin`, with the password `password`."""
COMPILED = KEPT / "opcache"
FAST = [
    f"-d{name}"
    for name in ("opcache.enable=1", "opcache.enable_cli=1", f"opcache.file_cache={COMPILED}", "opcache.jit=off")
]
"""PHP keeps what it has compiled, so that a process need not do it again."""
PROGRAMS = ("php", "phpunit", "phpcs", "msgfmt", "mariadbd", "mariadb-install-db")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
"""Where programs are: MariaDB stands where only root looks."""
SMALL = [
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--performance-schema=off",
    "--skip-log-bin",
    "--skip-networking",
    "--max-connections=200",
]
"""A database that lives as long as the tests: small, and not durable."""


class Database:
    """A running MariaDB with a database `template`, in which WordPress is installed."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._count = 0
        self._active = ""

    async def copy(self, source: str, name: str = "") -> str:
        """The name of a copy of a database; what had that name before is gone."""
        self._count += 1
        name = name or f"site_{self._count}"
        await run_php(PHP / "clone.php", source, name, environment={"RS_DB_SOCKET": str(self.socket)})
        return name

    async def active(self) -> str:
        """The name of a database in which the plugin is active; made when first asked for."""
        if not self._active:
            with tempfile.TemporaryDirectory(prefix="rs-") as folder:
                name = await self.copy("template", "active")
                fill(Path(folder))
                site = WordPress(
                    environment_of(self, name, Path(folder), "http://127.0.0.1"), Path(folder), served=False
                )
                assert await site.php("return activate_plugin('room-server/room-server.php');", ADMIN) is None
            self._active = name
        return self._active


class WordPress:
    """One WordPress with the plugin in it. Settings of the plugin are constants, as in `wp-config.php`."""

    def __init__(self, environment: dict[str, str], folder: Path, served: bool = True) -> None:
        self.environment = environment
        self.folder = folder
        """Its `wp-content`."""
        self.home = environment["RS_HOME"]
        self.events_url = f"{self.home}/wp-json/room-server/v1/events"
        self.is_served = served
        """Whether it answers requests: PHP need not be started for each then."""
        self.http = httpx.AsyncClient(timeout=PATIENCE)

    async def php(self, code: str, user: int = 0) -> Any:
        """What this code returns when it runs in WordPress, as this user; the whole life of a request, its end too."""
        if not self.is_served:
            return json.loads(
                await run_php(PHP / "run.php", environment={**self.environment, "RS_USER": str(user)}, code=code)
            )
        answer = await self.http.post(f"{self.home}/rs-run?user={user}", content=code)
        assert answer.status_code == 200, f"{answer.text[-2000:]}\n{self.log()[-2000:]}"
        return answer.json()

    async def user(self, name: str, role: str = "subscriber", **more: Any) -> int:
        """A new user with the password `password`; `more` goes into its meta."""
        meta = "".join(f"update_user_meta( $id, '{key}', {json.dumps(value)} );" for key, value in more.items())
        made: int = await self.php(
            f"$id = wp_insert_user( array( 'user_login' => '{name}', 'user_pass' => 'password', 'role' => '{role}',"
            f"'user_email' => '{name}@example.org', 'display_name' => '{name}' ) ); {meta} return $id;"
        )
        return made

    @contextlib.asynccontextmanager
    async def logged_in(self, name: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client with that user's cookies."""
        form = {"log": name, "pwd": "password", "testcookie": "1"}
        async with httpx.AsyncClient(
            timeout=PATIENCE, cookies={"wordpress_test_cookie": "WP%20Cookie%20check"}
        ) as client:
            answer = await client.post(f"{self.home}/wp-login.php", data=form)
            assert answer.status_code == 302, answer.text
            yield client

    async def post(self, content: str = "", kind: str = "page", status: str = "publish", **fields: str) -> int:
        """A post, as an editor stores it over REST. `fields` are the post's, or the webinar's meta (FIELDS)."""
        meta = {f"room_server_{key}": fields.pop(key) for key in [*fields] if key in FIELDS}
        body = {"content": content, "status": status, "title": "A title", **fields, **({"meta": meta} if meta else {})}
        made: Any = await self.rest("POST", f"/wp/v2/{'pages' if kind == 'page' else kind}", body)
        assert made["status"] == 201, made
        number: int = made["data"]["id"]
        return number

    async def rest(self, method: str, path: str, body: Any = None, user: int = ADMIN) -> Any:
        """The `status` and `data` of a request over WordPress' REST as that user."""
        given = json.dumps(json.dumps(body or {})).replace("$", "\\$")
        return await self.php(
            f"$request = new WP_REST_Request( '{method}', '{path}' );"
            f"foreach ( json_decode( {given}, true ) as $name => $value ) {{ $request->set_param( $name, $value ); }}"
            "$answer = rest_do_request( $request );"
            "return array( 'status' => $answer->get_status(), 'data' => $answer->get_data() );",
            user,
        )

    async def rows(self, table: str, columns: str = "*") -> list[dict[str, Any]]:
        """The rows of one of the plugin's tables in their order."""
        query = f"'SELECT {columns} FROM ' . room_server_table( '{table}' ) . ' ORDER BY seq'"
        found: list[dict[str, Any]] = await self.php(f"return $GLOBALS['wpdb']->get_results( {query} );")
        return found

    def listen(self, code: str) -> None:
        """A plugin of the site with this code in it, which runs in every request from now on."""
        folder = self.folder / "mu-plugins"
        folder.mkdir(exist_ok=True)
        name = f"{len(list(folder.iterdir())):02}-{uuid.uuid4().hex}.php"  # PHP keeps what it compiled of a name
        (folder / name).write_text(f"<?php\n{code}\n")

    def on(self, hook: str, code: str, priority: int = 10) -> None:
        """A listener of a hook of the plugin's; its first argument is `$data`."""
        self.listen(f"add_action( '{hook}', function ( $data ) {{ {code} }}, {priority} );")

    def constants(self, **more: Any) -> None:
        """More constants of `wp-config.php`, from now on."""
        path = self.folder / "constants.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **more}))

    def heard(self) -> list[Any]:
        """What `rs_note()` was given by listeners, in order (see HELP)."""
        notes = self.folder / "notes"
        return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []

    def log(self) -> str:
        """What PHP and the plugin wrote to the log."""
        path = self.folder / "debug.log"
        return path.read_text() if path.exists() else ""

    async def cron(self) -> None:
        """One run of cron, all of whose hooks are due."""
        answer = await self.http.get(f"{self.home}/wp-cron.php")
        assert answer.status_code == 200, answer.text


HELP = """
/** Keep what a listener has heard. */
function rs_note( ...$what ) {
    file_put_contents( WP_CONTENT_DIR . '/notes', wp_json_encode( $what ) . "\\n", FILE_APPEND | LOCK_EX );
}

/** Everything of the plugin's is due when a test runs cron. */
add_action( 'init', function () {
    foreach ( wp_doing_cron() && ! getenv( 'RS_CRON' ) ? ROOM_SERVER_CRON : array() as $hook => $interval ) {
        wp_unschedule_hook( $hook );
        wp_schedule_event( time() - 1, $interval, $hook );
    }
}, 99 );
"""


async def run_php(script: Path, *words: str, environment: Mapping[str, str], code: str = "") -> str:
    """What a script prints. Its errors fail the test."""
    process = await asyncio.create_subprocess_exec(
        "php", *FAST, "-ddisplay_errors=stderr", str(script), *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )  # fmt: skip
    out, error = await process.communicate(code.encode())
    log = Path(environment.get("RS_CONTENT", "")) / "debug.log"
    logged = log.read_text()[-2000:] if process.returncode and log.is_file() else ""
    assert process.returncode == 0, f"{out.decode()[-2000:]}\n{error.decode()}\n{logged}"
    return out.decode()


def prepared() -> Path:
    """The folder of a database in which WordPress is installed. Made once, by whichever process comes first."""
    sources = [PHP / "install.php", PHP / "wp-config.php", ROOT / "scripts" / "install-wordpress"]
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    needs_programs()
    COMPILED.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = KEPT / f"database-{version}"
        if not folder.is_dir() or not CORE.is_dir():
            subprocess.run(["sh", str(ROOT / "scripts" / "install-wordpress"), str(CORE)], check=True)
            shutil.copy(PHP / "wp-config.php", CORE)
            for old in KEPT.glob("database-*"):
                shutil.rmtree(old)
            make_template(folder)
    return folder


def needs_programs() -> None:
    """Fail, and say what to do, where a program is missing."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    assert not missing, f"{', '.join(missing)} is missing: `make test` installs it by apt, as root or with sudo"


def make_template(folder: Path) -> None:
    """Make a database and install WordPress in it."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", *as_this_user(), f"--datadir={part}", *SMALL[:3], *options],
        check=True, capture_output=True,
    )  # fmt: skip
    with running_database(part) as database, tempfile.TemporaryDirectory() as content:
        fill(Path(content))
        environment = {**os.environ, **environment_of(database, "template", Path(content), "http://127.0.0.1")}
        subprocess.run(["php", "-r", CREATE], check=True, env=environment)
        subprocess.run(["php", str(PHP / "install.php")], check=True, env=environment)
    part.rename(folder)


CREATE = "(new mysqli('localhost', 'root', '', '', 0, getenv('RS_DB_SOCKET')))->query('CREATE DATABASE template');"


def as_this_user() -> list[str]:
    """MariaDB does not run as root unless it is told to."""
    return ["--user=root"] if os.getuid() == 0 else []


@contextlib.contextmanager
def running_database(folder: Path) -> Iterator[Database]:
    """MariaDB on a folder, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="rs-") as near:
        path = Path(near) / "s"
        program = str(shutil.which("mariadbd", path=PATH))
        command = [program, "--no-defaults", *as_this_user(), f"--datadir={folder}", f"--socket={path}", *SMALL]
        with (Path(near) / "log").open("w") as log:
            process = subprocess.Popen(
                [*command, f"--pid-file={near}/pid"], stdout=log, stderr=log, start_new_session=True
            )
        try:
            listening(path, process)
            yield Database(path)
        finally:
            process.terminate()
            process.wait()


def listening(address: Path | int, process: subprocess.Popen[bytes]) -> None:
    """Return when something listens on a Unix socket or on a port of this machine."""
    for _ in range(int(20 * PATIENCE)):
        family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
        with socket.socket(family) as client, contextlib.suppress(OSError):
            client.connect(("127.0.0.1", address) if isinstance(address, int) else str(address))
            return
        assert process.poll() is None, f"{process.args!r} has ended with {process.returncode}"
        subprocess.run(["sleep", "0.05"], check=True)
    raise TimeoutError(f"nothing listens on {address}")


@contextlib.contextmanager
def database() -> Iterator[Database]:
    """A database of this process' own, on a copy of the prepared one."""
    folder = prepared()
    with tempfile.TemporaryDirectory(prefix="rs-") as copy:
        shutil.copytree(folder, Path(copy) / "data", symlinks=True)
        with running_database(Path(copy) / "data") as running:
            yield running


def environment_of(database: Database, name: str, content: Path, home: str) -> dict[str, str]:
    """What `wp-config.php` of the tests asks for."""
    return {
        "RS_CORE": str(CORE),
        "RS_DB_SOCKET": str(database.socket),
        "RS_DB_NAME": name,
        "RS_CONTENT": str(content),
        "RS_HOME": home,
    }


def fill(content: Path, installed: bool = True, constants: Mapping[str, Any] | None = None) -> None:
    """Make a site's `wp-content`: the default theme, the plugin as it stands in this tree, and constants."""
    (content / "plugins").mkdir(parents=True)
    (content / "themes").mkdir()
    (content / "themes" / THEME).symlink_to(CORE / "wp-content" / "themes" / THEME)
    (content / "constants.json").write_text(json.dumps(constants or {}))
    if installed:
        shutil.copytree(PLUGIN, content / "plugins" / "room-server")


@contextlib.contextmanager
def served(database: Database, name: str, **options: Any) -> Iterator[WordPress]:
    """A WordPress on the database `name`, which need not be there yet, until the block ends. See `wordpress`."""
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        content, port = Path(folder) / "wp-content", free_port()
        fill(content, options.get("installed", True), options.get("constants"))
        environment = environment_of(database, name, content, f"http://127.0.0.1:{port}{options.get('path', '')}")
        if options.get("cron"):
            environment["RS_CRON"] = "1"
        clock = ["faketime", "-f", f"{options['clock']:+d}s"] if options.get("clock") else []
        with answering(environment, port, clock):
            yield WordPress(environment, content)


@contextlib.contextmanager
def answering(environment: Mapping[str, str], port: int, clock: Sequence[str] = ()) -> Iterator[None]:
    """PHP's own web server for a WordPress with this environment, until the block ends."""
    command = [*clock, "php", *FAST, "-S", f"127.0.0.1:{port}", "-t", environment["RS_CORE"], str(PHP / "router.php")]
    with (Path(environment["RS_CONTENT"]) / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **environment, "PHP_CLI_SERVER_WORKERS": "4"},
        )  # fmt: skip
    try:
        listening(port, process)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextlib.asynccontextmanager
async def wordpress(database: Database, **options: Any) -> AsyncIterator[WordPress]:
    """A WordPress that serves, on a database of its own. `constants`: of its `wp-config.php`; `path`: its sub-folder;
    `clock`: the seconds by which its clock is ahead; `cron`: whether visitors set cron off, as they do in the field;
    `active`: whether the plugin is; `installed`: whether it is there at all.
    """
    active = options.get("installed", True) and options.get("active", True)
    name = await database.copy(await database.active() if active else "template")
    with served(database, name, **options) as site:
        site.listen(HELP)
        async with site.http:
            yield site


@contextlib.asynccontextmanager
async def as_new(shared: WordPress, database: Database, constants: Mapping[str, Any]) -> AsyncIterator[WordPress]:
    """A WordPress that served before, as if it were new: its database and its `wp-content`."""
    await database.copy(await database.active(), shared.environment["RS_DB_NAME"])
    shutil.rmtree(shared.folder)
    fill(shared.folder, constants=constants)
    site = WordPress(shared.environment, shared.folder)
    site.listen(HELP)
    async with site.http:
        yield site


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
