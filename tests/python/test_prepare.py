"""recipes/prepare/*.py on small hand-made files, on bad ones, and on the real releases where they are at hand."""

import collections
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("CHORALE_SOURCE", Path(__file__).resolve().parents[2]))
PREPARE = SOURCE / "recipes" / "prepare"
SHARED = SOURCE.parent / "shared" / "data"
WORDNET = Path("/usr/share/wordnet")


def prepare(script, *arguments):
    command = [sys.executable, "-B", str(PREPARE / f"{script}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def convert(script, source, target, *arguments):
    done = prepare(script, "--input", source, "--output", target, *arguments)
    assert done.returncode == 0, done.stderr
    return load(target), done.stderr


def load(path):
    # Not splitlines(): it also breaks at characters that JSON strings may hold as they are.
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").rstrip("\n").split("\n")]


def shared(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


def save(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("script", ["wordnet", "openbookqa", "commonsenseqa", "mmlu"])
def test_help_shows_an_example(script):
    done = prepare(script, "--help")
    assert done.returncode == 0 and f"Example: python3 recipes/prepare/{script}.py" in done.stdout


# --- WordNet

NOUNS = """  1 This software and database is being provided to you, the LICENSEE, by
00001740 03 n 01 entity 0 000 | above all categories
00015388 05 n 02 animate_being 0 animal 0 000 | a living organism; one that moves; "the zoo has animals"; "so it has"
00017222 20 n 01 plant_life 0 000 | (botany) a living | thing
00021939 06 n 01 artifact 0 000 | a man-made object taken as a whole
"""
VERBS = "00001740 29 v 01 breathe 0 000 | draw air into, and expel out of, the lungs; \"I can breathe\"\n"


def wordnet_folder(path, nouns=NOUNS, verbs=VERBS):
    path.mkdir()
    save(path / "data.noun", nouns)
    save(path / "data.verb", verbs)
    return path


def expected_part(offset):
    h = hashlib.sha1(f"n{offset}".encode()).hexdigest()
    percent = int(hashlib.sha1(f"split{h}".encode()).hexdigest(), 16) % 100
    return h, "train" if percent < 70 else "validation" if percent < 80 else "test"


def test_wordnet_fields_and_split_of_hand_made_synsets(tmp_path):
    # Enough synsets for every part, all with the same text but for the three above.
    lines = [f"{offset:08d} 28 n 01 hour_{offset} 0 000 | a time" for offset in range(30000000, 30000200)]
    folder = wordnet_folder(tmp_path / "in", NOUNS + "\n".join(lines) + "\n")
    parts = collections.defaultdict(list)
    for offset in ["00015388", "00017222", "00021939", *(line[:8] for line in lines)]:
        h, part = expected_part(offset)
        parts[part].append((h, f"n{offset}"))
    counts = {part: len(items) for part, items in parts.items()}
    done = prepare("wordnet", "--input", folder, "--output", tmp_path / "out", "--verbs", 1,
                   *(f"--{part}={count}" for part, count in counts.items()))
    assert done.returncode == 0, done.stderr
    records = {}
    for part, items in parts.items():
        found = load(tmp_path / "out" / f"{part}.jsonl")
        assert [record["id"] for record in found] == [identifier for _, identifier in sorted(items)]
        records.update({record["id"]: record for record in found})
    assert records["n00015388"] == {"id": "n00015388", "lemma": "animate being", "category": "animal",
                                    "gloss": "a living organism; one that moves"}
    assert records["n00017222"]["gloss"] == "(botany) a living | thing"
    assert "n00001740" not in records
    assert load(tmp_path / "out" / "verbs.jsonl") == [
        {"id": "v00001740", "lemma": "breathe", "gloss": "draw air into, and expel out of, the lungs"}]


def test_real_wordnet_is_the_experiments(tmp_path):
    if not (WORDNET / "data.noun").exists():
        pytest.skip(f"no {WORDNET}")
    done = prepare("wordnet", "--output", tmp_path, "--train", 1000, "--test", 1000)
    assert done.returncode == 0, done.stderr
    train, test = load(tmp_path / "train.jsonl"), load(tmp_path / "test.jsonl")
    # The measured experiment this repeats: the largest class is 14.1 % of its training and 14.2 % of its test items.
    assert max(collections.Counter(record["category"] for record in train).values()) == 141
    assert max(collections.Counter(record["category"] for record in test).values()) == 142
    everything = train + test + load(tmp_path / "validation.jsonl")
    assert len({record["id"] for record in everything}) == 2100
    assert len({record["category"] for record in everything}) == 25
    assert all(record["gloss"] and '"' not in record["category"] for record in everything)
    # A smaller request is a prefix of a larger one, and a repetition gives the same bytes.
    prepare("wordnet", "--output", tmp_path / "small")
    assert load(tmp_path / "small" / "train.jsonl") == train[:300]
    assert len(load(tmp_path / "small" / "verbs.jsonl")) == 200
    before = (tmp_path / "small" / "test.jsonl").read_bytes()
    prepare("wordnet", "--output", tmp_path / "small")
    assert (tmp_path / "small" / "test.jsonl").read_bytes() == before


@pytest.mark.parametrize("nouns, message", [
    ("00015388 05 n 02\n", "data.noun:1: not a line of a WordNet data file"),
    (NOUNS + "0001538x 05 n 01 dog 0 000 | barks\n", "data.noun:6: not a line"),
    (b"00015388 05 n 01 caf\xe9 0 000 | coffee\n", "data.noun:1: not valid UTF-8 at byte 20"),
    ("00015388 29 n 01 run 0 000 | move fast\n", "lexicographer file 29, which holds no nouns"),
    (NOUNS, "ask for 1 to"),
])
def test_wordnet_refuses(tmp_path, nouns, message):
    done = prepare("wordnet", "--input", wordnet_folder(tmp_path / "in", nouns), "--output", tmp_path / "out")
    assert done.returncode == 3 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_wordnet_missing(tmp_path):
    done = prepare("wordnet", "--input", tmp_path / "nowhere", "--output", tmp_path / "out")
    assert done.returncode == 3 and "data.noun: No such file" in done.stderr


# --- OpenBookQA

OBQA_HEADER = "ID\tQuestion Stem\tChoices\tComplete Question\tAnswer Key\n"
OBQA_GOOD = "7-1\tWater \"boils\" at\t(A) 0 (B) 50 (zero) degrees (C) 100 (D) never\tunused\tC\n"


def test_openbookqa_small(tmp_path):
    records, _ = convert("openbookqa", save(tmp_path / "in.tsv", OBQA_HEADER + OBQA_GOOD), tmp_path / "out.jsonl")
    assert records == [{"id": "7-1", "question": 'Water "boils" at', "answer": 2,
                        "choices": ["0", "50 (zero) degrees", "100", "never"]}]


def test_openbookqa_leaves_out_a_bad_row_and_counts_it(tmp_path):
    bad = "7-2\tWhy\t(A) a (B) b (D) c (D) d\tunused\tA\n"
    records, said = convert("openbookqa", save(tmp_path / "in.tsv", OBQA_HEADER + OBQA_GOOD * 3 + bad), tmp_path / "out.jsonl")
    assert len(records) == 3 and "in.tsv:5: 7-2: options are not marked (A) to (D)" in said and "1 rows left out" in said


@pytest.mark.parametrize("text, message", [
    ("", "in.tsv:1: the header is not"),
    ("a\tb\n", "in.tsv:1: the header is not"),
    (OBQA_HEADER, "no rows"),
    (OBQA_HEADER + "7-1\tonly\n", "in.tsv:2: 2 columns"),
    (OBQA_HEADER + OBQA_GOOD.replace("\tC\n", "\tE\n") * 2, "in.tsv:2: 7-1: answer 'E'"),
    (OBQA_HEADER + OBQA_GOOD.replace('Water "boils" at', " "), "in.tsv:2: the question is empty"),
])
def test_openbookqa_refuses(tmp_path, text, message):
    done = prepare("openbookqa", "--input", save(tmp_path / "in.tsv", text), "--output", tmp_path / "out.jsonl")
    assert done.returncode == 3 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_openbookqa_release(tmp_path):
    train, said = convert("openbookqa", shared("openbookqa/train.tsv"), tmp_path / "train.jsonl")
    assert len(train) == 4956 and "12-1145" in said and "1 rows left out" in said
    test, _ = convert("openbookqa", shared("openbookqa/test.tsv"), tmp_path / "test.jsonl")
    assert len(test) == 500 and all(len(record["choices"]) == 4 for record in train + test)
    # The share of the largest letter in the test set, known from the experiment: 27.6 %.
    assert max(collections.Counter(record["answer"] for record in test).values()) == 138


# --- CommonsenseQA


def csqa(key="C", labels="ABCDE", **changes):
    row = {"answerKey": key, "id": "x1", "question": {"question_concept": "c", "stem": "Where to?", "choices": [
        {"label": label, "text": f"place {label}"} for label in labels]}}
    row.update(changes)
    return json.dumps({key: value for key, value in row.items() if value is not None}) + "\n"


def test_commonsenseqa_small(tmp_path):
    source = save(tmp_path / "in.jsonl", csqa() + csqa("E", id="x2"))
    records, _ = convert("commonsenseqa", source, tmp_path / "out.jsonl")
    assert records[0] == {"id": "x1", "question": "Where to?", "choices": [f"place {label}" for label in "ABCDE"], "answer": 2}
    four, _ = convert("commonsenseqa", source, tmp_path / "four.jsonl", "--choices", 4)
    assert four[0]["choices"] == ["place A", "place B", "place C", "place D"] and four[0]["answer"] == 2
    assert four[1]["choices"] == ["place A", "place B", "place C", "place E"] and four[1]["answer"] == 3


def test_commonsenseqa_without_answers(tmp_path):
    source = save(tmp_path / "in.jsonl", csqa(None))
    assert "no answerKey" in prepare("commonsenseqa", "--input", source, "--output", tmp_path / "out.jsonl").stderr
    records, _ = convert("commonsenseqa", source, tmp_path / "out.jsonl", "--unlabelled")
    assert "answer" not in records[0] and len(records[0]["choices"]) == 5


@pytest.mark.parametrize("text, message", [
    ("", "no questions"),
    ("{\n", "in.jsonl:1: not a CommonsenseQA question"),
    (csqa() + "[1]\n", "in.jsonl:2: not a CommonsenseQA question"),
    (csqa("F"), "in.jsonl:1: answerKey 'F' is not one of the labels A, B, C, D, E"),
    (csqa(labels="ACCDE"), "answerKey 'C'"),
    (csqa(question={"stem": "", "choices": []}), "in.jsonl:1:"),
    (b"\xff\n", "in.jsonl:1: not valid UTF-8"),
])
def test_commonsenseqa_refuses(tmp_path, text, message):
    done = prepare("commonsenseqa", "--input", save(tmp_path / "in.jsonl", text), "--output", tmp_path / "out.jsonl")
    assert done.returncode == 3 and message in done.stderr and "Traceback" not in done.stderr


def test_commonsenseqa_release(tmp_path):
    source = shared("commonsenseqa/dev.jsonl")
    records, _ = convert("commonsenseqa", source, tmp_path / "dev.jsonl")
    four, _ = convert("commonsenseqa", source, tmp_path / "four.jsonl", "--choices", 4)
    assert len(records) == len(four) == 1221
    for whole, part in zip(records, four):
        assert len(whole["choices"]) == 5 and len(part["choices"]) == 4
        assert whole["choices"][whole["answer"]] == part["choices"][part["answer"]]


# --- MMLU

MMLU_ROW = '"What, is\nthis?",one,"two ""2""",three,four,B\n'


def test_mmlu_small(tmp_path):
    folder = tmp_path / "test"
    folder.mkdir()
    save(folder / "anatomy_test.csv", MMLU_ROW + "Short?,a,b,c,d,D\n")
    save(folder / "law_test.csv", MMLU_ROW)
    records, _ = convert("mmlu", folder, tmp_path / "out.jsonl")
    assert sorted(record["id"] for record in records) == ["anatomy-1", "anatomy-2", "law-1"]
    first = next(record for record in records if record["id"] == "anatomy-1")
    assert first == {"id": "anatomy-1", "subject": "anatomy", "question": "What, is\nthis?", "answer": 1,
                     "choices": ["one", 'two "2"', "three", "four"]}
    law, _ = convert("mmlu", folder, tmp_path / "out.jsonl", "--subjects", "law")
    assert [record["id"] for record in law] == ["law-1"]
    short, said = convert("mmlu", folder, tmp_path / "out.jsonl", "--max-characters", 10)
    assert [record["id"] for record in short] == ["anatomy-2"] and "2 of 3 questions left out" in said
    limited, _ = convert("mmlu", folder, tmp_path / "out.jsonl", "--limit", 2)
    assert limited == records[:2]


@pytest.mark.parametrize("text, message", [
    ("a,b\n", "law_test.csv:1: 2 columns"),
    (MMLU_ROW + "q,a,b,c,d,E\n", "law_test.csv:3: answer 'E'"),
    ('"open,a,b,c,d,A\n', "not well-formed CSV"),
    ("q,a,,c,d,A\n", "law_test.csv:1: choice 1 is empty"),
])
def test_mmlu_refuses(tmp_path, text, message):
    save(tmp_path / "law_test.csv", text)
    done = prepare("mmlu", "--input", tmp_path, "--output", tmp_path / "out.jsonl")
    assert done.returncode == 3 and message in done.stderr and "Traceback" not in done.stderr


def test_mmlu_refuses_folders_and_subjects(tmp_path):
    assert "holds no .csv files" in prepare("mmlu", "--input", tmp_path, "--output", tmp_path / "o").stderr
    save(tmp_path / "law_test.csv", MMLU_ROW)
    done = prepare("mmlu", "--input", tmp_path, "--output", tmp_path / "o", "--subjects", "lore")
    assert done.returncode == 3 and "no subject 'lore'; there are: law" in done.stderr
    assert prepare("mmlu", "--input", tmp_path, "--output", tmp_path / "o", "--limit", 0).returncode == 2


def test_mmlu_release(tmp_path):
    records, _ = convert("mmlu", shared("mmlu/test"), tmp_path / "out.jsonl")
    # The release's own counts: 14,079 questions of 57 subjects, among them 100 and 135 of these two.
    counts = collections.Counter(record["subject"] for record in records)
    assert len(counts) == 57 and counts["abstract_algebra"] == 100 and counts["anatomy"] == 135
    assert len(records) == len({record["id"] for record in records}) == 14079


# --- writing


def test_output_that_cannot_be_written(tmp_path):
    source = save(tmp_path / "in.tsv", OBQA_HEADER + OBQA_GOOD)
    done = prepare("openbookqa", "--input", source, "--output", source / "out.jsonl")
    assert done.returncode == 3 and "cannot be written" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tsv"]
