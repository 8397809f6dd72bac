"""The file of the feature cache: an SQLite database that is replaced when damaged.

A connection lives for one operation, so that none is carried over a fork or keeps
a folder from being removed. Each operation shares the lock of the file
``features.lock``. Who replaces or removes the database holds that lock alone, since
SQLite would roll the journal of a removed database back into its successor.

A database that others keep locked is waited for, and let go of all locks meanwhile.
Where the wait was in vain, this process goes without the database, and tries again
without waiting, until it can write to it or has not wanted it for a minute.

Nothing waits for the disk. A process that is killed loses what it was writing and
nothing else; what a power cut damages, the checksum of each row finds.
"""

import contextlib
import os
import sqlite3
import time
import warnings

from .locks import (
    LOCK_TIMEOUT,
    RETRY_INTERVAL,
    find_worker_locks,
    is_locked,
    locked,
    process_lock,
)
from .rows import DamageError

# Bytes. Rows of any length fill such pages well: 512 float32 take a sixth more than
# their own size, and would take twice of it in SQLite's pages of 4096.
PAGE_SIZE = 2048
# Seconds that SQLite waits at a time. Other threads cannot use any database then, nor
# fork; but who commits has to keep new readers out until those before have ended.
LOCK_WAIT = 0.1
IMPATIENCE = 60  # seconds
SCHEMA = (
    "CREATE TABLE features (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, "
    "dtype TEXT, length INTEGER, checksum INTEGER, data BLOB)",
    # Not in the table above, so that to note a use does not rewrite the features.
    "CREATE TABLE uses (id INTEGER PRIMARY KEY, time REAL, size INTEGER)",
    "CREATE TABLE claims (key BLOB PRIMARY KEY, worker TEXT) WITHOUT ROWID",
    "CREATE TABLE workers (name TEXT PRIMARY KEY, host TEXT, renewed REAL) "
    "WITHOUT ROWID",
)
# The statements never change, so that it is the file where one makes no sense.
DAMAGE = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_NOTADB,
}
# The last comes of a message that quotes a damaged schema.
ERRORS = (sqlite3.Error, OSError, UnicodeDecodeError)

# When a database was last found locked, by its path, since a wait was in vain. An
# estimator makes a `Database` for each call, which should not wait once more.
_found_locked = {}


