"""Ids and texts equal to the `tokenizers` package on thousands of strings, for the GGUF model and for tokenizer.json."""
import copy
import json
import os
import resource
import subprocess
import unicodedata
from pathlib import Path

import pytest
from tokenizer_texts import json_lines, random_texts, real_texts

tokenizers = pytest.importorskip("tokenizers")

SOURCE = Path(os.environ["CHORALE_SOURCE"])
PROBE = Path(os.environ["CHORALE_BIN"]) / "tokenizer_probe"
SHARED = SOURCE / ".." / "shared" / "data"
MODEL = SOURCE / ".deps" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
FILES = ("llama3_style_2000", "qwen_style_nfc", "bytelevel_2020")


def probe(path, lines):
    done = subprocess.run([PROBE, path], input=json_lines(lines), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.split(b"\n") if line]


def refused(path):
    done = subprocess.run([PROBE, path], input=b"", capture_output=True, timeout=60)
    assert done.returncode == 3, (done.returncode, done.stderr)
    return done.stderr.decode()


def shared_file(name):
    path = SHARED / "tokenizers" / (name + ".json")
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the checkout")
    return path


@pytest.fixture(scope="module")
def young_marks():
    """Combining marks that the package's NFC does not know yet (its tables are of 2017), so it does not reorder them."""
    nfc = tokenizers.normalizers.NFC()
    marks = [c for c in map(chr, range(0x110000)) if unicodedata.category(c)[0] == "M"]
    young = {c for c in marks for other in "\u0323\u030c"
             if nfc.normalize_str("e" + c + other) != unicodedata.normalize("NFC", "e" + c + other)}
    assert len(young) < 300
    return young


def first_difference(texts, ours, theirs):
    """None, or the first text on which the two disagree, for a readable failure."""
    assert len(ours) == len(theirs) == len(texts)
    for text, mine, other in zip(texts, ours, theirs):
        if mine != other:
            return ascii(text), mine, other
    return None


def compare(path, oracle, texts):
    """Encodes with and without specials, decodes with and without them, and compares everything."""
    plain = [e.ids for e in oracle.encode_batch(texts, add_special_tokens=False)]
    special = [e.ids for e in oracle.encode_batch(texts, add_special_tokens=True)]
    # Ids in an order that no text gives: halves of characters next to each other.
    scrambled = [ids[::-1] + ids[::2] for ids in special]
    lines = [{"text": t} for t in texts] + [{"text": t, "special": True} for t in texts]
    lines += [{"ids": i, "skip": skip} for skip in (False, True) for i in special] + [{"ids": i} for i in scrambled]
    expected = [plain, special, oracle.decode_batch(special, skip_special_tokens=False),
                oracle.decode_batch(special, skip_special_tokens=True),
                oracle.decode_batch(scrambled, skip_special_tokens=False)]
    ours = probe(path, lines)
    for part, theirs in enumerate(expected):
        begin = part * len(texts)
        assert first_difference(texts, ours[begin: begin + len(texts)], theirs) is None


@pytest.fixture(scope="module")
def smollm2():
    """The oracle of the GGUF model: its own vocabulary and merges behind the pre-tokeniser its authors use.

    Not transformers' reader of GGUF files, which leaves out the pass that takes digits apart.
    """
    if not MODEL.exists():
        pytest.skip(f"{MODEL.name} is not installed")
    gguf = pytest.importorskip("gguf")
    fields = gguf.GGUFReader(MODEL).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    types = fields["tokenizer.ggml.token_type"].contents()
    model = tokenizers.models.BPE({token: i for i, token in enumerate(tokens)}, merges)
    oracle = tokenizers.Tokenizer(model)
    steps = tokenizers.pre_tokenizers
    oracle.pre_tokenizer = steps.Sequence(
        [steps.Digits(individual_digits=True), steps.ByteLevel(add_prefix_space=False, use_regex=True)])
    oracle.decoder = tokenizers.decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, types) if kind == 3]
    assert len(control) == 17
    oracle.add_special_tokens([tokenizers.AddedToken(t, normalized=False, special=True) for t in control])
    return oracle, control


def test_gguf_on_random_texts(smollm2):
    oracle, control = smollm2
    compare(MODEL, oracle, random_texts(5000, control + [" <|im_end|> ", "<|im_start|><|im_start|>"], seed=1))


def test_gguf_on_real_texts(smollm2):
    texts = real_texts(SHARED, 3000)
    if len(texts) < 100:
        pytest.skip("neither WordNet nor the shared data are installed")
    compare(MODEL, smollm2[0], texts)


