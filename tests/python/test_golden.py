"""Published and independently measured figures of two real models: SmolLM2-135M-Instruct (Q4_1) and stories260K."""

import sys

import pytest
from helpers_score import MODEL, SHARED, SOURCE, score
from helpers_sentencepiece import encode, read_pieces

sys.path.insert(0, str(SOURCE / "tests/support"))
import llama2c  # noqa: E402

STORIES = SHARED / "stories260k"


def needs(path):
    if not path.exists():
        pytest.skip(f"{path.name} is absent")
    return path


# Ids as the model's own tokenizer gives them.
GOLDEN_IDS = {
    "The capital of France is": "504 3575 282 4649 314",
    "Definition: a tangible and visible entity\nCategory:": "18543 42 253 15938 284 6178 10404 198 27348 42",
    "In 1984, 12.5% of naïve cats didn't  care.\n\n\tOK": "788 216 33 41 40 36 28 216 33 34 30 37 21 282 15486 46494 "
    "7680 3683 982 216 1176 30 1116 197 13663",
    "日本語 😀": "23274 115 40993 179 120 248 40303 218",
    "<|im_start|>user\nHi<|im_end|>\n": "1 4093 198 26843 2 198",
}
# Of "The capital of France is", by a reader and a decoder that share no code with this project, in float32.
GOLDEN_LOGITS = {7042: 17.3713, 260: 14.8886, 4528: 13.2450, 2250: 13.0095, 1315: 12.9515}


def story():
    return needs(STORIES / "stories260K.golden.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def smollm2():
    """One process for all texts: the five of GOLDEN_IDS, and the story where it is there."""
    needs(MODEL)
    texts = list(GOLDEN_IDS)
    path = STORIES / "stories260K.golden.txt"
    if path.exists():
        texts.append(path.read_text(encoding="utf-8"))
    return score(MODEL, [{"text": text} for text in texts], "--top", "5")


def test_smollm2_ids(smollm2):
    for result, ids in zip(smollm2, GOLDEN_IDS.values()):
        assert result["ids"] == [int(word) for word in ids.split()]


def test_smollm2_logits(smollm2):
    top = smollm2[0]["top"]
    assert [token for token, _ in top] == list(GOLDEN_LOGITS)
    worst = max(abs(logit - GOLDEN_LOGITS[token]) for token, logit in top)
    print(f"largest difference {worst:.1e}")
    assert worst < 2e-4  # the figures have four decimals


def test_smollm2_perplexity_of_a_story(smollm2):
    """With the end-of-text token (id 0) in front, which this tokenizer does not add by itself."""
    story()
    ids = smollm2[-1]["ids"]
    assert len(ids) == 134
    (result,) = score(MODEL, [{"ids": [0, *ids]}])
    print(f"{result['nll']:.6f} nats, perplexity {result['perplexity']:.4f}")
    assert len(result["log_probabilities"]) == 135
    assert result["nll"] == pytest.approx(1.5375, abs=1e-4)
    assert result["perplexity"] == pytest.approx(4.65, abs=0.01)


def test_smollm2_in_bfloat16(smollm2):
    (result,) = score(MODEL, [{"ids": smollm2[0]["ids"]}], "--top", "5", "--dtype", "bfloat16")
    assert [token for token, _ in result["top"][:3]] == list(GOLDEN_LOGITS)[:3]
    worst = max(abs(logit - GOLDEN_LOGITS[token]) for token, logit in result["top"] if token in GOLDEN_LOGITS)
    assert 1e-4 < worst < 0.5


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    """(converted model directory, ids of the golden text)."""
    model = needs(STORIES / "stories260K.bin")
    ids = encode(read_pieces(needs(STORIES / "tok512.bin")), story())
    return llama2c.convert(model, tmp_path_factory.mktemp("stories") / "model"), ids


def test_story_ids(stories):
    _, ids = stories
    assert len(ids) == 201
    assert ids[:12] == [1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315]


def test_stories_after_bos(stories):
    directory, _ = stories
    (result,) = score(directory, [{"ids": [1]}], "--top", "5")
    golden = {403: 17.02352, 385: 15.40621, 410: 13.10826, 317: 12.76917, 407: 12.41809}
    assert [token for token, _ in result["top"]] == list(golden)
    worst = max(abs(logit - golden[token]) for token, logit in result["top"])
    print(f"largest difference {worst:.1e}")
    assert worst < 5e-5


def test_stories_likelihood(stories):
    directory, ids = stories
    (result,) = score(directory, [{"ids": ids}])
    print(f"{result['nll']:.7f} nats")
    assert len(result["log_probabilities"]) == 201
    assert result["nll"] == pytest.approx(0.473418, abs=2e-6)


def test_stories_greedy_text(stories):
    """Greedy decoding token by token gives the golden text: the likeliest token after each prefix is the next one."""
    directory, ids = stories
    length = 60
    results = score(directory, [{"ids": ids[:count]} for count in range(1, length)], "--top", "1")
    assert [result["top"][0][0] for result in results] == ids[1:length]
