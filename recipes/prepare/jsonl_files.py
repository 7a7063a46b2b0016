"""What the preparation scripts share: reading with file:line in every complaint, writing JSON lines by rename."""

import contextlib
import json
import os
import sys
from pathlib import Path


class BadInput(Exception):
    """A file or line is not what the script expects. The message says what, where and what to do next."""


def read_lines(path):
    """Yields (line number, line without its end) of a UTF-8 file, numbering from 1."""
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    yield number, raw.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise BadInput(f"{path}:{number}: not valid UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; check --input") from None


def write_jsonl(path, records):
    """Writes one object a line. A reader sees the old file or the whole new one, never a part."""
    path = Path(path)
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "w", encoding="utf-8", newline="\n") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise BadInput(f"{path}: cannot be written ({error.strerror}); check --output and the free space") from None
    say(f"{path}: {len(records)} records")


def multiple_choice(identifier, question, choices, answer, where):
    """The common form of a question. `answer` is the index of the right choice, None where it is not known."""
    if not question:
        raise BadInput(f"{where}: the question is empty; mend or remove the line")
    for position, choice in enumerate(choices):
        if not choice:
            raise BadInput(f"{where}: choice {position} is empty; mend or remove the line")
    record = {"id": identifier, "question": question, "choices": choices}
    if answer is not None:
        record["answer"] = answer
    return record


def say(message):
    print(message, file=sys.stderr)


def run(main):
    """Calls main() and turns BadInput into one line on standard error and exit code 3, as the program itself does."""
    try:
        main()
    except BadInput as error:
        say(f"error: {error}")
        sys.exit(3)