def test_gguf_facts_and_dropped_bytes(smollm2):
    missing = ["\x04", "\x06", "\x13", "\x14", "\x16", "\x1d"]
    answers = probe(MODEL, [{"facts": True}, *[{"text": "a" + c + "b"} for c in missing], {"facts": True}])
    before, after = answers[0], answers[-1]
    assert (before["vocabulary"], before["bos"], before["eos"]) == (49152, 1, 2)
    assert before["dropped"] == 0 and before["warning"] == ""
    assert after["dropped"] == len(missing) and "6 bytes" in after["warning"]
    assert all(ids == answers[1] for ids in answers[1:-1])


@pytest.mark.parametrize("name", FILES)
def test_files_on_random_and_real_texts(name, young_marks):
    path = shared_file(name)
    oracle = tokenizers.Tokenizer.from_file(str(path))
    added = [t.content for t in oracle.get_added_tokens_decoder().values()]
    compare(path, oracle, random_texts(5000, added, seed=2, avoid=young_marks) + real_texts(SHARED, 600))


def test_nfc_equals_python(young_marks, tmp_path):
    """Composing here equals composing in Python and reading the same file without a normaliser, young marks included."""
    path = shared_file("qwen_style_nfc")
    document = json.loads(path.read_text("utf-8"))
    plain = tmp_path / "tokenizer.json"
    # Every byte gets a token, so that no difference is dropped.
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    missing = sorted(c for c in alphabet if c not in document["model"]["vocab"])
    document["model"]["vocab"].update({c: 3000 + i for i, c in enumerate(missing)})
    document["added_tokens"] = []
    composing = tmp_path / "composing.json"
    composing.write_text(json.dumps(document), "utf-8")
    plain.write_text(json.dumps({**document, "normalizer": None}), "utf-8")
    texts = random_texts(2000, sorted(young_marks), seed=6) + ["a" + c + "\u0323\u0301" for c in sorted(young_marks)]
    composed = [unicodedata.normalize("NFC", text) for text in texts]
    assert sum(a != b for a, b in zip(texts, composed)) > 300
    ids = probe(composing, [{"text": text} for text in texts])
    assert first_difference(texts, ids, probe(plain, [{"text": text} for text in composed])) is None


def test_sentencepiece_style_is_refused():
    message = refused(shared_file("gemma_cropped"))
    assert "gemma_cropped.json" in message and "model.byte_fallback" in message


