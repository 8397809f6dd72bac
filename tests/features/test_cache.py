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
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import skcnn
from skcnn.features import FeatureCache, cache, clear_cache, default_cache_folder
from skcnn.features.claims import CLAIM_LIFETIME

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals and modes")

PACKAGE = Path(skcnn.__file__).parent
# Processes start in a tenth of a second where they do not import torch.
PRELUDE = f"""
import os, random, resource, sys, threading, time, types, warnings
for name, folder in [("skcnn", {str(PACKAGE)!r}),
                     ("skcnn.features", {str(PACKAGE / "features")!r})]:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
import numpy as np
from skcnn.features.cache import FeatureCache

warnings.simplefilter("error")

def key(i):
    return b"%020d" % i

def row(i, n=512):
    return np.full(n, i, dtype="float32")

def rows(numbers):
    return {{key(i): row(i) for i in numbers}}

folder = sys.argv[1]
cache = FeatureCache(folder)
"""
OWN_FILES = {"features.sqlite", "features.lock"}
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


def output(script, folder):
    """Return what a process prints, which has to succeed."""
    process = start(script, folder)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    return printed


def key(i):
    return b"%020d" % i


def row(i, n=512):
    return np.full(n, i, dtype="float32")


def make_rows(numbers):
    return {key(i): row(i) for i in numbers}


def assert_found(features, numbers):
    """Check that features are those of the numbers, and of no others."""
    assert set(features) == {key(i) for i in numbers}
    for i in numbers:
        np.testing.assert_array_equal(features[key(i)], row(i))


def assert_right(features):
    """Check those features that there are."""
    assert_found(features, [int(k) for k in features])


def change(folder, statement, *parameters):
    """Change the database from outside."""
    with contextlib.closing(sqlite3.connect(folder / "features.sqlite")) as db, db:
        db.execute(statement, parameters)


def names(folder):
    return {path.name for path in folder.iterdir()}


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
    assert {int(k): v[0] for k, v in found.items()} == {i: i for i in range(0, 2500, 2)}
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
    cache.wait([key(0)])
    cache.clear()
    with cache.claims():
        pass
    assert not folder.exists()


def test_only_the_owner_can_read(folder):
    old = os.umask(0)
    try:
        cache = FeatureCache(folder)
        with cache.claims() as claims:
            claims.take([key(0)], 1)
            cache.store(make_rows([0]))
            modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes == {0o600}


def test_a_pickled_cache_is_the_same_cache(filled):
    cache = pickle.loads(pickle.dumps(FeatureCache(filled, bytes_limit=10**7)))
    assert_found(cache.lookup([key(3)]), [3])
    assert cache.bytes_limit == 10**7


def test_a_folder_can_be_removed_at_any_time(filled):
    cache = FeatureCache(filled)
    with cache.claims() as claims:
        claims.take([key(200)], 1)
        shutil.rmtree(filled)
        assert claims.take([key(200), key(201)], 2) == [key(200), key(201)]
        with cache.claims() as others:
            assert others.take([key(200), key(201)], 2) == []
        cache.store(make_rows([200]))
    assert_found(cache.lookup([key(3), key(200)]), [200])
    assert names(filled) == OWN_FILES


# Size


def age(folder, seconds):
    change(folder, "UPDATE uses SET time = time - ?", seconds)


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


def test_a_limit_below_a_single_row_keeps_nothing_and_ends(folder):
    cache = FeatureCache(folder, 1000)
    for i in range(5):
        with cache.claims() as claims:
            assert claims.take([key(i)], 1) == [key(i)]
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
    cache.lookup([key(3)])
    assert file.read_bytes() != before


# Claims


def test_a_key_is_claimed_by_one_worker(filled):
    cache = FeatureCache(filled)
    keys = [key(i) for i in range(95, 110)]
    with cache.claims() as one, FeatureCache(filled).claims() as two:
        assert one.take(keys, 4) == keys[5:9]
        assert two.take(keys, 4) == keys[9:13]
        assert one.take(keys, 99) == keys[5:9] + keys[13:]
        assert two.take(keys[5:9], 4) == []


def test_claims_end_with_the_statement_also_when_it_fails(filled):
    cache = FeatureCache(filled)
    with cache.claims() as other:
        with contextlib.suppress(KeyError), cache.claims() as claims:
            assert claims.take([key(200), key(201)], 2) == [key(200), key(201)]
            raise KeyError
        assert other.take([key(200), key(201)], 2) == [key(200), key(201)]
    assert names(filled) == OWN_FILES


