"""The feature cache: right, shared, and never in the way."""

import contextlib
import os
import pickle
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import skcnn
from skcnn.features import FeatureCache, cache, clear_cache, default_cache_folder
from skcnn.features.cache import N_STRIPES

posix = pytest.mark.skipif(os.name == "nt", reason="needs signals and modes")

PACKAGE = Path(skcnn.__file__).parent
# Processes start in a tenth of a second if they do not import torch.
PRELUDE = f"""
import os, random, sys, threading, time, types, warnings
for name, folder in [("skcnn", {str(PACKAGE)!r}),
                     ("skcnn.features", {str(PACKAGE / "features")!r})]:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
import numpy as np
from skcnn.features.cache import FeatureCache, N_STRIPES

warnings.simplefilter("error")

def key(i):
    return b"%019d" % i + bytes([i % 256])

def row(i, n=512):
    return np.full(n, i, dtype="float32")

def rows(numbers):
    return {{key(i): row(i) for i in numbers}}

cache = FeatureCache(sys.argv[1])
"""
HOUR = 3600


def start(script, folder):
    command = [sys.executable, "-c", PRELUDE + script, str(folder)]
    return subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@contextlib.contextmanager
def running(script, folder):
    """Start a process that is killed at the end."""
    process = start(script, folder)
    try:
        yield process
    finally:
        kill(process)


def kill(process):
    process.kill()
    process.communicate()


def key(i):
    return b"%019d" % i + bytes([i % 256])


def row(i, n=512):
    return np.full(n, i, dtype="float32")


def make_rows(numbers):
    return {key(i): row(i) for i in numbers}


def assert_right(features):
    """Check that features are those of their keys."""
    for found, vector in features.items():
        np.testing.assert_array_equal(vector, row(int(found[:19])))


def assert_found(features, numbers):
    """Check that features are those of the numbers, and of no others."""
    assert set(features) == {key(i) for i in numbers}
    assert_right(features)


def change(folder, statement, *parameters):
    """Change the database from outside."""
    with contextlib.closing(sqlite3.connect(folder / "features.sqlite")) as db, db:
        db.execute(statement, parameters)


