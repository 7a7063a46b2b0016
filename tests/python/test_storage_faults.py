"""Storage under attack: a program that is killed or fails at each of its system calls, damaged files, locks."""

import functools
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

h5py = pytest.importorskip("h5py")
np = pytest.importorskip("numpy")

PROBE = Path(os.environ["CHORALE_BIN"]) / "storage_probe"
RAM = Path("/dev/shm")  # thousands of fsyncs: what is tested is their order, not the disk
GROUPS = 2


@pytest.fixture
def place(tmp_path):
    """An empty directory, in memory where there is such a file system."""
    if not (RAM.is_dir() and os.access(RAM, os.W_OK)):
        yield tmp_path
        return
    path = Path(tempfile.mkdtemp(prefix="chorale_storage_", dir=RAM))
    yield path
    shutil.rmtree(path)


def probe(*arguments, **faults):
    """Runs the probe with CHORALE_FAULT_<NAME>=value for each of `faults`."""
    environment = os.environ | {f"CHORALE_FAULT_{name.upper()}": str(value) for name, value in faults.items()}
    return subprocess.run([PROBE, *map(str, arguments)], capture_output=True, text=True, timeout=60, env=environment)


def check(run):
    done = probe("check", run)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def committed(done):
    return [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("committed ")]


def states(done):
    """What a `save` found at its start and left at its end."""
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@functools.cache
def calls_of(*steps):
    """The system calls of a whole `save`: [(operation, path inside the run)]."""
    with tempfile.TemporaryDirectory() as place:
        done = probe("save", f"{place}/run", *steps, log=f"{place}/calls")
        assert done.returncode == 0, done.stderr
        lines = [line.split(" ", 2) for line in Path(place, "calls").read_text().splitlines()]
        assert [int(line[0]) for line in lines] == list(range(1, len(lines) + 1))
        return [(operation, os.path.relpath(path, f"{place}/run")) for _, operation, path in lines]


def verify_without_our_code(directory):
    """Manifest, sizes and digests by Python, every number by h5py."""
    step = int(directory.name.removeprefix("step_"))
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["step"] == step and len(manifest["files"]) == GROUPS
    for group, (name, entry) in enumerate(sorted(manifest["files"].items())):
        content = (directory / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
        with h5py.File(directory / name) as file:
            assert (file.attrs["format"], file.attrs["format_version"]) == ("chorale-checkpoint", 1)
            assert file.attrs["step"] == step + group
            for member in ("003", "1000"):
                values = file["members"][member]
                order = [values["adapter"][factor][:].ravel() for factor in values["optimizer"].attrs["order"]]
                numbers = np.concatenate([*order, *(values["optimizer"][f"{n}_moment"][:] for n in ("first", "second"))])
                start = 0 if member == "003" else len(numbers)
                expected = (step + group) * 1000 + 0.5 * np.arange(start + 1, start + len(numbers) + 1)
                assert np.array_equal(numbers, expected)


def goes_on(run, stopped):
    """What holds after the probe was stopped anywhere: the newest valid checkpoint is the last one it committed, or the
    one it was about to; the next run finds it, saves another, the log fits, and nothing unfinished stays. Returns the
    step of that newest checkpoint (0: there was none)."""
    last = max([0, *committed(stopped)])
    steps = [int(path.name.removeprefix("step_")) for path in run.glob("checkpoints/step_????????")]
    step = max([0, *steps])
    assert last <= step <= last + 1
    if step:
        verify_without_our_code(run / f"checkpoints/step_{step:08}")
    done = probe("save", run, step + 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert states(done) == [{"step": step or -1, "equal": True, "problems": []},
                            {"step": step + 1, "equal": True, "problems": []}]
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["member"]) for line in lines] == [
        (s, member) for s in range(1, step + 2) for member in (3, 1000)]
    names = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    kept = [s for s in (step, step + 1) if s > 0]
    files = [f"checkpoints/step_{s:08}/{name}" for s in kept for name in ("group_000.h5", "group_001.h5", "manifest.json")]
    assert names == sorted([".lock", "recipe.yaml", "log.jsonl", "checkpoints/LATEST", *files])
    assert sorted(os.listdir(run / "checkpoints")) == ["LATEST", *(f"step_{s:08}" for s in kept)]
    assert (run / "checkpoints/LATEST").read_text() == f"step_{step + 1:08}\n"
    assert (run / ".lock").read_text() == ""
    return step


