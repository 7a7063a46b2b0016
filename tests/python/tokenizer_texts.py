"""Texts that tokenizers disagree on: random valid UTF-8 by kind, and real lines."""
import csv
import json
import random
import unicodedata
from pathlib import Path

# The oracle knows a newer Unicode than the distributions' PCRE2 (14.0), and whether a character is a letter or a number
# is for the newer one to say; so only characters of 14.0 are drawn. Python 3.11 has exactly those tables; under a newer
# one numbers and marks stay in the first plane, where nothing of the kind was added that would tell the two apart.
NEWEST = 0x110000 if unicodedata.unidata_version == "14.0.0" else 0x10000
SCRIPTS = [
    (0x20, 0x7E), (0xA0, 0x24F), (0x250, 0x2AF), (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x58F), (0x590, 0x5FF),
    (0x600, 0x6FF), (0x700, 0x74F), (0x900, 0x97F), (0x980, 0x9FF), (0xB80, 0xBFF), (0xC00, 0xC7F), (0xE00, 0xE7F),
    (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF),
    (0x1780, 0x17FF), (0x1800, 0x18AF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x20BF), (0x2100, 0x214F),
    (0x2190, 0x23FF), (0x2500, 0x27BF), (0x2E80, 0x2FDF), (0x3000, 0x30FF), (0x3130, 0x318F), (0x3200, 0x33FF),
    (0x4E00, 0x9FFF), (0xA000, 0xA48F), (0xA640, 0xA69F), (0xAC00, 0xD7A3), (0xE000, 0xF8FF), (0xF900, 0xFAFF),
    (0xFB00, 0xFDFF), (0xFE00, 0xFE0F), (0xFE70, 0xFEFF), (0xFF00, 0xFFEF), (0x10000, 0x100FF), (0x10300, 0x1034F),
    (0x1D100, 0x1D1FF), (0x1D400, 0x1D7FF), (0x1F000, 0x1F2FF), (0x1F300, 0x1FAF6), (0x20000, 0x2A6DF),
    (0x2F800, 0x2FA1D), (0xE0001, 0xE007F), (0x10FF00, 0x10FFFF),
]
WHITE = [chr(c) for c in (9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F,
                          0x205F, 0x3000)] + ["\r\n", "  ", "\n\n", " \n", "\t\t"]
NEARLY_WHITE = ["\u180e", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\x1c", "\x1f"]
CONTROLS = [chr(c) for c in (*range(0, 0x20), *range(0x7F, 0xA0))]
CONTRACTIONS = [a + b for a in ("'", "\u2019", " '", "x'", "X'") for b in
                ("s", "S", "t", "T", "re", "RE", "rE", "Re", "ve", "VE", "m", "M", "ll", "LL", "lL", "d", "D", "\u017f",
                 "x", "", "'", "sl")]
EMOJI = ["😀", "👩\u200d🚀", "👨\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "🇫🇷", "🇩🇪", "👍🏽", "1️⃣", "❤️", "☺", "🧑🏿\u200d🦰",
         "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"]
WORDS = ("the The THE capital of naïve café cafe\u0301 Å Å A\u030a ﬁ ß ẞ İ ı ǅ Ω Ω 가 \u1100\u1161 \u1100\u1161\u11a8 "
         "can't won't I'll WE'VE they're 12 1984 3.14 1,000,000 x2 2x ½ Ⅷ ² ٣ ৪ 五 ㊿ ① 𝟘 𑁨 def foo(bar): a_b __init__ "
         "http://x.y/z?q=1&r=%20 <|x|> <| |> <|im <|im_start <|endoftext|").split(" ")


def assigned(character):
    return unicodedata.category(character) not in ("Cn", "Cs")


def characters():
    """Lists of assigned characters, one per block above."""
    return [[chr(c) for c in range(a, b + 1) if assigned(chr(c))] for a, b in SCRIPTS]


def random_texts(count, added, seed, avoid=frozenset()):
    """`count` strings mixing scripts, white space, digits, marks, contractions, emoji and the texts in `added`; none
    with a character in `avoid`."""
    generator = random.Random(seed)
    blocks = characters()
    every = [c for block in blocks for c in block]
    numbers = [c for c in map(chr, range(NEWEST)) if unicodedata.category(c)[0] == "N"]
    marks = [c for c in map(chr, range(NEWEST)) if unicodedata.category(c)[0] == "M"]
    composed = [c for c in every if unicodedata.normalize("NFD", c) != c]
    kinds = [
        lambda: generator.choice(WORDS),
        lambda: " " + generator.choice(WORDS),
        lambda: "".join(generator.choices(generator.choice(blocks), k=generator.randint(1, 8))),
        lambda: "".join(generator.choices(every, k=generator.randint(1, 5))),
        lambda: "".join(generator.choices(WHITE, k=generator.randint(1, 4))),
        lambda: generator.choice(NEARLY_WHITE),
        lambda: generator.choice(CONTROLS),
        lambda: generator.choice(CONTRACTIONS),
        lambda: generator.choice(EMOJI),
        lambda: "".join(generator.choices(numbers, k=generator.randint(1, 4))),
        lambda: "".join(generator.choices("0123456789", k=generator.randint(1, 9))),
        lambda: generator.choice("aeo\u0915\u05d0") + "".join(generator.choices(marks, k=generator.randint(1, 4))),
        lambda: unicodedata.normalize(generator.choice(["NFD", "NFC"]), "".join(generator.choices(composed, k=3))),
        lambda: generator.choice(added) if added else "",
        lambda: generator.choice(".,;:!?-()[]{}\"'`~@#$%^&*_+=|\\/<>"),
        lambda: " ",
    ]
    texts = ["", " ", "  ", "\n", "a", "\u0301", "\x00"]
    while len(texts) < count:
        text = "".join(generator.choice(kinds)() for _ in range(generator.randint(1, 14)))
        if avoid.isdisjoint(text):
            texts.append(text)
    return texts


def real_texts(shared, count):
    """About `count` real lines: WordNet glosses, and the questions of the shared data sets, where they are there."""
    texts = []
    for part in ("noun", "verb", "adj"):
        path = Path("/usr/share/wordnet/data." + part)
        if path.exists():
            lines = [line for line in path.read_text("utf-8", errors="replace").splitlines() if "| " in line]
            texts += [line.split("| ", 1)[1] for line in lines[:: max(1, len(lines) // (count // 6))]]
    for path in sorted(shared.glob("commonsenseqa/*.jsonl"))[:1]:
        texts += path.read_text("utf-8").splitlines()[: count // 6]
    for path in sorted(shared.glob("mmlu/test/*.csv"))[::12]:
        with path.open(encoding="utf-8", newline="") as file:
            texts += ["\n".join(row) for row in csv.reader(file)][: count // 20]
    golden = shared / "stories260k" / "stories260K.golden.txt"
    if golden.exists():
        texts.append(golden.read_text("utf-8"))
    return texts


def json_lines(objects):
    return "".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects).encode("utf-8")
