#!/usr/bin/env python3
"""OpenBookQA's released TSV (main) -> JSON lines: id, question, choices (4), answer (index).

The release has one row whose options cannot be told apart (12-1145 marks two of them (D)); such rows are left out, named
and counted.
"""

import argparse
import csv
import re

from jsonl_files import BadInput, multiple_choice, read_lines, run, say, write_jsonl

COLUMNS = ["ID", "Question Stem", "Choices", "Complete Question", "Answer Key"]
LETTERS = "ABCD"
MARK = re.compile(r"(?:^|\s)\(([A-Z])\)\s+")
# One row of the release is bad; many bad rows mean another kind of file.
MOST_SKIPPED = 0.01


def parse_choices(text):
    """The four options of "(A) ... (B) ... (C) ... (D) ...", or None when the marks are not A, B, C, D in this order."""
    pieces = MARK.split(text)
    if pieces[0].strip() or pieces[1::2] != list(LETTERS):
        return None
    choices = [piece.strip() for piece in pieces[2::2]]
    return choices if all(choices) else None


def read_rows(path):
    lines = read_lines(path)
    header = next(lines, (1, ""))[1].split("\t")
    if header[: len(COLUMNS)] != COLUMNS:
        raise BadInput(f"{path}:1: the header is not {', '.join(COLUMNS)}; use the .tsv files of OpenBookQA's folder Main")
    for number, line in lines:
        if not line:
            continue
        row = next(csv.reader([line], delimiter="\t", quoting=csv.QUOTE_NONE))
        if len(row) < len(COLUMNS):
            raise BadInput(f"{path}:{number}: {len(row)} columns where the header has {len(header)}; is the file complete?")
        yield number, dict(zip(COLUMNS, row))


def convert(path):
    records, skipped = [], []
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        choices = parse_choices(row["Choices"])
        answer = LETTERS.find(row["Answer Key"]) if row["Answer Key"] else -1
        if choices is None or answer < 0:
            skipped.append(f"{where}: {row['ID']}: " + ("options are not marked (A) to (D)" if choices is None else
                                                         f"answer '{row['Answer Key']}' is not a letter from A to D"))
            continue
        records.append(multiple_choice(row["ID"], row["Question Stem"].strip(), choices, answer, where))
    if len(skipped) > max(1, MOST_SKIPPED * (len(records) + len(skipped))) or not records:
        reason = skipped[0] if skipped else f"{path}: no rows"
        raise BadInput(f"{reason} ({len(skipped)} bad rows in all, {len(records)} good); is this OpenBookQA?")
    for reason in skipped:
        say(f"left out {reason}")
    if skipped:
        say(f"{path}: {len(skipped)} rows left out")
    return records


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python3 recipes/prepare/openbookqa.py --input Main/train.tsv --output data/openbookqa/train.jsonl",
    )
    parser.add_argument("--input", required=True, help="train.tsv, dev.tsv or test.tsv of the release")
    parser.add_argument("--output", required=True, help="JSON lines file to write")
    options = parser.parse_args()
    write_jsonl(options.output, convert(options.input))


if __name__ == "__main__":
    run(main)