def test_every_change_to_files_passes_a_fault_point(place):
    """strace would be the judge; here: the operations a whole save must consist of, in their order."""
    calls = calls_of(1, 2, 3)
    operations = [operation for operation, _ in calls]
    assert {"mkdir", "open", "write", "fsync", "rename", "unlink", "rmdir", "flock", "truncate"} == set(operations)
    assert operations.count("mkdir") == 1 + 1 + 3 and operations.count("rmdir") == 1  # run, checkpoints, step_*.tmp
    # Of one commit: every file synced before its rename, the directory after, all before the directory's own rename.
    rename = next(i for i, call in enumerate(calls) if call == ("rename", "checkpoints/step_00000002"))
    before = calls[:rename]
    for name in ("group_000.h5", "group_001.h5", "manifest.json"):
        path = f"checkpoints/step_00000002.tmp/{name}"
        own = next(i for i, call in enumerate(before) if call == ("rename", path))
        (written,) = [i for i, (operation, p) in enumerate(before) if operation == "fsync" and p.startswith(path + ".")]
        assert written < own and ("fsync", "checkpoints/step_00000002.tmp") in before[own:]
    assert calls[rename + 1] == ("fsync", "checkpoints")
    latest = [i for i, call in enumerate(calls) if call == ("rename", "checkpoints/LATEST")]
    assert latest[1] > rename + 1 and calls[latest[1] + 1] == ("fsync", "checkpoints")
    # The log is on the disk before the checkpoint that counts on it is begun.
    assert ("fsync", "log.jsonl") in calls[latest[0]:rename]


def test_killed_at_every_call(place):
    newest = []
    for index, call in enumerate(calls_of(1, 2, 3), start=1):
        run = place / f"run_{index}"
        done = probe("save", run, 1, 2, 3, at=index)
        assert done.returncode == -signal.SIGKILL, call
        newest.append(goes_on(run, done))
        shutil.rmtree(run, ignore_errors=True)
    assert newest == sorted(newest) and set(newest) == {0, 1, 2, 3}


def test_killed_while_one_step_is_saved_again(place):
    """A replaced checkpoint is there before and after, and in between."""
    first = len(calls_of(1, 2))
    calls = calls_of(1, 2, 2)
    assert "exchange" in [operation for operation, _ in calls[first - 1:]]
    for index in range(first, len(calls) + 1):
        run = place / f"run_{index}"
        done = probe("save", run, 1, 2, 2, at=index)
        assert done.returncode == -signal.SIGKILL and max(committed(done)) == 2, calls[index - 1]
        assert goes_on(run, done) == 2


def test_a_file_system_that_cannot_exchange_names(place):
    run = place / "run"
    done = probe("save", run, 1, 2, 2, at=1, errno="EINVAL", only="exchange")
    assert (done.returncode, done.stderr) == (0, "") and committed(done) == [1, 2, 2]
    assert goes_on(run, done) == 2


@pytest.mark.parametrize("error, text, every", [("ENOSPC", "No space left on device", 1),
                                                ("EIO", "Input/output error", 5), ("EDQUOT", "Disk quota exceeded", 5)])
