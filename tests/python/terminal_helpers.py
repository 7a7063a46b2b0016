"""A terminal of a given width, and what a person would see on it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import unicodedata

from e2e_helpers import BIN
from runs_helpers import environment


def set_columns(descriptor, columns):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def on_terminal(command, cwd, columns=80, streams=("stderr",), after=None, seconds=100, **variables):
    """Runs `command` with `streams` on a terminal. `after`: (a text to wait for, the width that follows it). Returns
    (exit code, what the terminal got, what went to the pipe of standard output)."""
    leader, follower = pty.openpty()
    set_columns(follower, columns)
    process = subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.DEVNULL,
        **{name: follower if name in streams else subprocess.PIPE for name in ("stdout", "stderr")},
        env=environment(**{"TERM": "xterm", "NO_COLOR": "", **variables}),
    )
    os.close(follower)
    seen, end = b"", time.monotonic() + seconds
    while time.monotonic() < end and select.select([leader], [], [], max(0, end - time.monotonic()))[0]:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        seen += part
        if after and after[0].encode() in seen:
            set_columns(leader, after[1])
            after = None
    os.close(leader)
    if time.monotonic() >= end:
        process.kill()
    output = (process.stdout or process.stderr).read().decode() if len(streams) < 2 else ""
    return process.wait(timeout=20), seen.decode(), output


def on_a_terminal_train(name, directory, *arguments, **options):
    return on_terminal([str(BIN), "train", f"{name}.yaml", *arguments], directory, **options)


def width(line):
    """Columns a terminal takes for a line, colour codes taking none."""
    line = re.sub("\x1b\\[[0-9;]*m", "", line)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def drawn(stream):
    """Everything that was drawn as one line: between carriage returns and line feeds, without the codes that erase."""
    return [re.sub("\x1b\\[[0-9]*[AJK]", "", part) for part in re.split("[\r\n]+", stream)]


class Screen:
    """Enough of a terminal for a status line: text, \\r, \\n, erase to the end of the line or screen, cursor up. A line
    longer than the width goes on in the next row, as it does when the window becomes narrower."""

    def __init__(self, columns):
        self.columns, self.rows, self.row, self.column = columns, [""], 0, 0

    def feed(self, stream):
        for token in re.findall("\x1b\\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", stream):
            if token == "\r":
                self.column = 0
            elif token == "\n":
                self.row += 1
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif token.endswith("K"):
                self.rows[self.row] = self.rows[self.row][:self.column]
            elif token.endswith("J"):
                self.rows[self.row:] = [self.rows[self.row][:self.column]]
            elif token.endswith("A"):
                self.row -= int(token[2:-1])
            elif not token.startswith("\x1b"):
                self.put(token)

    def put(self, text):
        for character in text:
            if self.column == self.columns:
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[:self.column] + character + row[self.column + 1:]
            self.column += 1

    def resize(self, columns):
        """The last line is broken anew, the cursor at its end; lines before it stay for simplicity's sake."""
        line = self.rows.pop()
        self.columns, self.column = columns, 0
        self.rows.append("")
        self.row = len(self.rows) - 1
        self.put(line)

    def lines(self):
        return [row.rstrip() for row in self.rows]
