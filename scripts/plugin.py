"""plugin.py ARCHIVE: make the archive of the plugin that WordPress installs; from the same files the same bytes."""

import sys
import zipfile
from pathlib import Path

PLUGIN = Path(__file__).parents[1] / "wordpress" / "room-server"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the archive: the earliest that the format has."""


def main(archive: Path) -> None:
    """Write the archive."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in PLUGIN.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(f"room-server/{path.relative_to(PLUGIN).as_posix()}", EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes())
    print(archive)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