def test_failing_from_every_call_on(place, error, text, every):
    newest = []
    calls = calls_of(1, 2, 3)
    for index in range(1, len(calls) + 1, every):
        run = place / f"run_{index}"
        done = probe("save", run, 1, 2, 3, at=index, errno=error)
        if committed(done) == [1, 2, 3]:  # what is left is deleting, or the lock's text: no reason to fail
            assert done.returncode == 0 and all(line.startswith("warning: ") for line in done.stderr.splitlines())
        else:
            assert done.returncode == 5, calls[index - 1]
            assert text in done.stderr and str(run) in done.stderr
            assert len([line for line in done.stderr.splitlines() if not line.startswith("warning: ")]) == 1
        newest.append(goes_on(run, done))
    assert newest == sorted(newest) and set(newest) == {0, 1, 2, 3}


def test_what_cannot_be_deleted_is_a_warning_and_goes_the_next_time(place):
    run = place / "run"
    done = probe("save", run, 1, 2, 3, at=1, errno="EACCES", only="unlink")
    assert done.returncode == 0 and committed(done) == [1, 2, 3]
    assert "step_00000001.purged.tmp" in done.stderr and "Permission denied" in done.stderr
    assert goes_on(run, done) == 3


def meaning(manifest):
    try:
        content = json.loads(manifest)
        return [content[key] for key in ("format", "format_version", "step", "files")]
    except (ValueError, KeyError, TypeError):
        return None


def flipped(content, position):
    return content[:position] + bytes([content[position] ^ 0x21]) + content[position + 1:]


