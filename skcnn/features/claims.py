"""Who computes what: keys of the feature cache that workers have claimed.

A worker is a ``with cache.claims()`` statement that runs. It lives as long as it
holds the lock of its lock file, which the operating system takes from it however
its process ends. Of a worker on another host, whose lock may not be seen, and of
one that hangs, the claims end ten minutes after it last claimed something. Lock
files are created, and those of the dead removed, in write transactions only.
"""

import contextlib
import os
import platform
import time
import uuid
import weakref
from itertools import islice

from .locks import (
    find_worker_locks,
    is_locked,
    open_locked,
    process_lock,
    worker_lock,
)
from .rows import CHUNK_SIZE, find_rows, query_keys

CLAIM_LIFETIME = 600  # seconds
HOST = platform.node()
FIND_CLAIMS = (
    "SELECT key, name FROM claims JOIN workers ON worker = name WHERE key IN ({})"
)

_claims_in_use = weakref.WeakSet()


class Claims:
    """The keys that one worker is to compute, given back at the end.

    To be used in a ``with`` statement, by one thread.

    Parameters
    ----------
    database : Database
        The database of the cache.
    """

    def __init__(self, database):
        self.database = database
        self._name = None
        self._lock = None

    def __enter__(self):
        with process_lock:
            _claims_in_use.add(self)
        return self

    def __exit__(self, *exception):
        with process_lock:
            self.release()
            _claims_in_use.discard(self)

    def take(self, keys, n):
        """Claim keys that are neither stored nor claimed by another worker.

        Parameters
        ----------
        keys : iterable of bytes
            The keys that are wanted.

        n : int
            Number of keys to claim at most.

        Returns
        -------
        list of bytes
            The first `n` keys that could be claimed. Where the cache cannot be
            used, the first `n` keys.
        """
        keys = list(dict.fromkeys(keys))
        return self.database.write(lambda db: self._take(db, keys, n), keys[:n])

    def release(self):
        """Give back the keys that are claimed and not stored."""
        if self._lock is not None:
            self.database.read(self._sign_out, None)
            self._unlock()
            with contextlib.suppress(OSError):  # the next worker removes it
                worker_lock(self.database.folder, self._name).unlink()

    def _take(self, db, keys, n):
        self._sign_in(db)
        _bury_the_dead(db, self.database.folder)
        free = list(islice(self._find_free(db, keys), n))
        pairs = [(key, self._name) for key in free]
        db.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?)", pairs)
        return free

    def _find_free(self, db, keys):
        for start in range(0, len(keys), CHUNK_SIZE):
            chunk = keys[start : start + CHUNK_SIZE]
            taken = {key for key, *_ in find_rows(db, chunk)}
            claims = query_keys(db, FIND_CLAIMS, chunk)
            taken |= {key for key, name in claims if name != self._name}
            yield from (key for key in chunk if key not in taken)

    def _sign_in(self, db):
        """Be alive, also in the eyes of other hosts."""
        if not self._is_locked():
            self._unlock()
            self._name = uuid.uuid4().hex
            self._lock = open_locked(worker_lock(self.database.folder, self._name))
        row = self._name, HOST, time.time()
        db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?)", row)

    def _sign_out(self, db):
        db.execute("BEGIN IMMEDIATE")
        _remove_worker(db, self._name)
        db.execute("COMMIT")

    def _is_locked(self):
        """Return whether the lock is held, of a file that nobody has removed."""
        path = worker_lock(self.database.folder, self._name)
        return self._lock is not None and path.exists()

    def _unlock(self):
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def release_claims(database):
    """Give back all keys that users of a database in this process have claimed.

    Parameters
    ----------
    database : Database
        The database of the cache.
    """
    with process_lock:
        for claims in list(_claims_in_use):
            if claims.database is database:
                claims.release()


def is_any_free(db, folder, keys):
    """Return whether a key is claimed by no worker that lives.

    Parameters
    ----------
    db : sqlite3.Connection
        The database.

    folder : Path
        The folder of the cache.

    keys : set of bytes
        The keys.

    Returns
    -------
    bool
    """
    living = _find_living(db, folder)
    claims = query_keys(db, FIND_CLAIMS, list(keys))
    return not keys.issubset(key for key, name in claims if name in living)


def _find_living(db, folder):
    """Return the names of the workers whose claims count."""
    files = find_worker_locks(folder)
    workers = db.execute(
        "SELECT name, host FROM workers WHERE abs(? - renewed) < ?",
        (time.time(), CLAIM_LIFETIME),
    )
    return {
        name
        for name, host in workers
        if host != HOST or (name in files and is_locked(files[name]))
    }


def _bury_the_dead(db, folder):
    living = _find_living(db, folder)
    names = [name for (name,) in db.execute("SELECT name FROM workers")]
    for name in set(names) - living:
        _remove_worker(db, name)
    for name, path in find_worker_locks(folder).items():
        if name not in living and not is_locked(path):
            path.unlink(missing_ok=True)


def _remove_worker(db, name):
    db.execute("DELETE FROM claims WHERE worker = ?", (name,))
    db.execute("DELETE FROM workers WHERE name = ?", (name,))


def _forget_claims_of_parent():
    """Close the locks that a fork has copied, and be another worker."""
    for claims in list(_claims_in_use):
        claims._unlock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_claims_of_parent)