def processor_seconds():
    """Of all child processes that have ended: unlike the clock on the wall it does not mind a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_quick_enough():
    path = shared_file("llama3_style_2000")
    texts = random_texts(5000, [], seed=3)
    begin = processor_seconds()
    probe(path, [{"text": t} for t in texts])
    short = processor_seconds() - begin
    begin = processor_seconds()
    word, spaces, marks = probe(path, [{"text": "ab" * 500_000}, {"text": "x" + " " * 1_000_000 + "y"},
                                       {"text": "e" + "\u0301\u0323" * 200_000}])
    long = processor_seconds() - begin
    assert len(word) > 1000 and len(spaces) > 1000 and len(marks) > 1000
    # Generous for an unoptimised build; quadratic merging would take hours.
    assert short < 5 and long < 10, (short, long)


def test_long_word_equals_the_package():
    path = shared_file("qwen_style_nfc")
    texts = ["theinandofto" * 3000, "e" + "\u0301\u0323" * 3000, " " * 20000 + "x", "\n \n" * 4000]
    compare(path, tokenizers.Tokenizer.from_file(str(path)), texts)


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def byte_level(prefix=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def added(identity, content, **flags):
    defaults = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return {"id": identity, "content": content, **defaults, **flags}


def template(*pieces):
    steps = [{"Sequence": {"id": "A", "type_id": 0}} if p == "$A" else {"SpecialToken": {"id": p, "type_id": 0}}
             for p in pieces]
    names = {p: {"id": p, "ids": [2000 + i], "tokens": [p]} for i, p in enumerate(("<|endoftext|>", "<|im_start|>",
                                                                                   "<|im_end|>"))}
    return {"type": "TemplateProcessing", "single": steps, "pair": [], "special_tokens": names}


BEHAVIOURS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
PATTERNS = ({"Regex": r"\s"}, {"Regex": r"\p{L}+"}, {"String": "'"}, {"Regex": r"\w*"})
# Patterns of published models, and constructs whose meaning differs between regular expression dialects.
EXPRESSIONS = {
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
             r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
             r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cjk": r"[一-龥぀-ゟ゠-ヿ]+",
    "punctuation": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                   r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "words": r"\w+|\W", "class of words": r"[\w']+|[^\w\s]", "digits": r"\d+|\D", "lines": r"^.|.$",
    "possessive": r"\p{N}++|[^\p{N}]++", "vertical": r"\v|\u0041|\x41|\x{e9}", "look-behind": r"(?<=[a-z])\s|(?<!\d)\d",
    "caseless": r"(?i)k|S|å", "lazy": r"\s+?\S*?'", "not space": r"\S\s\S",
}
VARIANTS = {
    **{f"behaviour {b} {i} {'inverted' if v else ''}": {"pre_tokenizer": sequence(split(p, b, v), byte_level(False, False))}
       for b in BEHAVIOURS for i, p in enumerate(PATTERNS) for v in (False, True)},
    **{f"expression {name}": {"pre_tokenizer": sequence(split({"Regex": e}, "Isolated"), byte_level(False, False))}
       for name, e in EXPRESSIONS.items()},
    "prefix space": {"pre_tokenizer": byte_level(True, True)},
    "prefix space without pattern": {"pre_tokenizer": sequence(split({"Regex": r"\s"}, "Isolated"), byte_level(True, False))},
    "runs of digits": {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": False}, byte_level())},
    "single digits": {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": True}, byte_level())},
    "nested sequences": {"pre_tokenizer": sequence(sequence({"type": "Digits", "individual_digits": True}),
                                                   sequence(split({"Regex": r"\s+"}, "MergedWithNext"), byte_level()))},
    "no normaliser": {"normalizer": None},
    "normaliser in a sequence": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}},
    "bos": {"post_processor": template("<|im_start|>", "$A")},
    "bos and eos": {"post_processor": template("<|im_start|>", "<|im_end|>", "$A", "<|endoftext|>")},
    "template in a sequence": {"post_processor": {"type": "Sequence", "processors": [
        {**byte_level(), "use_regex": False}, template("<|im_start|>", "$A", "<|im_end|>")]}},
    "ignore merges": {"model": {"ignore_merges": True}},
    "decoder in a sequence": {"decoder": {"type": "Sequence", "decoders": [{**byte_level()}]}},
    "added tokens of all kinds": {"added_tokens": [
        added(2000, "<strip>", lstrip=True, rstrip=True, special=True), added(2001, "<left>", lstrip=True),
        added(2002, "<right>", rstrip=True), added(2003, "can't", single_word=True), added(2004, "café", normalized=True),
        added(2005, "cafe", single_word=True, normalized=True), added(2006, "<str"), added(2007, "<strip><left>"),
        added(2008, "e\u0301", normalized=True), added(2009, "x y"), added(2010, " ")]},
}
PIECES = ["<strip>", " <strip> ", "\u00a0<left>\u2003", "\t<right>\n ", "<right>  <left>", "can't", "café", "cafe\u0301",
          "cafe", "cafes", "<str", "<strip><left>", "e\u0301", "\u00e9", "x y", "_cafe", "cafe\u0301s", "٣cafe", "cafe\u200d",
          "<|im_start|>"]


@pytest.fixture(scope="module")
def variant_texts(young_marks):
    return random_texts(200, PIECES, seed=4, avoid=young_marks)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_a_file(name, tmp_path, variant_texts):
    document = json.loads(shared_file("qwen_style_nfc").read_text("utf-8"))
    change = copy.deepcopy(VARIANTS[name])
    document["model"].update(change.pop("model", {}))
    document.update(change)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document), "utf-8")
    compare(path, tokenizers.Tokenizer.from_file(str(path)), variant_texts)


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("unknown", [None, "the"])
def test_bytes_without_a_token(fuse, unknown, tmp_path, variant_texts):
    document = json.loads(shared_file("qwen_style_nfc").read_text("utf-8"))
    model = document["model"]
    used = {half for merge in model["merges"] for half in merge.split(" ")}
    alphabet = [token for token in model["vocab"] if len(token) == 1 and token not in used]
    assert len(alphabet) >= 20
    for token in alphabet:
        del model["vocab"][token]
    # The gaps are filled again so that added tokens keep their ids.
    for i, identity in enumerate(sorted(set(range(2000)) - set(model["vocab"].values()))):
        model["vocab"][f"\u4e00{i}"] = identity
    unknown = unknown if unknown is None else next(t for t in model["vocab"] if len(t) > 3)
    model.update(fuse_unk=fuse, unk_token=unknown)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document), "utf-8")
    compare(path, tokenizers.Tokenizer.from_file(str(path)), variant_texts)


def test_trained_here(tmp_path):
    """A tokenizer the package trains itself, merges written as pairs, read from a directory with its BOS and EOS."""
    oracle = tokenizers.Tokenizer(tokenizers.models.BPE())
    oracle.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    oracle.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=700, special_tokens=["<s>", "</s>"], show_progress=False,
                                             initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    texts = random_texts(800, ["<s>", "</s>"], seed=5)
    oracle.train_from_iterator(texts, trainer)
    oracle.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": {"content": "</s>"}}')
    compare(tmp_path, oracle, texts)
    facts = probe(tmp_path, [{"facts": True}])[0]
    assert (facts["bos"], facts["eos"]) == (oracle.token_to_id("<s>"), oracle.token_to_id("</s>"))
    assert facts["vocabulary"] == oracle.get_vocab_size()
