#!/usr/bin/env python3
"""CommonsenseQA's released JSON lines -> JSON lines: id, question, choices (5), answer (index).

With --choices 4 the last wrong option of each question is dropped, so that the set has as many options as OpenBookQA and
can stand beside it as a shifted set.
"""

import argparse
import json

from jsonl_files import BadInput, multiple_choice, read_lines, run, write_jsonl


def parse(line, where):
    """(id, question, option texts, index of the answer or None) of one line of the release."""
    try:
        row = json.loads(line)
        options = row["question"]["choices"]
        labels = [option["label"] for option in options]
        texts = [option["text"].strip() for option in options]
        identifier, question, key = row["id"], row["question"]["stem"].strip(), row.get("answerKey")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{where}: not a CommonsenseQA question ({type(error).__name__}: {error}); use the released .jsonl") from None
    if key is None:
        return identifier, question, texts, None
    if labels.count(key) != 1:
        raise BadInput(f"{where}: answerKey '{key}' is not one of the labels {', '.join(map(str, labels))}; mend or remove the line")
    return identifier, question, texts, labels.index(key)


def keep_choices(texts, answer, count):
    """The first `count` options, or all before the last wrong ones, so that the right one stays."""
    kept = list(range(len(texts)))
    while len(kept) > count:
        kept.remove([position for position in kept if position != answer][-1])
    return [texts[position] for position in kept], kept.index(answer)


def convert(path, count, unlabelled):
    records = []
    for number, line in read_lines(path):
        if not line:
            continue
        where = f"{path}:{number}"
        identifier, question, texts, answer = parse(line, where)
        if answer is None and not unlabelled:
            raise BadInput(f"{where}: no answerKey; the released test file has none: pass --unlabelled to write it without answers")
        if answer is not None and count is not None:
            if len(texts) < count:
                raise BadInput(f"{where}: {len(texts)} options, fewer than --choices {count}; ask for fewer")
            texts, answer = keep_choices(texts, answer, count)
        records.append(multiple_choice(identifier, question, texts, answer, where))
    if not records:
        raise BadInput(f"{path}: no questions; check --input")
    return records


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python3 recipes/prepare/commonsenseqa.py --input dev_rand_split.jsonl --output data/commonsenseqa/dev.jsonl",
    )
    parser.add_argument("--input", required=True, help="a .jsonl file of the release")
    parser.add_argument("--output", required=True, help="JSON lines file to write")
    parser.add_argument("--choices", type=int, choices=(2, 3, 4), help="keep this many options (default: all)")
    parser.add_argument("--unlabelled", action="store_true", help="accept questions without an answerKey")
    options = parser.parse_args()
    write_jsonl(options.output, convert(options.input, options.choices, options.unlabelled))


if __name__ == "__main__":
    run(main)