class Database:
    """The database of a feature cache, and what happens when it cannot be used.

    Parameters
    ----------
    folder : Path
        The folder of the cache, an absolute path.

    Attributes
    ----------
    folder : Path
        The folder of the cache.

    path : Path
        The database in it.
    """

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "features.sqlite"
        self._lock = folder / "features.lock"
        self._has_warned = False

    def read(self, work, default):
        """Return what ``work(connection)`` returns, on a database that exists.

        Parameters
        ----------
        work : callable
            What is done. It may be called twice, the second time on a new database.

        default : object
            What is returned where there is no database, or where it cannot be used,
            with one warning for each instance.

        Returns
        -------
        object
        """
        return self._use(work, default, create=False)

    def write(self, work, default):
        """Do as `read`, in one write transaction, on a database created if need be.

        Parameters
        ----------
        work, default
            As of `read`.

        Returns
        -------
        object
        """
        return self._use(work, default, create=True)

    def remove(self):
        """Remove the database and what belongs to it, while nobody uses it.

        The lock files of workers that live stay until these end.

        Raises
        ------
        OSError
            If a file cannot be removed.
        """
        if not self.folder.is_dir():
            return
        lock_files = [*find_worker_locks(self.folder).values(), self._lock]
        if any(path.exists() for path in [*self._files, *lock_files]):
            with process_lock, locked(self._lock):
                self._unlink()
                for path in lock_files:
                    if path == self._lock or not is_locked(path):
                        path.unlink(missing_ok=True)

    def _use(self, work, default, create):
        try:
            if create:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            elif not self.path.exists():
                return default
            return self._wait_and_run(work, create)
        except _NothingStored:
            return default
        except ERRORS as error:
            self._warn(error)
            return default

    def _wait_and_run(self, work, create):
        """Try for `LOCK_TIMEOUT` while others lock it, once if that was in vain."""
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                with process_lock:
                    result = self._repair_and_run(work, create)
            except ERRORS as error:
                if not _is_busy(error):
                    raise
                if self._is_impatient() or time.monotonic() > deadline:
                    _found_locked[self.path] = time.monotonic()
                    raise
                time.sleep(RETRY_INTERVAL)
            else:
                if create:  # who only reads may keep us from writing, not from reading
                    _found_locked.pop(self.path, None)
                return result

    def _is_impatient(self):
        moment = _found_locked.get(self.path)
        return moment is not None and time.monotonic() - moment < IMPATIENCE

    def _repair_and_run(self, work, create):
        try:
            with locked(self._lock, shared=True, timeout=0):
                return self._run(work, create)
        except ERRORS as error:
            if not self._is_damage(error):
                raise
        with locked(self._lock, timeout=0):
            try:  # somebody else may have replaced it
                return self._run(work, create)
            except ERRORS as error:
                if not self._is_damage(error):
                    raise
                self._unlink()
                self._warn_of_damage(error)
            return self._run(work, create)

    def _run(self, work, create):
        """Do the work; where it fails, closing the connection undoes it."""
        if create:
            self._create_file()
        elif not self.path.exists():
            raise _NothingStored
        with contextlib.closing(self._connect()) as db:
            if create:
                _begin(db, is_new=self.path.stat().st_size == 0)
            elif not _has_tables(db):
                raise _NothingStored
            result = work(db)
            if create:
                db.execute("COMMIT")
            return result

    def _create_file(self):
        """Create the file before SQLite does, which would let others read it."""
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _connect(self):
        db = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=RETRY_INTERVAL if self._is_impatient() else LOCK_WAIT,
            isolation_level=None,
        )
        db.text_factory = _decode_text
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        return db

    @property
    def _files(self):
        """The database first: without its journal it may look whole and not be."""
        name = self.path.name
        suffixes = "", "-journal", "-wal", "-shm"
        return [self.folder / (name + suffix) for suffix in suffixes]

    def _is_damage(self, error):
        """Return whether an error shows that the file is damaged."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
        if code == sqlite3.SQLITE_READONLY:  # the file says so, or its permissions
            return os.access(self.path, os.W_OK)
        is_damage = isinstance(error, (DamageError, UnicodeDecodeError))
        return is_damage or code & 0xFF in DAMAGE

    def _unlink(self):
        for path in self._files:
            path.unlink(missing_ok=True)

    def _warn(self, error):
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"The feature cache in {self.folder} cannot be used ({error}). "
                "Features are computed and not kept. Free some space, make the folder "
                "writable or choose another one.",
                stacklevel=2,
            )

    def _warn_of_damage(self, error):
        warnings.warn(
            f"The feature cache {self.path} was damaged ({error}) and has been "
            "emptied. Its features are computed again.",
            stacklevel=2,
        )


class _NothingStored(Exception):
    """There is no database yet."""


def _is_busy(error):
    """Return whether others have locked what is wanted."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF == sqlite3.SQLITE_BUSY or isinstance(error, TimeoutError)


def _decode_text(text):
    """Return text, also where damage has made it no text."""
    return text.decode(errors="replace")


def _has_tables(db):
    """Return whether a database has our tables, and not others instead of them."""
    found = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    statements = {statement for (statement,) in found}
    if statements.isdisjoint(SCHEMA) and statements:
        raise sqlite3.DatabaseError("it has a features.sqlite of some other kind")
    if statements and statements != set(SCHEMA):
        raise DamageError("the tables are not as they were created")
    return bool(statements)


def _begin(db, is_new):
    """Begin a write transaction on a database that has all tables."""
    if is_new:
        db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("BEGIN IMMEDIATE")
    if not _has_tables(db):
        for statement in SCHEMA:
            db.execute(statement)