def names(folder):
    """Return the names of the files that are no lock files."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def filled(folder):
    """A folder with the rows 0 to 99."""
    FeatureCache(folder).store(make_rows(range(100)))
    return folder


# What is stored and found


@pytest.mark.parametrize(
    "features",
    [
        np.array([1.5, -0.0, np.nan, np.inf, 1e-45], dtype="float32"),
        np.array([1 / 3, -0.0, np.nan, 5e-324]),
        np.arange(40_000, dtype="float32"),
        np.arange(20, dtype="float32")[::-3],
        np.zeros(0, dtype="float32"),
    ],
    ids=["float32", "float64", "long", "strided", "empty"],
)
def test_features_are_found_bit_for_bit(folder, features):
    FeatureCache(folder).store({key(0): features})
    found = FeatureCache(folder).lookup([key(0)])[key(0)]
    assert found.dtype == features.dtype
    assert found.tobytes() == features.tobytes()


def test_the_order_of_bytes_of_an_array_does_not_matter(folder):
    FeatureCache(folder).store({key(0): np.arange(3, dtype=">f4")})
    np.testing.assert_array_equal(
        FeatureCache(folder).lookup([key(0)])[key(0)], [0, 1, 2]
    )


def test_many_keys_are_found_at_once_and_others_left_out(folder):
    cache = FeatureCache(folder)
    cache.store({key(i): row(i, 2) for i in range(0, 2500, 2)})
    found = cache.lookup(key(i) for i in range(2500))
    assert {int(k[:19]): v[0] for k, v in found.items()} == {
        i: i for i in range(0, 2500, 2)
    }
    assert len(cache) == 1250


def test_what_is_stored_again_takes_the_place_of_what_was(filled):
    cache = FeatureCache(filled)
    cache.store({key(3): row(7, 5)})
    np.testing.assert_array_equal(cache.lookup([key(3)])[key(3)], row(7, 5))
    assert len(cache) == 100


@pytest.mark.parametrize(
    "features",
    [np.zeros((1, 2), "float32"), np.zeros(2, "int64"), np.zeros(2, "float16")],
)
def test_rows_of_another_shape_or_dtype_are_an_error(folder, features):
    with pytest.raises(ValueError, match="expected one dimension, and float32"):
        FeatureCache(folder).store({key(0): features})
    assert not folder.exists()


def test_keys_other_than_bytes_are_an_error(folder):
    with pytest.raises(TypeError, match="key of features is 'a', expected bytes"):
        FeatureCache(folder).store({"a": row(0)})
    assert not folder.exists()


def test_a_cache_that_is_only_read_leaves_no_trace(folder):
    cache = FeatureCache(folder)
    assert cache.lookup([key(0)]) == {}
    assert (len(cache), cache.nbytes) == (0, 0)
    cache.clear()
    assert not folder.exists()


@posix
def test_only_the_owner_can_read(folder):
    old = os.umask(0)
    try:
        cache = FeatureCache(folder)
        cache.lock(3).release()
        cache.store(make_rows([0]))
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {0o600}


def test_a_pickled_cache_is_the_same_cache(filled):
    cache = pickle.loads(pickle.dumps(FeatureCache(filled, bytes_limit=10**7)))
    assert_found(cache.lookup([key(3)]), [3])
    assert cache.bytes_limit == 10**7


@posix
def test_a_folder_can_be_removed_at_any_time(filled):
    cache = FeatureCache(filled)
    lock = cache.lock(3)
    shutil.rmtree(filled)
    cache.store(make_rows([200]))
    lock.release()
    assert_found(cache.lookup([key(3), key(200)]), [200])


# Size


def age(folder, seconds):
    change(folder, "UPDATE features SET used = used - ?", seconds)


def test_rows_used_least_recently_make_room_and_the_file_stays_within_its_limit(folder):
    limit = 500_000
    cache = FeatureCache(folder, limit)
    cache.store(make_rows(range(100)))
    age(folder, 3 * HOUR)
    cache.lookup([key(i) for i in range(0, 100, 10)])
    for start_ in range(100, 240, 5):
        cache.store(make_rows(range(start_, start_ + 5)))
        assert cache.nbytes <= limit
    found = cache.lookup([key(i) for i in range(240)])
    assert_right(found)
    assert {key(i) for i in range(0, 100, 10)} <= set(found)
    assert {key(i) for i in range(100, 240)} <= set(found)
    assert len(found) > 0.75 * limit / row(0).nbytes


def test_a_file_shrinks_to_a_lower_limit(folder):
    FeatureCache(folder).store(make_rows(range(500)))
    cache = FeatureCache(folder, 200_000)
    cache.store(make_rows([500]))
    assert cache.nbytes <= 200_000
    assert len(cache.lookup([key(500)])) == 1


def test_a_limit_below_a_single_row_keeps_nothing(folder):
    cache = FeatureCache(folder, 1000)
    for i in range(5):
        cache.store(make_rows([i]))
    assert len(cache) == 0


def test_uses_are_noted_once_an_hour(filled):
    file = filled / "features.sqlite"
    cache = FeatureCache(filled)
    before = file.read_bytes()
    cache.lookup([key(3)])
    assert file.read_bytes() == before
    age(filled, 2 * HOUR)
    before = file.read_bytes()
    assert_found(cache.lookup([key(3)]), [3])
    assert file.read_bytes() != before


# Locks


def test_keys_are_spread_over_the_stripes(folder):
    cache = FeatureCache(folder)
    stripes = [cache.stripe_of(key(i)) for i in range(1000)]
    counts = np.bincount(stripes, minlength=N_STRIPES)
    assert len(counts) == N_STRIPES
    assert counts.min() > 30


def test_a_stripe_is_locked_by_one_worker_and_others_are_free(folder):
    one, two = FeatureCache(folder), FeatureCache(folder)
    lock = one.lock(3)
    assert two.lock(3) is None
    two.lock(4).release()
    lock.release()
    two.lock(3).release()


def test_who_waits_for_a_stripe_gets_it_when_it_is_released(folder):
    lock = FeatureCache(folder).lock(3)
    timer = threading.Timer(0.1, lock.release)
    timer.start()
    assert FeatureCache(folder).lock(3, timeout=0.01) is None
    FeatureCache(folder).lock(3, timeout=10).release()
    timer.join()


HOLD = """
lock = cache.lock(3)
print("locked", flush=True)
sys.stdin.read()
"""


@posix
def test_the_lock_of_a_killed_process_is_free_at_once(filled):
    cache = FeatureCache(filled)
    with running(HOLD, filled) as process:
        assert process.stdout.readline() == "locked\n"
        assert cache.lock(3) is None
        kill(process)
        cache.lock(3).release()
    assert_found(cache.lookup(map(key, range(100))), range(100))


# Many processes

COMPUTE_ALL = """
found, computed = {}, []
keys = [key(i) for i in range(200)]
sys.stdin.readline()
stripes = list(range(N_STRIPES))
random.shuffle(stripes)
for stripe in stripes:
    lock = cache.lock(stripe, timeout=30)
    mine = [k for k in keys if cache.stripe_of(k) == stripe]
    known = cache.lookup(mine)
    missing = [k for k in mine if k not in known]
    for start in range(0, len(missing), 4):
        numbers = [int(k[:19]) for k in missing[start : start + 4]]
        time.sleep(0.002)
        computed += numbers
        cache.store(rows(numbers))
    lock.release()
