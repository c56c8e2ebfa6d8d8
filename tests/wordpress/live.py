"""WordPress, the plugin and a room server together, with a webinar that is about to begin and people who look at it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tests.support import HOOK_SECRET, TOKEN_SECRET
from tests.wordpress.server import constants
from tests.wordpress.site import Database, WordPress, free_port, listening, wordpress

PEOPLE = {"anna": "subscriber", "ivan": "subscriber", "olga": "room_server_speaker"}
"""Users of the site beside `admin`; all have the password `password`."""
ANNOUNCED = """<!-- wp:paragraph --><p>Two hours with examples and questions.</p><!-- /wp:paragraph -->
<!-- wp:room-server/register /--><!-- wp:room-server/room /-->"""


class Live(NamedTuple):
    """What runs."""

    site: WordPress
    server: str
    """The room server's address."""

    def links(self) -> dict[str, str]:
        """Where to look."""
        admin = f"{self.site.home}/wp-admin/edit.php?post_type=room_webinar"
        return {
            "site, with the schedule": f"{self.site.home}/webinars/",
            "webinar": f"{self.site.home}/webinar/first-lesson/",
            "admin": f"{self.site.home}/wp-login.php",
            "settings": f"{admin}&page=room-server-settings",
            "who came": f"{admin}&page=room-server-attendance",
            "deliveries": f"{admin}&page=room-server-deliveries",
            "room server": f"{self.server}/",
        }


@contextlib.asynccontextmanager
async def live(database: Database) -> AsyncIterator[Live]:
    """It, until the block ends."""
    port = free_port()
    server = f"http://127.0.0.1:{port}"
    async with wordpress(database, cron=True) as site:
        with tempfile.TemporaryDirectory(prefix="rs-") as folder, room_server(site, port, folder):
            await fill(site, server)
            yield Live(site, server)


@contextlib.contextmanager
def room_server(site: WordPress, port: int, folder: str) -> Iterator[None]:
    """The web process and the worker on an embedded server of their own."""
    environment = {
        **os.environ,
        "ROOM_SERVER_DATA_DIR": folder,
        "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
        "ROOM_SERVER_HOOK_SECRET": HOOK_SECRET,
        "ROOM_SERVER_ALLOWED_ORIGINS": site.home,
        "ROOM_SERVER_SITE_EVENTS_URL": site.events_url,
        "ROOM_SERVER_EVALUATION_GRACE": "10",
    }
    command = [sys.executable, "-m", "room_server"]
    commands = [[*command, "web", "--port", str(port)], [*command, "worker"]]
    with open(f"{folder}/log", "w") as log:  # noqa: PTH123
        processes = [
            subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True)
            for words in commands
        ]
    try:
        listening(port, processes[0])
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            process.wait()


async def fill(site: WordPress, server: str) -> None:
    """The settings, people, a webinar in three minutes, and a page with the schedule."""
    settings = {name.removeprefix("ROOM_SERVER_").lower(): value for name, value in constants(server).items()}
    await site.php(f"""
        update_option( 'room_server_settings', json_decode( '{json.dumps(settings)}', true ) );
        update_option( 'show_avatars', 0 ); // They come from elsewhere.
    """)
    for name, role in PEOPLE.items():
        await site.user(name, role)
    at = (datetime.now(UTC) + timedelta(minutes=3)).strftime("%Y-%m-%dT%H:%M:00Z")
    await site.post(ANNOUNCED, "room_webinar", title="Your first online lesson", slug="first-lesson", scheduled_at=at,
                    excerpt="How to teach a room that you cannot see.")  # fmt: skip
    await site.post("<!-- wp:room-server/schedule /-->", title="Webinars", slug="webinars")
    await asyncio.gather(
        *(
            site.php(f"room_server_register_user( 'first-lesson', get_user_by( 'login', '{name}' )->ID );")
            for name in PEOPLE
        )
    )
