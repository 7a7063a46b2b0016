"""The data reader against Python's csv and json modules, and on real public releases."""

import csv
import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("CHORALE_SOURCE", Path(__file__).resolve().parents[2]))
PROBE = Path(os.environ.get("CHORALE_BIN", SOURCE / "build/dev/bin")) / "data_probe"
SHARED = SOURCE.parent / "shared" / "data"
PREPARE = SOURCE / "recipes" / "prepare"


def probe(*arguments):
    return subprocess.run([str(PROBE), *map(str, arguments)], capture_output=True, text=True, timeout=60)


def lines_of(text):
    """Lines at line feeds alone: str.splitlines also cuts at U+0085 and U+2028, which real questions hold."""
    return text.rstrip("\n").split("\n")


def records(path, *limit):
    result = probe("records", path, *limit)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in lines_of(result.stdout)]


def outcomes_of(paths):
    """For each file {"code", "fields"} or {"code", "error"}, by one process."""
    result = probe("each", *paths)
    assert result.returncode == 0, (result.returncode, result.stderr)
    outcomes = [json.loads(line) for line in lines_of(result.stdout)]
    assert len(outcomes) == len(paths)
    return outcomes


def write(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return path


def real(relative):
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"{path} is not here: the real data stand beside the checkout")
    return path


ALPHABET = ['"', '"', ",", ",", "\n", "\r\n", "\r", " ", "a", "B", "0", "é", "語", "😀", "'", "\t", "|", "\\"]


def random_text(generator, alphabet=ALPHABET, longest=12):
    return "".join(generator.choice(alphabet) for _ in range(generator.randrange(longest)))


def written_rows(seed):
    """Rows of random fields, written by Python's csv module in one of its ways."""
    generator = random.Random(seed)
    columns = generator.randrange(1, 5)
    quoting = generator.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    # The writer leaves a lone carriage return without quotes, and its own reader then ends the row there.
    alphabet = ALPHABET if quoting == csv.QUOTE_ALL else [letter for letter in ALPHABET if letter != "\r"]
    rows = [[random_text(generator, alphabet) for _ in range(columns)] for _ in range(generator.randrange(1, 8))]
    buffer = io.StringIO(newline="")
    if generator.random() < 0.2:
        buffer.write("\ufeff")
    writer = csv.writer(buffer, lineterminator=generator.choice(["\n", "\r\n"]), quoting=quoting)
    names = [f"column {i}" for i in range(columns)]
    writer.writerow(names)
    writer.writerows(rows)
    return names, rows, buffer.getvalue()


def test_csv_written_by_python_reads_back(tmp_path):
    cases = [written_rows(seed) for seed in range(300)]
    paths = [write(tmp_path / f"{seed}.csv", text) for seed, (_, _, text) in enumerate(cases)]
    for (names, rows, text), outcome in zip(cases, outcomes_of(paths)):
        assert outcome.get("fields") == [dict(zip(names, row)) for row in rows], (text, outcome)
    assert sum(len(rows) for _, rows, _ in cases) > 800


