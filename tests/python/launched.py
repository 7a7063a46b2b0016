"""Commands under mpirun that must end: when one does not, who hangs is told, the ranks or the launcher.

Debian 12's mpirun may itself hang or crash while it ends, after an MPI_Abort, when all ranks are gone: in libpmix 4.2.2
PMIx_server_finalize() waits for its progress thread, which waits for a mutex that no other thread is seen to hold, or it
goes through a null pointer. Seen once in some thousand starts, and with mpirun's threads slowed at random a few times in a
thousand. That is no fault of the command, so a command without effects may be started again; whatever still runs is written
down before it is ended.
"""

import pathlib
import shutil
import signal
import subprocess
import warnings


def below(process):
    """Descendants of a process that still run, without those that only wait to be collected."""
    found = []
    for task in pathlib.Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:  # gone meanwhile
            continue
        for child in children:
            found += [child] * (state(child) not in "ZX") + below(child)
    return found


def state(process):
    """The letter of /proc/PID/stat (man proc); X: gone."""
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "X"


def story(process):
    """What a process is doing: its command, where each thread waits in the kernel, and its stacks where gdb is there."""
    lines = []
    try:
        words = pathlib.Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
        lines.append(f"process {process} ({state(process)}): {' '.join(words)}")
        for task in sorted(pathlib.Path(f"/proc/{process}/task").iterdir()):
            lines.append(f"  thread {task.name} ({(task / 'comm').read_text().strip()}): {(task / 'wchan').read_text()}")
    except OSError:
        lines.append(f"process {process} ended meanwhile")
    if gdb := shutil.which("gdb"):
        try:
            lines.append(subprocess.run([gdb, "-p", str(process), "-batch", "-ex", "thread apply all backtrace"], text=True,
                                        capture_output=True, stdin=subprocess.DEVNULL, timeout=60).stdout)
        except subprocess.TimeoutExpired:
            lines.append("  gdb found no stacks within 60 s")
    return "\n".join(lines)


def launched(command, timeout, again=0, **options):
    """subprocess.run() of a command under a launcher, with its output captured as text.

    `timeout`: seconds, more than the launcher's own limit. `again`: how often the command may be started once more where
    the launcher hangs and no rank runs any more, or crashes in its own end. Raises AssertionError with what all processes do
    when time is up.
    """
    job = subprocess.Popen([*map(str, command)], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, **options)
    try:
        output, errors = job.communicate(timeout=timeout)
        if again > 0 and job.returncode == -signal.SIGSEGV and "PMIx_server_finalize" in errors:
            warnings.warn(f"the launcher crashed and is started again: {errors}", stacklevel=2)
            return launched(command, timeout, again - 1, **options)
        return subprocess.CompletedProcess(job.args, job.returncode, output, errors)
    except subprocess.TimeoutExpired:
        ranks = below(job.pid)
        told = "\n".join(map(story, [job.pid, *ranks]))
        # A stopped process dies of this signal, too.
        subprocess.run(["kill", "-KILL", str(job.pid), *map(str, ranks)], stderr=subprocess.DEVNULL)
        output, errors = job.communicate()
        what = f"no end after {timeout} s; {len(ranks) or 'no'} process(es) run below the launcher\n{told}\n{output}{errors}"
        if ranks or again == 0:
            raise AssertionError(what) from None
        warnings.warn(f"the launcher hung and is started again: {what}", stacklevel=2)
        return launched(command, timeout, again - 1, **options)
    except BaseException:
        job.kill()
        raise