found = cache.lookup(keys)
assert all((found[k] == int(k[:19])).all() for k in keys)
print(*computed)
"""


@posix
def test_processes_compute_each_key_exactly_once(folder):
    processes = [start(COMPUTE_ALL, folder) for _ in range(3)]
    computed = []
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        computed += map(int, process.communicate(timeout=60)[0].split())
        assert process.returncode == 0
    assert sorted(computed) == list(range(200))
    assert_found(FeatureCache(folder).lookup(map(key, range(200))), range(200))


WRITE = """
print("ready", flush=True)
version = 0
while True:
    version += 1
    numbers = random.sample(range(100), 20)
    cache.store({key(i): row(i + 100 * version) for i in numbers})
"""


@posix
@pytest.mark.slow
def test_reads_beside_two_writers_are_whole_and_right(filled):
    cache, versions = FeatureCache(filled), set()
    with running(WRITE, filled) as one, running(WRITE, filled) as two:
        assert one.stdout.readline() == two.stdout.readline() == "ready\n"
        for _ in range(200):
            found = cache.lookup(map(key, range(50, 100)))
            assert len(found) == 50
            for k, features in found.items():
                assert len(set(features.tolist())) == 1
                assert features[0] % 100 == int(k[:19])
                versions.add(features[0] // 100)
    assert len(versions) > 3


@posix
@pytest.mark.slow
def test_clearing_beside_a_writer_leaves_a_cache_that_works(filled):
    cache = FeatureCache(filled)
    with running(WRITE, filled) as process:
        process.stdout.readline()
        for _ in range(50):
            cache.clear()
            for k, features in cache.lookup(map(key, range(100))).items():
                assert set(features % 100) == {int(k[:19])}
        assert process.poll() is None  # warnings would have ended it
    cache.clear()
    cache.store(make_rows(range(100)))
    assert_found(cache.lookup(map(key, range(100))), range(100))
    assert names(filled) == {"features.sqlite"}


WRITE_NEW = """
for i in range(int(sys.stdin.readline()), 10**9, 10):
    lock = cache.lock(i // 10 % N_STRIPES)
    cache.store(rows(range(i, i + 10)))
    lock.release()
    print(i, flush=True)
"""


@posix
@pytest.mark.parametrize("n_kills", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_a_writer_that_is_killed_loses_nothing_that_it_has_stored(folder, n_kills):
    cache, first, delay = FeatureCache(folder), 0, random.Random(0)
    for _ in range(n_kills):
        process = start(WRITE_NEW, folder)
        process.stdin.write(f"{first}\n")
        process.stdin.flush()
        stored = [process.stdout.readline()]
        time.sleep(delay.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        stored += process.communicate()[0].splitlines()
        first = int(stored[-1]) + 10
        found = cache.lookup(map(key, range(first + 10)))
        assert_right(found)
        assert set(found) >= {key(i) for i in range(first)}
        for stripe in range(N_STRIPES):
            cache.lock(stripe).release()
        cache.store(make_rows(range(first, first + 10)))
        first += 10
    assert_found(cache.lookup(map(key, range(first + 10))), range(first))
    assert names(folder) == {"features.sqlite"}


FORK = """
def child():
    assert len(cache.lookup(map(key, range(100)))) == 100
    assert cache.lock(3) is None
    cache.lock(4).release()
    cache.store(rows([os.getpid() + 1000]))

stop = threading.Event()
def work(stripe):
    while not stop.is_set():
        lock = cache.lock(stripe)
        assert len(cache.lookup(map(key, range(100)))) == 100
        cache.store(rows([1]))
        lock.release()

threads = [threading.Thread(target=work, args=[stripe]) for stripe in (8, 9)]
for thread in threads: thread.start()
lock = cache.lock(3)
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(cache.lookup([key(pid + 1000)])) == 1
    assert FeatureCache(sys.argv[1]).lock(3) is None
lock.release()
stop.set()
for thread in threads: thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_beside_busy_threads_is_a_worker_of_its_own(filled):
    with running(FORK, filled) as process:
        assert process.wait(timeout=60) == 0


# Folders that cannot be used


def work_on(cache, n_found=0):
    """Look up, lock and store; there are the first rows to be found."""
    assert_found(cache.lookup(map(key, range(100))), range(n_found))
    for i in range(200, 500, 30):
        assert cache.lock(i % N_STRIPES) is not None
        cache.store(make_rows(range(i, i + 30)))


def assert_not_used(cache, complaint, n_found=0):
    """Check that a cache is worked on with one warning, and not used afterwards."""
    with pytest.warns(UserWarning, match=complaint) as caught:
        work_on(cache, n_found)
    assert len(caught) == 1
    assert "Features are not cached. Make the folder writable" in str(caught[0].message)
    assert cache.lookup([key(0)]) == {}


def test_a_folder_that_is_a_file_is_not_used(tmp_path):
    (tmp_path / "file").touch()
    assert_not_used(FeatureCache(tmp_path / "file"), "cannot be used")


@posix
@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_not_used(filled, mode):
    filled.chmod(mode)
    assert_not_used(FeatureCache(filled), "other users may write to the folder")
    filled.chmod(0o755)
    assert_found(FeatureCache(filled).lookup(map(key, range(300))), range(100))


@posix
def test_a_folder_of_another_user_is_not_used(filled, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: filled.stat().st_uid + 1)
        assert_not_used(FeatureCache(filled), "belongs to another user")
    assert_found(FeatureCache(filled).lookup(map(key, range(300))), range(100))


@posix
@pytest.mark.parametrize(
    ("statements", "n_found"),
    [(["BEGIN EXCLUSIVE"], 0), (["BEGIN", "SELECT count(*) FROM features"], 100)],
    ids=["written", "read"],
)
def test_a_database_that_others_keep_locked_is_waited_for_once(
    filled, monkeypatch, statements, n_found
):
    monkeypatch.setattr("skcnn.features.database.BUSY_TIMEOUT", 0.2)
    cache = FeatureCache(filled)
    with contextlib.closing(
        sqlite3.connect(filled / "features.sqlite", isolation_level=None)
    ) as db:
        for statement in statements:
            db.execute(statement).fetchall()
        begin = time.monotonic()
        assert_not_used(cache, "locked", n_found)
        assert time.monotonic() - begin < 1.5  # of a wait each time, it would be 2
    assert_found(FeatureCache(filled).lookup(map(key, range(300))), range(100))


@posix
def test_uses_are_not_noted_beside_another_reader(filled, monkeypatch):
    monkeypatch.setattr("skcnn.features.database.BUSY_TIMEOUT", 0.1)
    age(filled, 2 * HOUR)
    with contextlib.closing(
        sqlite3.connect(filled / "features.sqlite", isolation_level=None)
    ) as db:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM features").fetchall()
        assert_found(FeatureCache(filled).lookup([key(3)]), [3])


@contextlib.contextmanager
def file_size_limit(n_bytes):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_may_not_grow_keeps_what_it_has(filled):
    with file_size_limit(400_000):
        assert_not_used(FeatureCache(filled), "", n_found=100)
    assert names(filled) == {"features.sqlite"}
    cache = FeatureCache(filled)
    found = cache.lookup(map(key, range(500)))
    assert_right(found)
    assert {key(i) for i in range(100)} <= set(found)
    work_on(cache, n_found=100)
    assert len(cache) == 400


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=800k,mode=700", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
        pytest.skip("may not mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_still_read_and_written_to_when_there_is_room(small_disk):
    filler = small_disk / "filler"
    FeatureCache(small_disk).store(make_rows(range(100)))
    room = os.statvfs(small_disk)
    filler.write_bytes(bytes(room.f_bavail * room.f_bsize))
    assert_not_used(FeatureCache(small_disk), "disk is full", n_found=100)
    assert names(small_disk) == {"features.sqlite", "filler"}
    filler.unlink()
    cache = FeatureCache(small_disk)
    cache.store(make_rows([200]))
    assert_found(cache.lookup(map(key, range(300))), [*range(100), 200])


# Damage


def damaged(content, damage, generator):
    content, position = bytearray(content), generator.randrange(len(content))
    if damage == "random":
        return generator.randbytes(len(content))
    if damage == "truncated":
        return content[:position]
    if damage == "header":
        content[position % 100] ^= 1 << generator.randrange(8)
    if damage == "version":
        content[18] = 3  # of a future SQLite, which may only be read
    if damage == "bits":
        for _ in range(20):
            content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    if damage == "block":
        length = len(content[position : position + 3000])
        content[position : position + length] = generator.randbytes(length)
    if damage == "tables":
        content[generator.randrange(2048)] = generator.randrange(256)
    return content


@pytest.mark.filterwarnings("ignore:The feature cache .* was damaged")
@pytest.mark.parametrize(
    "damage", ["random", "truncated", "header", "version", "bits", "block", "tables"]
)
@pytest.mark.parametrize("n_times", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_a_damaged_file_gives_nothing_wrong_and_is_written_to_again(
    filled, damage, n_times
):
    file, generator = filled / "features.sqlite", random.Random(0)
    whole = file.read_bytes()
    for _ in range(n_times):
        file.write_bytes(damaged(whole, damage, generator))
        cache = FeatureCache(filled)
        for _ in range(3):  # some damage shows late
            found = cache.lookup(map(key, range(110)))
            assert_right(found)
            cache.store(make_rows({*range(110)} - {int(k[:19]) for k in found}))
        assert_found(cache.lookup(map(key, range(110))), range(110))


def test_an_empty_file_is_a_cache_with_nothing_in_it(filled):
    (filled / "features.sqlite").write_bytes(b"")
    cache = FeatureCache(filled)
    assert cache.lookup([key(0)]) == {}
    cache.store(make_rows([0]))
    assert_found(cache.lookup([key(0), key(1)]), [0])


@pytest.mark.parametrize(
    "change_to",
    [
        "data = zeroblob(2048)",
        "data = substr(data, 5)",
        "data = NULL",
        "data = 'text'",
        "itemsize = 8",
        "itemsize = 'text'",
        "checksum = checksum + 1",
        "key = key || ' '",
    ],
)
def test_a_damaged_row_is_computed_again(filled, change_to):
    change(filled, f"UPDATE features SET {change_to} WHERE rowid = 4")
    cache = FeatureCache(filled)
    lost = set(map(key, range(100))) - set(cache.lookup(map(key, range(100))))
    assert lost == {key(3)}
    cache.store(make_rows([3]))
    assert_found(cache.lookup(map(key, range(100))), range(100))


MEET_DAMAGE = """
for line in sys.stdin:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        while time.time() < float(line): pass
        cache.store(rows([os.getpid()]))
    print(len(caught), flush=True)
"""


@posix
@pytest.mark.slow
def test_of_the_processes_that_meet_a_damaged_file_one_replaces_it(filled):
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(running(MEET_DAMAGE, filled)) for _ in range(4)
        ]
        numbers = [process.pid for process in processes]
        for _ in range(20):
            (filled / "features.sqlite").write_bytes(b"damage" * 5000)
            moment = time.time() + 0.02
            for process in processes:
                process.stdin.write(f"{moment}\n")
                process.stdin.flush()
            warned = [int(process.stdout.readline()) for process in processes]
            assert sorted(warned) == [0, 0, 0, 1]
            assert_found(FeatureCache(filled).lookup(map(key, numbers)), numbers)


def test_tables_that_are_not_as_they_were_created_are_damage(filled):
    change(filled, "DROP INDEX by_use")
    with pytest.warns(UserWarning, match="was damaged"):
        FeatureCache(filled).store(make_rows([3]))
    assert_found(FeatureCache(filled).lookup(map(key, range(100))), [3])


def test_a_database_of_some_other_kind_stays(folder):
    folder.mkdir(mode=0o700)
    change(folder, "CREATE TABLE features (mine)")
    before = (folder / "features.sqlite").read_bytes()
    assert_not_used(FeatureCache(folder), "another schema")
    assert (folder / "features.sqlite").read_bytes() == before


# Folders


def test_clearing_removes_the_database_and_no_other_files(filled):
    mine = {"features.csv", "notes.txt"}
    for name in [*mine, "features.sqlite-journal"]:
        (filled / name).touch()
    cache = FeatureCache(filled)
    cache.clear()
    assert names(filled) == mine
    assert cache.lookup([key(0)]) == {}
    cache.clear()


def test_the_cache_of_the_user_is_cleared_where_no_folder_is_named(
    filled, tmp_path, monkeypatch
):
    other = FeatureCache(tmp_path / "other")
    other.store(make_rows([0]))
    monkeypatch.setenv("SKCNN_CACHE", str(filled))
    assert default_cache_folder() == filled
    clear_cache()
    assert (len(FeatureCache(filled)), len(other)) == (0, 1)
    clear_cache(tmp_path / "other")
    assert len(other) == 0


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "~/.cache/skcnn"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/skcnn"),
        ("linux", {"SKCNN_CACHE": "~/x", "XDG_CACHE_HOME": "/xdg"}, "~/x"),
        ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "~/Library/Caches/skcnn"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/skcnn"),
        ("win32", {}, "~/AppData/Local/skcnn"),
    ],
)
def test_the_folder_of_the_user_is_where_the_system_keeps_caches(
    platform, environment, expected, monkeypatch
):
    for name in ("SKCNN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache.sys, "platform", platform)
    assert default_cache_folder() == Path(expected).expanduser()


@pytest.mark.parametrize("memory", [None, False, np.False_, 3])
def test_what_names_no_folder_is_not_cleared(memory, filled, monkeypatch):
    monkeypatch.setenv("SKCNN_CACHE", str(filled))
    with pytest.raises(TypeError, match=f"memory={memory!r}, expected the path"):
        clear_cache(memory)
    assert len(FeatureCache(filled)) == 100
    clear_cache(np.True_)
    assert len(FeatureCache(filled)) == 0


@pytest.mark.parametrize("memory", ["", "a\0b", "~no_such_user_here/cache"])
def test_what_is_the_path_of_no_folder_is_an_error(memory):
    with pytest.raises(ValueError, match=r"not a valid path|home folder of the"):
        FeatureCache(memory)


def test_without_a_home_folder_the_user_is_asked_for_another(monkeypatch):
    def expanduser(self):
        raise RuntimeError("Could not determine home directory.")

    for name in ("SKCNN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", expanduser)
    with pytest.raises(ValueError, match="environment variable SKCNN_CACHE"):
        default_cache_folder()
