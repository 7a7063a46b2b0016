"""Where things are, and the program's scores of texts and token ids."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(os.environ["CHORALE_SOURCE"])
BIN = Path(os.environ["CHORALE_BIN"])
MODEL = SOURCE / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"
SHARED = SOURCE.parent / "shared/data"


def score_lines(base, records, *arguments):
    """`chorale score` on records with `text` or `ids`, all in one process: its JSON lines as a list."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as data:
        data.writelines(json.dumps(record) + "\n" for record in records)
        data.flush()
        command = [BIN / "chorale", "score", base, "--data", data.name, "--device", "cpu", "--no-progress", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def score(base, records, *arguments):
    """One line per record."""
    results = score_lines(base, records, *arguments)
    assert len(results) == len(records)
    return results