@pytest.mark.parametrize("name", ["group_000.h5", "group_001.h5", "manifest.json"])
def test_damage_anywhere_in_any_file_is_found(place, name):
    run = place / "run"
    assert probe("save", run, 1, 2).returncode == 0
    path = run / "checkpoints/step_00000002" / name
    content = path.read_bytes()
    size = len(content)
    positions = sorted({0, 1, 7, 8, size // 2, size - 70, size - 1, *range(0, size, max(1, size // 40))})
    damages = {f"byte {p} flipped": flipped(content, p) for p in positions}
    damages |= {f"cut to {p} bytes": content[:p] for p in positions}
    damages["longer"] = content + b"\0"
    damages["of the other step"] = (run / "checkpoints/step_00000001" / name).read_bytes()
    damages["of the other group"] = (path.parent / "group_001.h5" if name != "group_001.h5"
                                     else path.parent / "group_000.h5").read_bytes()
    harmless = 0
    for what, damaged in damages.items():
        path.write_bytes(damaged)
        state = check(run)
        assert state["equal"], what
        if name == "manifest.json" and meaning(damaged) == meaning(content):
            harmless += 1  # the name of the program, say
            assert state["step"] == 2, what
            continue
        assert state["step"] == 1, what
        assert any(str(path.parent) in problem for problem in state["problems"]), what
        if name != "manifest.json":
            assert str(path) in state["problems"][0], what
    assert harmless < len(damages) / 4
    path.unlink()
    state = check(run)
    assert state["step"] == 1 and str(path) in state["problems"][0] and "missing" in state["problems"][0]
    # The run goes on from the older one; the damaged one is set aside, not lost.
    path.write_bytes(content[: size // 2])
    assert probe("save", run, 2).returncode == 0
    assert check(run) == {"step": 2, "equal": True, "problems": []}
    assert (run / "checkpoints/step_00000002.damaged" / name).stat().st_size == size // 2


def test_every_file_explains_itself_to_h5py(place):
    assert probe("save", place / "run", 1, 2).returncode == 0
    files = sorted((place / "run/checkpoints").rglob("*.h5"))
    assert len(files) == 2 * GROUPS
    for path in files:
        with h5py.File(path) as file:
            assert {"format", "format_version", "created_by", "recipe", "placement", "base_fingerprint", "step",
                    "meaning"} <= set(file.attrs)
            assert json.loads(file.attrs["placement"]) == {"members": 2, "ranks": 1}
            assert "best" in file["members/003/optimizer"] and "continued" not in file["members/003/optimizer"]
            assert "continued" in file["members/1000/optimizer"] and "best" not in file["members/1000/optimizer"]
            progress = file["members/003/progress"].attrs
            assert progress["tokens"] > 0 and progress["interval_loss"] == 1.25
            assert all(name in progress["meaning"] for name in progress if name != "meaning")
            silent = []
            file.visititems(lambda name, thing: silent.append(name) if isinstance(thing, h5py.Dataset)
                            and not ({"meaning", "axes"} <= set(thing.attrs) and thing.fletcher32) else None)
            assert silent == []


def test_a_thousand_saves_grow_nothing(place):
    done = probe("cycles", place / "run", 1000)
    assert (done.returncode, done.stderr) == (0, "")
    grown = json.loads(done.stdout)
    assert grown["descriptors"][0] == grown["descriptors"][1]
    assert grown["kibibytes"][1] - grown["kibibytes"][0] < 2048
    assert sorted(os.listdir(place / "run/checkpoints")) == ["LATEST", "step_00000999", "step_00001000"]
    assert len(list((place / "run").rglob("*"))) == 1 + 1 + 1 + 2 * (1 + GROUPS + 1)


class Holder:
    """A process that holds the lock of a run; ends with the block."""

    def __init__(self, run, *arguments, **faults):
        environment = os.environ | {f"CHORALE_FAULT_{name.upper()}": str(value) for name, value in faults.items()}
        self.process = subprocess.Popen([PROBE, "hold", str(run), *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=environment)
        self.words = self.process.stdout.readline().split()
        assert self.words[-1] == "held"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


NO_LOCKS = {"at": 1, "errno": "ENOLCK", "only": "flock"}


@pytest.mark.parametrize("faults", [{}, NO_LOCKS], ids=["locks", "no locks"])
def test_a_second_run_is_refused_until_the_first_is_gone(place, faults):
    run = place / "run"
    with Holder(run, **faults) as holder:
        before = (run / ".lock").read_bytes()
        for _ in range(2):
            done = probe("save", run, 1, **faults)
            assert (done.returncode, done.stdout) == (2, "")
            assert f"process {holder.process.pid} " in done.stderr and str(run) in done.stderr
            assert socket.gethostname() in done.stderr
        assert sorted(os.listdir(run)) == [".lock"] and (run / ".lock").read_bytes() == before
        holder.process.kill()  # SIGKILL
        holder.process.wait()
        assert f"process {holder.process.pid}," in (run / ".lock").read_text()
        done = probe("save", run, 1, **faults)
        assert (done.returncode, done.stderr) == (0, "")
    assert (run / ".lock").read_text() == ""


def test_an_orderly_end_frees_the_lock(place):
    with Holder(place / "run") as holder:
        holder.process.communicate()
        assert holder.process.returncode == 0 and (place / "run/.lock").read_text() == ""


def test_programs_started_by_a_run_do_not_inherit_its_lock(place):
    run = place / "run"
    with Holder(run, "child") as holder:
        child = int(holder.words[0])
        try:
            holder.process.kill()
            holder.process.wait()
            os.kill(child, 0)  # it lives
            assert probe("save", run, 1).returncode == 0
        finally:
            os.kill(child, signal.SIGKILL)


def test_where_there_are_no_locks_another_hosts_text_needs_a_person(place):
    run = place / "run"
    assert probe("save", run, 1).returncode == 0
    for text in ("host elsewhere, process 4, since 2026-01-02T03:04:05Z\n", "host else"):
        (run / ".lock").write_text(text)
        done = probe("save", run, 2, **NO_LOCKS)
        assert done.returncode == 2 and f"delete {run}/.lock" in done.stderr
        assert (run / ".lock").read_text() == text
    (run / ".lock").unlink()
    assert probe("save", run, 2, **NO_LOCKS).returncode == 0
    # With locks it is the kernel's word that counts, and the text is only told.
    (run / ".lock").write_text("host elsewhere, process 4, since 2026-01-02T03:04:05Z\n")
    done = probe("save", run, 3)
    assert done.returncode == 0 and "process 4 on host elsewhere" in done.stderr