def test_what_is_stored_cannot_be_claimed(folder):
    cache = FeatureCache(folder)
    with cache.claims() as one, cache.claims() as two:
        assert one.take([key(0), key(1)], 2) == [key(0), key(1)]
        cache.store(make_rows([0]))
        for claims in (one, two):
            assert key(0) not in claims.take([key(0), key(1)], 2)


@pytest.mark.parametrize("host", [None, "another"], ids=["hanging", "remote"])
def test_claims_without_a_sign_of_life_end_after_some_minutes(folder, host):
    cache = FeatureCache(folder)
    with cache.claims() as one, cache.claims() as two:
        one.take([key(0)], 1)
        if host is not None:  # no lock of it can be seen
            change(folder, "UPDATE workers SET host = ?", host)
            next(folder.glob("features-*.lock")).unlink()
        change(folder, "UPDATE workers SET renewed = renewed - ?", CLAIM_LIFETIME - 20)
        assert two.take([key(0)], 1) == []
        change(folder, "UPDATE workers SET renewed = renewed - 40")
        assert two.take([key(0)], 1) == [key(0)]


@pytest.mark.parametrize("ending", ["store", "release", "clear"])
def test_waiting_ends_when_a_key_is_stored_or_free(folder, ending):
    cache = FeatureCache(folder)
    with cache.claims() as claims:
        keys = claims.take([key(0), key(1)], 2)
        waiting = threading.Thread(target=FeatureCache(folder).wait, args=[keys])
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        if ending == "store":
            cache.store(make_rows([1]))
        else:
            getattr(claims if ending == "release" else cache, ending)()
        waiting.join(10)
        assert not waiting.is_alive()


COMPUTE_ALL = """
found, computed, keys = {}, [], [key(i) for i in range(200)]
random.shuffle(keys)
sys.stdin.readline()
with cache.claims() as claims:
    while missing := [k for k in keys if k not in found]:
        if mine := claims.take(missing, 8):
            time.sleep(0.002)
            computed += mine
            cache.store({k: row(int(k)) for k in mine})
            found |= {k: row(int(k)) for k in mine}
        else:
            cache.wait(missing)
            found |= cache.lookup(missing)
assert all((found[k] == int(k)).all() for k in keys)
print(*map(int, computed))
"""


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
    assert names(folder) == OWN_FILES


def test_claims_of_a_killed_process_are_free_at_once(folder):
    script = """
with cache.claims() as claims:
    print(len(claims.take([key(0), key(1)], 2)), flush=True)
    sys.stdin.read()
"""
    cache = FeatureCache(folder)
    with running(script, folder) as process, cache.claims() as claims:
        assert process.stdout.readline() == "2\n"
        assert claims.take([key(0), key(1)], 2) == []
        kill(process)
        cache.wait([key(0), key(1)])
        assert claims.take([key(0), key(1)], 2) == [key(0), key(1)]
    assert names(folder) == OWN_FILES


# Many processes

WRITE = """
print("ready", flush=True)
version = 0
while True:
    version += 1
    numbers = random.sample(range(100), 20)
    cache.store({key(i): row(i + 100 * version) for i in numbers})
"""


