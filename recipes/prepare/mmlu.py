#!/usr/bin/env python3
"""A folder of MMLU's released CSV files -> JSON lines: id, subject, question, choices (4), answer (index).

The files have no header: question, four options, letter. Subjects come from the file names (anatomy_test.csv: anatomy).
Records are written in the order of a hash of their id, so the first N of a file, or --limit N, are a fair mixture of all
subjects.
"""

import argparse
import csv
import hashlib
import re
from pathlib import Path

from jsonl_files import BadInput, multiple_choice, read_lines, run, say, write_jsonl

LETTERS = "ABCD"


def read_subject(path):
    subject = re.sub(r"_(test|dev|val)$", "", path.stem)
    numbered = read_lines(path)
    line_number = 0

    def lines():
        nonlocal line_number
        for line_number, line in numbered:
            yield line + "\n"

    for position, row in enumerate(csv.reader(lines(), strict=True), start=1):
        where = f"{path}:{line_number}"
        if len(row) != 6:
            raise BadInput(f"{where}: {len(row)} columns where question, A, B, C, D and letter make 6; use MMLU's released CSV files")
        if len(row[5]) != 1 or row[5] not in LETTERS:
            raise BadInput(f"{where}: answer '{row[5]}' is not a letter from A to D; mend or remove the line")
        choices = [choice.strip() for choice in row[1:5]]
        record = multiple_choice(f"{subject}-{position}", row[0].strip(), choices, LETTERS.index(row[5]), where)
        yield {"id": record["id"], "subject": subject, **record}


def convert(folder, subjects, longest):
    files = sorted(Path(folder).glob("*.csv"))
    if not files:
        raise BadInput(f"{folder}: holds no .csv files; give MMLU's folder dev, val or test")
    names = {re.sub(r"_(test|dev|val)$", "", file.stem): file for file in files}
    for subject in subjects:
        if subject not in names:
            raise BadInput(f"{folder}: no subject '{subject}'; there are: {', '.join(names)}")
    records = []
    for subject in subjects or names:
        try:
            records.extend(read_subject(names[subject]))
        except csv.Error as error:
            raise BadInput(f"{names[subject]}: not well-formed CSV ({error}); is the file complete?") from None
    if longest is not None:
        short = [record for record in records if len(record["question"]) + sum(map(len, record["choices"])) <= longest]
        say(f"{folder}: {len(records) - len(short)} of {len(records)} questions left out, longer than {longest} characters")
        records = short
    return sorted(records, key=lambda record: hashlib.sha1(record["id"].encode()).hexdigest())


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python3 recipes/prepare/mmlu.py --input mmlu/test --output data/mmlu/test.jsonl --max-characters 400",
    )
    parser.add_argument("--input", required=True, help="folder of .csv files (dev, val or test of the release)")
    parser.add_argument("--output", required=True, help="JSON lines file to write")
    parser.add_argument("--subjects", nargs="+", default=[], metavar="NAME", help="only these subjects (default: all)")
    parser.add_argument("--max-characters", type=positive, metavar="N", help="leave out longer questions, options counted in")
    parser.add_argument("--limit", type=positive, metavar="N", help="write only the first N records")
    options = parser.parse_args()
    records = convert(options.input, options.subjects, options.max_characters)
    if not records:
        raise BadInput(f"{options.input}: no question is left; raise --max-characters")
    write_jsonl(options.output, records[: options.limit])


if __name__ == "__main__":
    run(main)