def python_reads(text):
    """What csv.reader in strict mode makes of the text; None where it or our rules on shape refuse."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error:
        return None
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        return None
    if len(set(rows[0])) != len(rows[0]) or any(not name.strip(" \t") for name in rows[0]):
        return None
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def test_any_text_is_read_as_python_reads_it_or_refused_where_python_refuses(tmp_path):
    generator = random.Random(7)
    texts = []
    for _ in range(600):
        header, pieces = generator.choice([
            ("a\n", ['"', '""', "\n", "\r", "\r\n", "x", " ", '"q"', '"q,\n"']),
            ("a,b\n", ['"', '""', ",", "\n", "\r", "x", " ", "\n1,2\n", '"q"']),
        ])
        texts.append(header + "".join(generator.choice(pieces) for _ in range(generator.randrange(10))))
    paths = [write(tmp_path / f"{number}.csv", text) for number, text in enumerate(texts)]
    counts = {"read": 0, "refused": 0}
    for text, path, outcome in zip(texts, paths, outcomes_of(paths)):
        expected = python_reads(text)
        if expected is None:
            assert outcome["code"] == 3, text
            assert outcome["error"].startswith(str(path))
            counts["refused"] += 1
        else:
            assert outcome.get("fields") == expected, (text, outcome)
            counts["read"] += 1
    assert min(counts.values()) > 60, counts


def random_json(generator, depth=0):
    kind = generator.randrange(7 if depth < 3 else 5)
    if kind == 0:
        return random_text(generator)
    if kind == 1:
        return generator.randrange(-(2**63), 2**63)
    if kind == 2:
        return generator.uniform(-1, 1) * 10.0 ** generator.randrange(-300, 300)
    if kind == 3:
        return generator.choice([True, False])
    if kind == 4:
        return None
    if kind == 5:
        return [random_json(generator, depth + 1) for _ in range(generator.randrange(4))]
    return {f"k{i}": random_json(generator, depth + 1) for i in range(generator.randrange(4))}


def test_json_lines_read_back_with_their_types(tmp_path):
    generator = random.Random(3)
    objects = [{f"f{i}": random_json(generator) for i in range(1, 5)} for _ in range(500)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(value, ensure_ascii=generator.random() < 0.5) + "\n" for value in objects), encoding="utf-8")
    assert [record["fields"] for record in records(path)] == objects


def test_damaged_files_are_refused_or_read_but_never_crash(tmp_path):
    generator = random.Random(5)
    originals = {
        "jsonl": b'{"id": "a", "q": "caf\xc3\xa9 \\u00e9", "list": [1, {"b": null}]}\n{"q": "x", "n": -1.5e3}\n',
        "csv": b'id,q,n\n1,"a ""b""\r\nc",2\n2,x,\xe8\xaa\x9e\n',
        "tsv": b"id\tq\n1\t\"a\n2\tb\n",
    }
    paths = []
    for number in range(1000):
        suffix, original = generator.choice(list(originals.items()))
        damaged = bytearray(original)
        for _ in range(generator.randrange(1, 4)):
            at = generator.randrange(len(damaged))
            action = generator.randrange(3)
            if action == 0:
                damaged[at] = generator.randrange(256)
            elif action == 1:
                del damaged[at]
            else:
                damaged.insert(at, generator.randrange(256))
        paths.append(tmp_path / f"{number}.{suffix}")
        paths[-1].write_bytes(bytes(damaged))
    codes = {0: 0, 3: 0}
    for path, outcome in zip(paths, outcomes_of(paths)):
        codes[outcome["code"]] += 1
        if outcome["code"] == 3:
            assert outcome["error"].startswith(str(path)), outcome
    assert min(codes.values()) > 100, codes


@pytest.mark.parametrize(
    "relative, count",
    [("commonsenseqa/train.jsonl", 9741), ("commonsenseqa/dev.jsonl", 1221)],
)
def test_real_json_lines(relative, count):
    path = real(relative)
    ours = records(path)
    assert len(ours) == count
    theirs = [json.loads(line) for line in lines_of(path.read_text(encoding="utf-8"))]
    assert [record["fields"] for record in ours] == theirs
    assert [record["id"] for record in ours] == [value["id"] for value in theirs]
    assert len(records(path, 10)) == 10


@pytest.mark.parametrize("name, count", [("train", 4957), ("dev", 500), ("test", 500)])
def test_real_tab_separated(name, count):
    path = real(f"openbookqa/{name}.tsv")
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    header = lines[0].split("\t")
    assert [record["fields"] for record in records(path)] == [dict(zip(header, line.split("\t"))) for line in lines[1:]]
    assert len(lines) - 1 == count


def test_real_csv_given_a_header(tmp_path):
    """MMLU's files have no header line; with one in front, all 57 test files read as Python reads them."""
    folder = real("mmlu/test")
    files = sorted(folder.glob("*.csv"))
    assert len(files) == 57
    paths = []
    for file in files:
        paths.append(tmp_path / file.name)
        paths[-1].write_bytes(b"question,A,B,C,D,answer\n" + file.read_bytes())
    total = 0
    for path, outcome in zip(paths, outcomes_of(paths)):
        with open(path, encoding="utf-8", newline="") as stream:
            expected = list(csv.DictReader(stream, strict=True))
        assert outcome.get("fields") == expected, path
        total += len(expected)
    assert total == 14079


@pytest.mark.parametrize(
    "script, relative, count",
    [
        ("commonsenseqa.py", "commonsenseqa/train.jsonl", 9741),
        ("commonsenseqa.py", "commonsenseqa/dev.jsonl", 1221),
        ("openbookqa.py", "openbookqa/dev.tsv", 500),
        ("openbookqa.py", "openbookqa/test.tsv", 500),
        ("mmlu.py", "mmlu/dev", 285),
    ],
)
def test_prepared_releases_read(tmp_path, script, relative, count):
    source = real(relative)
    output = tmp_path / "out.jsonl"
    made = subprocess.run(
        [sys.executable, str(PREPARE / script), "--input", str(source), "--output", str(output)],
        capture_output=True, text=True, timeout=120,
    )
    assert made.returncode == 0, made.stderr
    ours = records(output)
    assert len(ours) == count
    for record in ours:
        assert len(record["fields"]["choices"]) >= 4 and record["fields"]["answer"] in range(len(record["fields"]["choices"]))


def test_description_counts_what_is_there():
    path = real("openbookqa/test.tsv")
    result = probe("describe", path)
    assert result.returncode == 0, result.stderr
    described = json.loads(result.stdout)
    assert described["records"] == 500 and described["format"] == "tsv"
    with open(path, encoding="utf-8") as stream:
        answers = [line.rstrip("\n").split("\t")[4] for line in stream][1:]
    assert described["fields"]["Answer Key"]["values"] == {letter: answers.count(letter) for letter in sorted(set(answers))}