def test_reads_beside_two_writers_are_whole_and_right(filled):
    cache, versions = FeatureCache(filled), set()
    with running(WRITE, filled) as one, running(WRITE, filled) as two:
        assert one.stdout.readline() == two.stdout.readline() == "ready\n"
        for _ in range(200):
            found = cache.lookup(map(key, range(50, 100)))
            assert len(found) == 50
            for k, features in found.items():
                assert len(set(features.tolist())) == 1
                assert features[0] % 100 == int(k)
                versions.add(features[0] // 100)
    assert len(versions) > 3


WRITE_NEW = """
for i in range(int(sys.stdin.readline()), 10**9, 10):
    with cache.claims() as claims:
        mine = claims.take(map(key, range(i, i + 10)), 10)
        cache.store({k: row(int(k)) for k in mine})
    print(i, flush=True)
"""


def test_a_writer_that_is_killed_loses_nothing_that_it_has_stored(folder):
    cache, first, delay = FeatureCache(folder), 0, random.Random(0)
    for _ in range(6):
        process = start(WRITE_NEW, folder)
        process.stdin.write(f"{first}\n")
        process.stdin.flush()
        stored = [process.stdout.readline()]
        time.sleep(delay.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        stored += process.communicate()[0].splitlines()
        first = int(stored[-1]) + 10 if stored[-1] else first
        found = cache.lookup(map(key, range(first + 10)))
        assert_right(found)
        assert set(found) >= {key(i) for i in range(first)}
        with cache.claims() as claims:
            following = [key(i) for i in range(first, first + 10)]
            free = [k for k in following if k not in found]
            assert claims.take(following, 10) == free
        assert names(folder) == OWN_FILES
        first += 10
        cache.store(make_rows(range(first)))


FORK = """
def child(claims):
    assert len(cache.lookup(map(key, range(100)))) == 100
    assert claims.take([key(200)], 1) == []
    assert claims.take([key(300)], 1) == [key(300)]
    cache.store(rows([os.getpid() + 1000]))
    claims.release()

stop = threading.Event()
def look_up():
    while not stop.is_set():
        assert len(cache.lookup(map(key, range(100)))) == 100
        cache.store(rows([1]))

threads = [threading.Thread(target=look_up) for _ in range(2)]
for thread in threads: thread.start()
with cache.claims() as claims:
    claims.take([key(200)], 1)
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(claims)
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        assert len(cache.lookup([key(pid + 1000)])) == 1
        with cache.claims() as others:
            assert others.take([key(200), key(300)], 2) == [key(300)]
    stop.set()
for thread in threads: thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_beside_busy_threads_is_a_worker_of_its_own(filled):
    output(FORK, filled)
    assert names(filled) == OWN_FILES


# Whatever goes wrong

WORK_ON = """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    before = len(cache.lookup(map(key, range(100))))
    with cache.claims() as claims:
        wanted = [key(i) for i in range(1000, 1400)]
        for i in range(0, 400, 40):
            mine = claims.take(wanted[i : i + 40], 40)
            cache.store({k: row(int(k)) for k in mine})
            with cache.claims() as others:
                others.take(wanted, 1)
            cache.wait(wanted[i : i + 1])
    after = cache.lookup(map(key, range(100)))
    assert all((after[k] == int(k)).all() for k in after)
"""
REPORT = """
print(before, len(after), *{w.category.__name__ for w in caught}, len(caught))
print(caught[0].message)
"""


def assert_worked_on(printed, complaint):
    """Check that a process found all, and warned once of what it could not store."""
    report, message = printed.splitlines()
    assert report.split() == ["100", "100", "UserWarning", "1"]
    assert "Free some space" in message
    assert complaint in message


def test_a_file_that_may_not_grow_is_still_read(filled):
    limit = """
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
"""
    printed = output(limit + WORK_ON + REPORT, filled)
    assert_worked_on(printed, "")
    assert names(filled) == OWN_FILES
    cache = FeatureCache(filled)
    assert_found(cache.lookup(map(key, range(100))), range(100))
    cache.store(make_rows(range(1000, 1400)))
    assert len(cache.lookup(map(key, range(1000, 1400)))) == 400


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
        pytest.skip("may not mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_still_read_and_written_to_when_there_is_room(small_disk):
    filler = small_disk / "filler"
    cache = FeatureCache(small_disk)
    cache.store(make_rows(range(100)))
    room = os.statvfs(small_disk)
    filler.write_bytes(bytes(room.f_bavail * room.f_bsize))
    assert_worked_on(output(WORK_ON + REPORT, small_disk), "disk is full")
    assert names(small_disk) == {*OWN_FILES, "filler"}
    filler.unlink()
    cache.store(make_rows([100]))
    assert_found(cache.lookup(map(key, range(101))), range(101))


@pytest.fixture
def read_only_folder():
    """A folder with the rows 0 to 99, that is within reach of all users."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        FeatureCache(folder).store(make_rows(range(100)))
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o700)


def test_a_folder_that_may_not_be_written_to_is_still_read(read_only_folder):
    as_nobody = """
if os.geteuid() == 0: os.setuid(65534)
"""
    printed = output(as_nobody + WORK_ON + REPORT, read_only_folder)
    assert_worked_on(printed, "Permission denied")
    assert names(read_only_folder) == OWN_FILES


def test_a_folder_that_is_a_file_is_warned_of_once(tmp_path):
    (tmp_path / "file").touch()
    cache = FeatureCache(tmp_path / "file")
    with cache.claims() as claims:
        with pytest.warns(UserWarning, match="cannot be used .* Free some space"):
            assert claims.take([key(0), key(1)], 1) == [key(0)]
        cache.store(make_rows([0]))
    assert cache.lookup([key(0)]) == {}
    assert len(cache) == 0


def test_a_database_that_is_locked_for_too_long_is_gone_without(filled, monkeypatch):
    monkeypatch.setattr("skcnn.features.database.LOCK_TIMEOUT", 0.05)
    cache = FeatureCache(filled)
    with contextlib.closing(sqlite3.connect(filled / "features.sqlite")) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.warns(UserWarning, match="locked"):
            assert cache.lookup([key(0)]) == {}
    assert_found(cache.lookup([key(0)]), [0])


@contextlib.contextmanager
def locking(folder, *statements):
    """Keep the database locked; what is given ends that before its time."""
    path = folder / "features.sqlite"
    with contextlib.closing(
        sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    ) as db:
        for statement in statements:
            db.execute(statement).fetchall()
        yield db.rollback


ALL_LOCKED = ["BEGIN EXCLUSIVE"]
READ_BY_OTHERS = ["BEGIN", "SELECT count(*) FROM uses"]


def work_on(folder):
    """Do what an estimator does for 5 batches; return the keys that it has found."""
    cache = FeatureCache(folder)
    found = cache.lookup(map(key, range(100)))
    with cache.claims() as claims:
        for i in range(200, 210, 2):
            keys = [key(i), key(i + 1)]
            assert claims.take(keys, 2) == keys
            cache.store(make_rows([i, i + 1]))
            cache.wait(keys)
    return found


@pytest.mark.parametrize(
    ("statements", "n_found"), [(ALL_LOCKED, 0), (READ_BY_OTHERS, 100)]
)
def test_a_database_that_stays_locked_is_waited_for_once(
    filled, monkeypatch, statements, n_found
):
    monkeypatch.setattr("skcnn.features.database.LOCK_TIMEOUT", 1)
    with locking(filled, *statements):
        begin = time.monotonic()
        for _ in range(2):
            with pytest.warns(UserWarning, match="locked") as caught:
                assert_found(work_on(filled), range(n_found))
            assert len(caught) == 1
        assert 1 <= time.monotonic() - begin < 10  # of a wait each time, it would be 30
    work_on(filled)
    kept = [*range(100), *range(200, 210)]
    assert_found(FeatureCache(filled).lookup(map(key, range(300))), kept)
    assert names(filled) == OWN_FILES


@pytest.mark.parametrize("reason", ["written", "a minute"])
def test_a_database_that_was_locked_is_waited_for_again(filled, monkeypatch, reason):
    cache = FeatureCache(filled)
    with locking(filled, *ALL_LOCKED), monkeypatch.context() as patch:
        patch.setattr("skcnn.features.database.LOCK_TIMEOUT", 0)
        with pytest.warns(UserWarning, match="locked"):
            cache.lookup([key(0)])
    if reason == "written":
        cache.store(make_rows([0]))
    else:
        monkeypatch.setattr("skcnn.features.database.IMPATIENCE", 0)
    with locking(filled, *ALL_LOCKED) as unlock:
        timer = threading.Timer(0.4, unlock)
        timer.start()
        assert_found(cache.lookup([key(0)]), [0])
        timer.join()


def test_who_waits_for_a_database_holds_up_no_other_thread(filled, tmp_path):
    other = FeatureCache(tmp_path / "other")
    found = {}

    def look_up():
        found.update(FeatureCache(filled).lookup([key(0)]))

    with locking(filled, *ALL_LOCKED) as unlock:
        waiting = threading.Thread(target=look_up)
        waiting.start()
        timer = threading.Timer(5, unlock)
        timer.start()
        waiting.join(0.2)
        for i in range(5):
            other.store(make_rows([i]))
        assert len(other) == 5
        assert timer.is_alive()
        timer.cancel()
        assert waiting.is_alive()
        unlock()
        waiting.join(10)
    assert_found(found, [0])


def test_keys_whose_features_could_not_be_stored_are_free(filled, monkeypatch):
    monkeypatch.setattr("skcnn.features.database.LOCK_TIMEOUT", 0.05)
    cache = FeatureCache(filled)
    with cache.claims() as claims, FeatureCache(filled).claims() as others:
        claims.take([key(200)], 1)
        with contextlib.closing(sqlite3.connect(filled / "features.sqlite")) as db:
            db.execute("BEGIN IMMEDIATE")
            with pytest.warns(UserWarning, match="locked"):
                cache.store(make_rows([200]))
        assert others.take([key(200)], 1) == [key(200)]
        assert claims.take([key(201)], 1) == [key(201)]


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
def test_a_damaged_file_gives_nothing_wrong_and_is_written_to_again(filled, damage):
    file, generator = filled / "features.sqlite", random.Random(0)
    whole = file.read_bytes()
    for _ in range(15):
        file.write_bytes(damaged(whole, damage, generator))
        cache = FeatureCache(filled)
        assert_right(cache.lookup(map(key, range(100))))
        for _ in range(3):  # some damage shows late
            found = cache.lookup(map(key, range(110)))
            assert_right(found)
            cache.store(make_rows({*range(110)} - {int(k) for k in found}))
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
        "dtype = '<f8'",
        "dtype = '|O'",
        "length = 511",
        "checksum = checksum + 1",
        "key = key || ' '",
    ],
)
def test_a_damaged_row_is_computed_again(filled, change_to):
    change(filled, f"UPDATE features SET {change_to} WHERE id = 4")
    cache = FeatureCache(filled)
    lost = set(map(key, range(100))) - set(cache.lookup(map(key, range(100))))
    assert lost == {key(3)}
    with cache.claims() as claims:
        assert claims.take(map(key, range(100)), 100) == [key(3)]
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
    with contextlib.closing(sqlite3.connect(filled / "features.sqlite")) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        sql = "CREATE TABLE uses (id INTEGER, time REAL, size INTEGER)"
        db.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'uses'", [sql])
    with pytest.warns(UserWarning, match="was damaged"):
        FeatureCache(filled).store(make_rows([3]))
    assert_found(FeatureCache(filled).lookup(map(key, range(100))), [3])


