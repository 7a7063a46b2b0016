#!/usr/bin/env python3
"""WordNet 3.0 as Debian ships it -> data/wordnet/{train,validation,test,verbs}.jsonl.

A record is one noun synset: its gloss up to the first example, its first lemma and its category, the lexicographer file
it stands in (animal, artifact, ... 25 in all; "Tops", the handful of synsets above them, is left out). verbs.jsonl holds
verb glosses in the same form without a category: text from another distribution.

The split depends on nothing but a synset's own offset, so asking for other numbers of records never moves one from one
file to another: with h = sha1("n" + offset) in hexadecimal, sha1("split" + h) mod 100 below 70 is training, below 80
validation, the rest test. Each file takes its records in the order of h.
"""

import argparse
import hashlib
from pathlib import Path

from jsonl_files import BadInput, read_lines, run, write_jsonl

# The lexicographer files 04..28 of WordNet 3.0 (its page lexnames(5WN)), without "noun."; 03 is Tops.
NOUN_CATEGORIES = (
    "act animal artifact attribute body cognition communication event feeling food group location motive object person "
    "phenomenon plant possession process quantity relation shape state substance time"
).split()
FIRST_NOUN_FILE = 4
TOPS = 3


def sha1(text):
    return hashlib.sha1(text.encode("ascii")).hexdigest()


def read_synsets(path):
    """Yields (offset, lexicographer file number, first lemma, gloss) of every synset of a WordNet data file."""
    for number, line in read_lines(path):
        if line.startswith(" ") or not line:
            continue  # the licence at the top
        head, separator, gloss = line.partition(" | ")
        fields = head.split()
        if not separator or len(fields) < 5 or not (fields[0].isdigit() and fields[1].isdigit()):
            raise BadInput(f"{path}:{number}: not a line of a WordNet data file; use the files of the package wordnet-base")
        definition = gloss.strip().split('; "')[0].strip()
        yield fields[0], int(fields[1]), fields[4].replace("_", " "), definition


def nouns(path):
    """(h, record) of all categorised nouns, in the order of h."""
    items = []
    for offset, file_number, lemma, gloss in read_synsets(path):
        if file_number == TOPS:
            continue
        index = file_number - FIRST_NOUN_FILE
        if not 0 <= index < len(NOUN_CATEGORIES):
            raise BadInput(f"{path}: synset {offset} is in lexicographer file {file_number}, which holds no nouns; is this data.noun?")
        record = {"id": f"n{offset}", "gloss": gloss, "lemma": lemma, "category": NOUN_CATEGORIES[index]}
        items.append((sha1("n" + offset), record))
    return sorted(items, key=lambda item: item[0])


def verbs(path):
    items = [
        (sha1("v" + offset), {"id": f"v{offset}", "gloss": gloss, "lemma": lemma})
        for offset, _, lemma, gloss in read_synsets(path)
    ]
    return [record for _, record in sorted(items, key=lambda item: item[0])]


def split_name(h):
    percent = int(sha1("split" + h), 16) % 100
    return "train" if percent < 70 else "validation" if percent < 80 else "test"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python3 recipes/prepare/wordnet.py --train 1000 --validation 200 --test 1000",
    )
    parser.add_argument("--input", default="/usr/share/wordnet", help="folder with data.noun and data.verb (default: %(default)s)")
    parser.add_argument("--output", default="data/wordnet", help="folder to write (default: %(default)s)")
    parser.add_argument("--train", type=int, default=300, help="training nouns (default: %(default)s)")
    parser.add_argument("--validation", type=int, default=100, help="validation nouns (default: %(default)s)")
    parser.add_argument("--test", type=int, default=500, help="test nouns (default: %(default)s)")
    parser.add_argument("--verbs", type=int, default=200, help="verbs (default: %(default)s)")
    options = parser.parse_args()

    source, target = Path(options.input), Path(options.output)
    parts = {"train": [], "validation": [], "test": []}
    for h, record in nouns(source / "data.noun"):
        parts[split_name(h)].append(record)
    parts["verbs"] = verbs(source / "data.verb")
    for name, records in parts.items():
        wanted = getattr(options, name)
        if not 1 <= wanted <= len(records):
            raise BadInput(f"{source} has {len(records)} records for {name}; ask for 1 to {len(records)} with --{name}, not {wanted}")
        parts[name] = records[:wanted]
    for name, records in parts.items():
        write_jsonl(target / f"{name}.jsonl", records)


if __name__ == "__main__":
    run(main)
