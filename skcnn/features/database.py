"""Database of the feature cache: an SQLite file that is replaced if it is damaged.

Each operation opens its own connection, runs in one transaction and holds the lock
``features.lock``; otherwise, SQLite could roll back the journal of a replaced database
into the new one. Writes do not wait for the disk: a killed process loses only what it
was writing, and the checksums of rows detect damage by a power cut.
"""

import contextlib
import os
import sqlite3
import threading

from ..runtime import warn
from .cache_folder import CacheFolder  # filelock's hooks of a fork come before ours
from .feature_vectors import SCHEMA, DamageError

# Bytes. Vectors of any length fill small pages well: 512 float32 take a sixth more than
# their own size, but twice their size in pages of 4096 bytes, SQLite's default.
PAGE_SIZE = 2048
LOCK_TIMEOUT = 10  # seconds, for the operations of other workers
BUSY_TIMEOUT = 1  # seconds, for other programs that use the database
POLL_INTERVAL = 0.005  # seconds
# All statements are fixed, so an error in one of them means that the file is damaged.
DAMAGE = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_NOTADB,
}
# UnicodeDecodeError comes from a message that quotes a damaged schema.
ERRORS = (sqlite3.Error, OSError, UnicodeDecodeError)

# SQLite records in memory which file locks its process holds. A fork copies this record
# but not the locks, so no thread may be inside SQLite while another one forks.
process_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=process_lock.acquire,
        after_in_parent=process_lock.release,
        after_in_child=process_lock.release,
    )


class Database(CacheFolder):
    """Database of a feature cache, in a folder given by its absolute path."""

    def __init__(self, folder):
        super().__init__(folder)
        self.path = folder / "features.sqlite"

    def run(self, work, default=None, write=False):
        """Call `work` with a connection, in a transaction, and return its result.

        A damaged database is replaced by an empty one, and `work` is called again. If
        there is no database to read, or it cannot be used, return `default`.
        """
        try:
            if not self._is_available(create=write):
                return default
            with process_lock, self._locked():
                return self._run_or_replace(work, write)
        except ERRORS as error:
            self.give_up(error)
            return default

    def remove(self):
        """Remove the database. Lock files stay, as others may wait for them."""
        if any(path.exists() for path in self._files):
            with process_lock, self._locked():
                self._unlink()

    def _is_available(self, create):
        """Return whether there is, or may be, a database in a private folder."""
        has_one = create or self.path.exists()
        return has_one and super()._is_available(create)

    def _locked(self):
        lock = self._make_lock("features.lock")
        return lock.acquire(timeout=LOCK_TIMEOUT, poll_interval=POLL_INTERVAL)

    def _run_or_replace(self, work, write):
        try:
            return self._transact(work, write)
        except ERRORS as error:
            if not self._is_damage(error):
                raise
            self._unlink()
            warn(
                f"The feature cache {self.path} was damaged ({error}) and was "
                "emptied. Features are recomputed.",
            )
        return self._transact(work, write)

    def _transact(self, work, write):
        """Call `work`; if it fails, closing the connection rolls it back."""
        if not self.path.exists():  # SQLite would let others read it
            self.path.touch(mode=0o600)
        is_new = self.path.stat().st_size == 0
        with contextlib.closing(self._connect()) as db:
            if is_new:
                db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            _ensure_schema(db)
            result = work(db)
            db.commit()
            return result

    def _connect(self):
        db = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
        )
        db.text_factory = bytes  # damaged text may not be decodable
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        return db

    @property
    def _files(self):
        """Files to remove, the database first: it may look intact without a journal."""
        suffixes = "", "-journal", "-wal", "-shm"
        return [self.folder / (self.path.name + suffix) for suffix in suffixes]

    def _unlink(self):
        for path in self._files:
            path.unlink(missing_ok=True)

    def _is_damage(self, error):
        """Return whether an error shows that the file is damaged."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
        if code == sqlite3.SQLITE_READONLY:  # by its header (damage) or its permissions
            return os.access(self.path, os.W_OK)
        is_damage = isinstance(error, (DamageError, UnicodeDecodeError))
        return is_damage or code & 0xFF in DAMAGE


def _ensure_schema(db):
    """Create the tables of a new database; raise an error for another schema."""
    found = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    statements = {statement for (statement,) in found}
    if not statements:
        for statement in SCHEMA:
            db.execute(statement.decode())
    elif statements.isdisjoint(SCHEMA):
        raise sqlite3.DatabaseError("its features.sqlite has another schema")
    elif statements != set(SCHEMA):
        raise DamageError("the schema was altered")