def test_a_database_of_some_other_kind_stays(folder):
    folder.mkdir()
    change(folder, "CREATE TABLE mine (x)")
    before = (folder / "features.sqlite").read_bytes()
    with pytest.warns(UserWarning, match="some other kind"):
        FeatureCache(folder).store(make_rows([0]))
    assert (folder / "features.sqlite").read_bytes() == before


# Folders


def test_clearing_removes_the_files_of_the_cache_and_no_others(filled):
    mine = ["features.csv", "features-1.lock", "notes.txt"]
    for name in mine:
        (filled / name).touch()
    (filled / "features.sqlite-journal").touch()
    (filled / f"features-{'0' * 32}.lock").touch()
    cache = FeatureCache(filled)
    cache.clear()
    assert names(filled) == set(mine)
    assert cache.lookup([key(0)]) == {}
    cache.clear()


def test_clearing_beside_a_writer_leaves_a_cache_that_works(filled):
    cache = FeatureCache(filled)
    with running(WRITE, filled) as process:
        process.stdout.readline()
        for _ in range(50):
            cache.clear()
            for k, features in cache.lookup(map(key, range(100))).items():
                assert set(features % 100) == {int(k)}
        assert process.poll() is None  # warnings would have ended it
    cache.clear()
    cache.store(make_rows(range(100)))
    assert_found(cache.lookup(map(key, range(100))), range(100))
    assert names(filled) == OWN_FILES


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
def test_what_names_no_folder_is_not_cleared(memory, tmp_path, monkeypatch):
    monkeypatch.setenv("SKCNN_CACHE", str(tmp_path))
    FeatureCache(tmp_path).store({b"a": np.ones(2, np.float32)})
    with pytest.raises(TypeError, match=f"memory={memory!r} is neither True"):
        clear_cache(memory)
    assert len(FeatureCache(tmp_path)) == 1
    clear_cache(np.True_)
    assert len(FeatureCache(tmp_path)) == 0


@pytest.mark.parametrize("memory", ["", "a\0b", "~no_such_user_here/cache"])
def test_what_is_the_path_of_no_folder_is_an_error(memory):
    with pytest.raises(ValueError, match=r"no folder|home folder that is not known"):
        FeatureCache(memory)


def test_without_a_home_folder_the_user_is_asked_for_another(monkeypatch):
    def expanduser(self):
        raise RuntimeError("Could not determine home directory.")

    for name in ("SKCNN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", expanduser)
    with pytest.raises(ValueError, match="environment variable SKCNN_CACHE"):
        default_cache_folder()
