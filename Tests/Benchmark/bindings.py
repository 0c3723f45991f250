"""A location.db with many registrations, as sipfork leaves it; and what its shared memory holds."""

import os
import random
import sqlite3
import time

CONTACT_LIFE = 7 * 86400  # seconds


def fill(path, count):
    """Makes the database with one contact for each of so many users, as an office's phones send them."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    chance = random.Random(1)
    now = int(time.time())
    database = sqlite3.connect(path)
    database.executescript("""
        PRAGMA journal_mode = OFF;
        PRAGMA synchronous = OFF;
        CREATE TABLE bindings (
            aor TEXT NOT NULL, contact TEXT NOT NULL, expires INTEGER NOT NULL, q INTEGER NOT NULL,
            callid TEXT NOT NULL, cseq INTEGER NOT NULL, updated INTEGER NOT NULL,
            path TEXT NOT NULL DEFAULT '', useragent TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (aor, contact)) WITHOUT ROWID;
        PRAGMA user_version = 2;
        BEGIN;
        """)

    def row(index):
        host = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
        user = f"user{index:07d}"
        return (f"{user}@example.org", f"sip:{user}@{host}:5060", now + CONTACT_LIFE, 1000,
                f"{chance.getrandbits(128):032x}", 1, now * 1_000_000 + index, "", "Linphone/5.2.0 (Debian)")

    # In the order of its key, which is a third of the time.
    database.executemany("INSERT INTO bindings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (row(i) for i in range(count)))
    database.commit()
    database.close()


def shared(pid):
    """Bytes of a sipforkd's shared memory that are in use: the pages of its memfd that somebody has touched."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{number}"
        if os.readlink(path).startswith("/memfd:sipfork "):
            return os.stat(path).st_blocks * 512
    raise AssertionError(f"process {pid} has no shared memory")
