"""A second WordPress: newer than Debian's, on SQLite, both from npm (`scripts/install-second-wordpress`)."""

import contextlib
import fcntl
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from tests.wordpress.site import ADMIN, HELP, KEPT, PHP, PLUGIN, ROOT, WordPress, answering, free_port, run_php

CORE = KEPT / "second"
DRIVER = CORE / "wp-content" / "plugins" / "plugin-sqlite-database-integration"


def prepared() -> None:
    """Fetch it, once."""
    KEPT.mkdir(exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["sh", str(ROOT / "scripts" / "install-second-wordpress"), str(CORE)], check=True)
        shutil.copy(PHP / "wp-config.php", CORE)


def fill(content: Path, constants: Mapping[str, Any]) -> None:
    """Make its `wp-content`: a theme, the plugin, the driver in place of the database, and constants."""
    (content / "plugins").mkdir(parents=True)
    (content / "themes").symlink_to(CORE / "wp-content" / "themes")
    shutil.copytree(PLUGIN, content / "plugins" / "room-server")
    driver = (DRIVER / "db.copy").read_text().replace("{SQLITE_IMPLEMENTATION_FOLDER_PATH}", str(DRIVER))
    (content / "db.php").write_text(driver.replace("{SQLITE_PLUGIN}", "none.php"))
    database = {"DB_DIR": str(content), "DB_FILE": "site.sqlite"}
    (content / "constants.json").write_text(json.dumps({**database, **constants}))


@contextlib.asynccontextmanager
async def wordpress_on_sqlite(constants: Mapping[str, Any]) -> AsyncIterator[WordPress]:
    """It serves, with the plugin active in it, until the block ends."""
    prepared()
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        content, port = Path(folder) / "wp-content", free_port()
        fill(content, constants)
        environment = {
            "RS_CORE": str(CORE),
            "RS_DB_SOCKET": "",
            "RS_DB_NAME": "site",
            "RS_CONTENT": str(content),
            "RS_HOME": f"http://127.0.0.1:{port}",
        }
        await run_php(PHP / "install.php", environment=environment)
        site = WordPress(environment, content)
        site.listen(HELP)
        with answering(environment, port):
            async with site.http:
                assert await site.php("return activate_plugin('room-server/room-server.php');", ADMIN) is None
                yield site
