"""Metrics of `calibration_probe` (the code behind `chorale calibrate` and metrics.json) against numpy, scikit-learn and
torchmetrics, and what bad predictions files are told."""

import itertools
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

PROBE = pathlib.Path(os.environ["CHORALE_BIN"]) / "calibration_probe"
METRICS = ["accuracy", "nll", "brier", "ece", "mce", "ece_10", "ece_20"]


def probe(*words):
    done = subprocess.run([PROBE, *map(str, words)], capture_output=True, text=True, check=True)
    assert done.stderr == "", done.stderr
    return json.loads(done.stdout)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def random_set(seed, members=5, examples=400, choices=7, sharpness=2.0, shift=2.0):
    """Labels [N] and probabilities [M, N, K] of members that share most of what they know."""
    r = np.random.default_rng(seed)
    labels = r.integers(0, choices, examples)
    shared = r.normal(size=(examples, choices))
    shared[np.arange(examples), labels] += shift
    return labels, softmax(sharpness * (shared + 0.7 * r.normal(size=(members, examples, choices))))


def write_lines(path, labels, p, field="members"):
    with open(path, "w") as file:
        for n, label in enumerate(labels):
            rows = p[:, n].tolist() if field.startswith("member") else p[0, n].tolist()
            file.write(json.dumps({"id": f"e{n}", "label": int(label), field: rows}) + "\n")
    return path


# Plain twins of the definitions: loops and masks, no cleverness.
def calibration_gaps(p, labels, bins):
    confidence, right = p.max(-1), p.argmax(-1) == labels
    gaps, weights = [], []
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = (confidence <= high) & ((confidence > low) if b else (confidence >= 0))
        if inside.any():
            gaps.append(abs(right[inside].mean() - confidence[inside].mean()))
            weights.append(inside.mean())
    return np.array(gaps), np.array(weights)


def twin(p, labels, bins=15):
    one_hot = np.eye(p.shape[-1])[labels]
    gaps, weights = calibration_gaps(p, labels, bins)
    ece = {b: np.dot(*calibration_gaps(p, labels, b)) for b in (10, 20)}
    return {
        "accuracy": (p.argmax(-1) == labels).mean(),
        "nll": -np.log(p[np.arange(len(labels)), labels]).mean(),
        "brier": ((p - one_hot) ** 2).sum(-1).mean(),
        "ece": np.dot(gaps, weights),
        "mce": gaps.max(),
        "ece_10": ece[10],
        "ece_20": ece[20],
    }


def nll(log_p, labels):
    return -log_p[np.arange(len(labels)), labels].mean()


def log_softmax(z):
    return z - np.log(np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True)) - z.max(-1, keepdims=True)


def best_temperature(p, labels):
    """Golden section on log T: slow, derivative-free, nothing shared with the code under test."""
    z = np.log(p)
    low, high = np.log(0.01), np.log(100.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(80):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if nll(log_softmax(z / np.exp(a)), labels) < nll(log_softmax(z / np.exp(b)), labels):
            high = b
        else:
            low = a
    return np.exp((low + high) / 2)


def entropy(p):
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(-1)


def close(ours, theirs, tolerance=1e-9):
    assert ours == pytest.approx(theirs, rel=tolerance, abs=tolerance)


@pytest.fixture(scope="module", params=[1, 2, 3])
def case(request, tmp_path_factory):
    seed = request.param
    folder = tmp_path_factory.mktemp(f"case{seed}")
    labels, p = random_set(seed, members=2 * seed - 1 if seed > 1 else 5, choices=(7, 2, 25)[seed - 1])
    validation_labels, validation = random_set(seed + 50, members=len(p), examples=150, choices=p.shape[-1])
    result = probe("metrics", write_lines(folder / "test.jsonl", labels, p),
                   write_lines(folder / "validation.jsonl", validation_labels, validation), 15, 300, 99)
    return labels, p, validation_labels, validation, result["datasets"]["test"]


def test_rows_equal_their_numpy_twins(case):
    labels, p, validation_labels, validation, result = case
    members = [twin(member, labels) for member in p]
    geometric = softmax(np.log(p).mean(0))
    temperatures = [best_temperature(v, validation_labels) for v in validation]
    scaled = [twin(softmax(np.log(m) / t), labels) for m, t in zip(p, temperatures)]
    pooled_t = best_temperature(validation.mean(0), validation_labels)
    scaled_pool = twin(softmax(np.log(p.mean(0)) / pooled_t), labels)
    for metric in METRICS:
        close(result["ensemble"][metric], twin(p.mean(0), labels)[metric])
        close(result["ensemble_geometric"][metric], twin(geometric, labels)[metric])
        for m, member in enumerate(members):
            close(result["members"]["each"][m][metric], member[metric])
        close(result["members"]["mean"][metric], np.mean([m[metric] for m in members]))
        close(result["members"]["std"][metric], np.std([m[metric] for m in members], ddof=1))
        # The golden section knows T to about 1e-8, no better.
        close(result["single_temperature_scaled"][metric], np.mean([m[metric] for m in scaled]), 1e-6)
        close(result["ensemble_temperature_scaled"][metric], scaled_pool[metric], 1e-6)
    close(result["single_temperature_scaled"]["temperatures"], temperatures, 1e-6)
    close(result["single_temperature_scaled"]["temperature"], np.mean(temperatures), 1e-6)
    close(result["ensemble_temperature_scaled"]["temperature"], pooled_t, 1e-6)


def test_temperature_leaves_no_slope(case):
    _, _, labels, validation, result = case
    for p, t in [*zip(validation, result["single_temperature_scaled"]["temperatures"]),
                 (validation.mean(0), result["ensemble_temperature_scaled"]["temperature"])]:
        z = np.log(p)
        slope = -((softmax(z / t) * z).sum(-1) - z[np.arange(len(labels)), labels]).mean() / t
        assert abs(slope) < 1e-8


def test_against_scikit_learn(case):
    labels, p, _, _, result = case
    for row, q in [(result["ensemble"], p.mean(0)), *zip(result["members"]["each"], p)]:
        assert q.min() > 1e-15  # log_loss clips below that
        close(row["nll"], log_loss(labels, q, labels=range(q.shape[-1])))
        close(row["accuracy"], accuracy_score(labels, q.argmax(-1)))


def test_brier_against_scikit_learn(tmp_path):
    """Its Brier score of two classes keeps one of them: half of the sum over classes."""
    from sklearn.metrics import brier_score_loss

    labels, p = random_set(8, members=1, choices=2)
    result = probe("metrics", write_lines(tmp_path / "a.jsonl", labels, p), 15, 0, 1)["datasets"]["a"]
    close(result["ensemble"]["brier"], 2 * brier_score_loss(labels, p[0, :, 1]))


def test_calibration_error_against_torchmetrics(case):
    """Comparable where no confidence is 1 or on an edge: its bins are [lo, hi), and it computes in float32."""
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    labels, p, _, _, result = case
    for row, q in [(result["ensemble"], p.mean(0)), (result["members"]["each"][0], p[0])]:
        confidence = q.max(-1)
        edges = np.unique([k / b for b in (10, 15, 20) for k in range(b + 1)])
        # Confidences that float32 could move over an edge would make the comparison meaningless.
        assert np.abs(confidence[:, None] - edges).min() > 1e-7
        for key, bins, norm in [("ece", 15, "l1"), ("ece_10", 10, "l1"), ("ece_20", 20, "l1"), ("mce", 15, "max")]:
            theirs = functional.multiclass_calibration_error(
                torch.tensor(q, dtype=torch.float64), torch.tensor(labels), q.shape[-1], n_bins=bins, norm=norm)
            close(row[key], float(theirs), 1e-6)


def test_uncertainty_and_disagreement(case):
    _, p, _, _, result = case
    total, aleatoric = entropy(p.mean(0)).mean(), entropy(p).mean()
    close(result["uncertainty"]["total"], total)
    close(result["uncertainty"]["aleatoric"], aleatoric)
    close(result["uncertainty"]["epistemic"], total - aleatoric)
    pairs = [(a.argmax(-1) != b.argmax(-1)).mean() for a, b in itertools.combinations(p, 2)]
    close(result["disagreement"], np.mean(pairs))


def test_intervals_are_percentiles_over_paired_resamples_and_centred_for_binned_errors(tmp_path):
    labels, p = random_set(11, examples=200)
    result = probe("metrics", write_lines(tmp_path / "a.jsonl", labels, p), 15, 60, 99)["datasets"]["a"]
    draws = {"members_mean": [], "ensemble": [], "change": []}
    for counts in probe("resample", 99, 60, len(labels)):
        chosen = np.repeat(np.arange(len(labels)), counts)
        ensemble = twin(p.mean(0)[chosen], labels[chosen])
        members = [twin(q[chosen], labels[chosen]) for q in p]
        mean = {metric: np.mean([member[metric] for member in members]) for metric in METRICS}
        draws["ensemble"].append(ensemble)
        draws["members_mean"].append(mean)
        draws["change"].append({metric: ensemble[metric] - mean[metric] for metric in METRICS})
    own = {"ensemble": result["ensemble"], "members_mean": result["members"]["mean"]}
    own["change"] = {metric: own["ensemble"][metric] - own["members_mean"][metric] for metric in METRICS}
    for row, values in draws.items():
        for metric in METRICS:
            drawn = np.array([v[metric] for v in values])
            expected = np.percentile(drawn, [2.5, 97.5])
            if metric.startswith(("ece", "mce")):
                expected = expected - drawn.mean() + own[row][metric]
                if row != "change":
                    expected = np.maximum(expected, [0, -np.inf])
                assert expected[0] <= own[row][metric] <= expected[1]
            close(result["intervals"][row][metric], expected)


def test_interval_of_the_accuracy_is_about_the_binomial_one(tmp_path):
    labels, p = random_set(4, members=1, examples=1000)
    row = probe("metrics", write_lines(tmp_path / "a.jsonl", labels, p), 15, 2000, 5)["datasets"]["a"]
    a = row["ensemble"]["accuracy"]
    half = 1.96 * np.sqrt(a * (1 - a) / 1000)
    low, high = row["intervals"]["ensemble"]["accuracy"]
    assert low == pytest.approx(a - half, abs=0.15 * half)
    assert high == pytest.approx(a + half, abs=0.15 * half)


def test_resamples_draw_every_example_equally_often():
    counts = np.array(probe("resample", 3, 60, 50))
    assert (counts.sum(1) == 50).all()
    assert len({tuple(row) for row in counts}) == 60
    assert 30 < counts.sum(0).min() and counts.sum(0).max() < 95  # mean 60, standard deviation 7.7


def test_detection_against_scikit_learn(tmp_path):
    test_labels, test = random_set(1)
    _, shifted = random_set(2, examples=150, sharpness=1.0)
    result = probe("detect", write_lines(tmp_path / "test.jsonl", test_labels, test),
                   write_lines(tmp_path / "shifted.jsonl", -np.ones(150), shifted))
    truth = np.r_[np.zeros(400), np.ones(150)]

    def areas(a, b):
        score = {
            "entropy": lambda p: entropy(p.mean(0)),
            "max_probability": lambda p: 1 - p.mean(0).max(-1),
            "mutual_information": lambda p: entropy(p.mean(0)) - entropy(p).mean(0),
        }
        return {k: roc_auc_score(truth, np.r_[f(a), f(b)]) for k, f in score.items()}

    assert result["ensemble"]["auroc"] == pytest.approx(areas(test, shifted), rel=1e-9)
    single = [areas(test[m:m + 1], shifted[m:m + 1]) for m in range(5)]
    ours = result["members_mean"]["auroc"]
    for score in ("entropy", "max_probability"):
        close(ours[score], np.mean([s[score] for s in single]))
    assert ours["mutual_information"] == 0.5  # one member alone has none: all scores tie


def test_confidences_on_bin_edges(tmp_path):
    """k/15 as written by any tool belongs to the bin below, 1 to the last; a plain loop over fractions says the same."""
    from fractions import Fraction

    lines, rows = [], []
    for k in range(8, 16):
        for right in (True, False):
            p = k / 15
            lines.append({"label": 0 if right else 1, "probabilities": [p, 1 - p]})
            rows.append((Fraction(k, 15), right))
    for k, p in ((6, 0.6), (7, 0.7), (8, 0.8), (9, 0.9), (10, 1.0)):
        lines.append({"label": 0, "probabilities": [p, 1 - p]})
        rows.append((Fraction(k, 10), True))
    path = tmp_path / "edges.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    result = probe("metrics", path, 15, 0, 1)["datasets"]["edges"]["ensemble"]
    for key, bins in (("ece", 15), ("ece_10", 10), ("ece_20", 20)):
        total = Fraction(0)
        for b in range(bins):
            inside = [(c, r) for c, r in rows if Fraction(b, bins) < c <= Fraction(b + 1, bins)]
            total += abs(sum(Fraction(r) - c for c, r in inside))
        close(result[key], float(total / len(rows)), 1e-12)


def test_all_forms_of_input_agree(tmp_path):
    labels, p = random_set(5, choices=4)
    reference = probe("metrics", write_lines(tmp_path / "a.jsonl", labels, p), 15, 0, 1)["datasets"]["a"]
    log_p = np.log(p)
    for field, values in [("member_log_probabilities", log_p), ("member_logits", 7.5 + log_p)]:
        other = probe("metrics", write_lines(tmp_path / "b.jsonl", labels, values, field), 15, 0, 1)["datasets"]["b"]
        for metric in METRICS:
            close(other["ensemble"][metric], reference["ensemble"][metric])
    single = reference["members"]["each"][0]
    for field, values in [("probabilities", p), ("log_probabilities", log_p), ("logits", 3 + log_p)]:
        other = probe("metrics", write_lines(tmp_path / "c.jsonl", labels, values, field), 15, 0, 1)["datasets"]["c"]
        for metric in METRICS:
            close(other["ensemble"][metric], single[metric])
    for name, mark in (("d.csv", ","), ("d.tsv", "\t")):
        text = mark.join(["p1", "label", "p0", "note", "p2", "p3"]) + "\n"
        for n, label in enumerate(labels):
            q = [repr(float(v)) for v in p[0, n]]
            text += mark.join([q[1], str(label), q[0], "x", q[2], q[3]]) + "\n"
        (tmp_path / name).write_text(text)
        other = probe("metrics", tmp_path / name, 15, 0, 1)["datasets"]["d"]
        for metric in METRICS:
            close(other["ensemble"][metric], single[metric])


def test_rounded_probabilities_are_divided_by_their_sum(tmp_path):
    labels, p = random_set(6, members=1, choices=5)
    rounded = np.round(p, 4)
    rounded[rounded == 0] = 0.0001
    result = probe("metrics", write_lines(tmp_path / "a.jsonl", labels, rounded), 15, 0, 1)["datasets"]["a"]
    # Sums within 1e-5 of 1 stay as they are.
    close(result["ensemble"]["nll"], twin(rounded[0] / rounded[0].sum(-1, keepdims=True), labels)["nll"], 1e-5)


def test_unlabelled_files_report_uncertainty_alone(tmp_path):
    path = tmp_path / "u.jsonl"
    path.write_text('{"probabilities": [0.5, 0.5]}\n{"probabilities": [0.9, 0.1]}\n')
    result = probe("metrics", path, 15, 10, 1)["datasets"]["u"]
    assert result["labelled"] == 0 and "ensemble" not in result
    path.write_text('{"label": -1, "probabilities": [0.5, 0.5]}\n{"label": 0, "probabilities": [0.9, 0.1]}\n')
    assert probe("metrics", path, 15, 0, 1)["datasets"]["u"]["labelled"] == 1


def test_an_infinite_nll_is_null_and_counted(tmp_path):
    path = tmp_path / "i.jsonl"
    path.write_text('{"label": 1, "probabilities": [1, 0]}\n{"label": 0, "probabilities": [1, 0]}\n')
    row = probe("metrics", path, 15, 0, 1)["datasets"]["i"]["ensemble"]
    assert row["nll"] is None and row["infinite"] == 1 and row["accuracy"] == 0.5 and row["brier"] == 1.0


GOOD = '{"label": 1, "members": [[0.2, 0.8], [0.4, 0.6]]}'
FLAT = '{"label": 0, "probabilities": [0.2, 0.8]}'
BAD = [
    # name, content, line complained about (None: the file), words of the message
    ("sum.jsonl", GOOD + '\n{"label": 1, "members": [[0.2, 0.8], [0.4, 0.7]]}', 2, ["member 1", "sum to 1.1", "logits"]),
    ("low.jsonl", '{"label": 0, "probabilities": [0.2, 0.797]}', 1, ["sum to 0.997"]),
    ("negative.jsonl", '{"label": 0, "probabilities": [-0.2, 1.2]}', 1, ["negative", "-0.2", "logits"]),
    ("percent.jsonl", '{"label": 0, "probabilities": [20, 80]}', 1, ["sum to 100"]),
    ("zero.jsonl", '{"label": 0, "probabilities": [0, 0]}', 1, ["sum to 0"]),
    ("nan.jsonl", FLAT + '\n{"label": 0, "probabilities": [NaN, 1]}', 2, []),
    ("infinity.jsonl", '{"label": 0, "logits": [Infinity, 1]}', 1, []),
    ("huge.jsonl", '{"label": 0, "logits": [1e999, 1]}', 1, []),
    ("null.jsonl", '{"label": 0, "probabilities": [null, 1]}', 1, ["null", "not a number"]),
    ("text.jsonl", '{"label": 0, "probabilities": ["0.2", 0.8]}', 1, ["0.2", "not a number"]),
    ("ragged.jsonl", '{"label": 0, "members": [[0.2, 0.8], [0.2, 0.3, 0.5]]}', 1, ["member 1 has 3", "member 0 has 2"]),
    ("rows.jsonl", FLAT + '\n{"label": 0, "probabilities": [0.2, 0.3, 0.5]}', 2, ["3 choices", "line 1 has 2"]),
    ("count.jsonl", GOOD + '\n{"label": 0, "members": [[0.2, 0.8]]}', 2, ["1 members", "line 1 has 2"]),
    ("empty_row.jsonl", '{"label": 0, "probabilities": []}', 1, ["list of numbers"]),
    ("empty_members.jsonl", '{"label": 0, "members": []}', 1, ["one list of numbers per member"]),
    ("flat_members.jsonl", '{"label": 0, "members": [0.2, 0.8]}', 1, ["member 0", "list of numbers"]),
    ("nested.jsonl", '{"label": 0, "probabilities": [[0.2, 0.8]]}', 1, ["not a number"]),
    ("label_high.jsonl", '{"label": 2, "probabilities": [0.2, 0.8]}', 1, ["label 2", "2 choices", "from 0"]),
    ("label_low.jsonl", '{"label": -2, "probabilities": [0.2, 0.8]}', 1, ["label -2"]),
    ("label_real.jsonl", '{"label": 0.5, "probabilities": [0.2, 0.8]}', 1, ["label 0.5"]),
    ("label_text.jsonl", '{"label": "B", "probabilities": [0.2, 0.8]}', 1, ["label", "B"]),
    ("label_wide.jsonl", '{"label": 18446744073709551615, "probabilities": [0.2, 0.8]}', 1, ["label 18446744073709551615"]),
    ("label_gone.jsonl", FLAT + '\n{"probabilities": [0.2, 0.8]}', 2, ["no 'label'", "-1"]),
    ("label_new.jsonl", '{"probabilities": [0.2, 0.8]}\n' + FLAT, 2, ["has a 'label'", "-1"]),
    ("mixed.jsonl", FLAT + '\n{"label": 0, "logits": [0.2, 0.8]}', 2, ["'logits'", "'probabilities'"]),
    ("both.jsonl", '{"label": 0, "probabilities": [0.2, 0.8], "logits": [1, 2]}', 1, ["both", "'logits'"]),
    ("none.jsonl", '{"label": 0, "probabilites": [0.2, 0.8]}', 1, ["no predictions", "Did you mean 'probabilities'"]),
    ("logs.jsonl", '{"label": 0, "log_probabilities": [-1, -2]}', 1, ["sum to", "logits"]),
    ("twice.jsonl", '{"id": "a", %s\n{"id": "a", %s' % (FLAT[1:], FLAT[1:]), 2, ["'a'"]),
    ("array.jsonl", "[1, 2]", 1, []),
    ("broken.jsonl", FLAT + '\n{"label": 0, "probabilities": [0.2,', 2, []),
    ("empty.jsonl", "", None, []),
    ("gap.csv", "label,p0,p2\n0,0.2,0.8\n", 2, ["p2", "no column p1"]),
    ("nothing.csv", "label,a,b\n0,0.2,0.8\n", 2, ["no column p0"]),
    ("word.csv", "label,p0,p1\n0,0.2,0.8\n1,0.2,x\n", 3, ["p1", "'x'", "not a number"]),
    ("blank.csv", "label,p0,p1\n0,0.2,\n", 2, ["p1", "not a number"]),
    ("short.csv", "label,p0,p1\n0,0.2\n", 2, []),
    ("nan.csv", "label,p0,p1\n0,nan,0.8\n", 2, ["finite"]),
    ("comma.csv", 'label,p0,p1\n0,"0,2",0.8\n', 2, ["not a number"]),
    ("label.csv", "label,p0,p1\n0.0,0.2,0.8\n", 2, ["label"]),
    ("sum.tsv", "label\tp0\tp1\n0\t0.2\t0.7\n", 2, ["sum to 0.9"]),
    ("what.xlsx", "PK", None, [".jsonl"]),
    ("text.h5", "not HDF5", None, ["HDF5"]),
]


@pytest.mark.parametrize("name,content,line,words", BAD, ids=[case[0] for case in BAD])
def test_bad_files_are_refused_with_place_and_remedy(tmp_path, name, content, line, words):
    path = tmp_path / name
    path.write_text(content)
    result = probe("metrics", path, 15, 0, 1)
    assert result.get("code") == 3, result
    place = str(path) if line is None else f"{path}:{line}:"
    assert result["error"].startswith(place), result["error"]
    for word in words:
        assert word in result["error"], result["error"]


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "absent.jsonl", tmp_path / "absent.h5", tmp_path):
        result = probe("metrics", path, 15, 0, 1)
        assert result["code"] == 3 and str(path) in result["error"]


def test_validation_of_other_members_is_refused(tmp_path):
    labels, p = random_set(1)
    a, b = write_lines(tmp_path / "a.jsonl", labels, p), write_lines(tmp_path / "b.jsonl", labels, p[:3])
    result = probe("metrics", a, b, 15, 0, 1)
    assert result["code"] == 3 and "5 members" in result["error"] and "of 3" in result["error"]


def command(*words):
    return subprocess.run([PROBE.parent / "chorale", "calibrate", *map(str, words)], capture_output=True, text=True)


def test_the_command_prints_what_the_code_computes(tmp_path):
    labels, p = random_set(1)
    path = write_lines(tmp_path / "a.jsonl", labels, p)
    done = command(path, "--validation", path, "--format", "json", "--bins", 12, "--bootstrap", 20, "--seed", 5)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == probe("metrics", path, path, 12, 20, 5)["datasets"]["a"]


def test_the_command_prints_a_table_of_at_most_80_columns(tmp_path):
    labels, p = random_set(1)
    path = write_lines(tmp_path / "a.jsonl", labels, p)
    done = command(path, "--validation", path, "--bootstrap", 20)
    assert done.returncode == 0 and "ensemble + temperature" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_command_reports_all_sets_of_a_file_and_detection_against_test(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "p.h5", "w") as file:
        for name, seed in (("test", 1), ("validation", 2), ("verbs", 3)):
            labels, p = random_set(seed, examples=60, sharpness=0.5 if name == "verbs" else 2.0)
            file[f"predictions/{name}/log_probabilities"] = np.log(p).astype("f4")
            file[f"predictions/{name}/labels"] = labels if name != "verbs" else -np.ones(60, "i4")
    path = tmp_path / "p.h5"
    done = command(path, "--validation", path, "--format", "json", "--bootstrap", 0)
    sets = json.loads(done.stdout)["datasets"]
    assert set(sets) == {"test", "validation", "verbs"}
    assert sets["verbs"]["detection"]["ensemble"]["auroc"]["entropy"] > 0.9
    assert "detection" not in sets["validation"] and "intervals" not in sets["test"]
    assert "verbs" in done.stderr and "label" in done.stderr
    assert "AUROC" in command(path, "--bootstrap", 0).stdout


def test_the_command_answers_mistakes_with_its_exit_codes(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"label": 0, "probabilities": [0.2, 0.7]}')
    done = command(tmp_path / "a.jsonl")
    assert done.returncode == 3 and done.stdout == "" and f"{tmp_path}/a.jsonl:1:" in done.stderr
    assert command(tmp_path / "a.jsonl", "--format", "xml").returncode == 2
    assert command(tmp_path / "a.jsonl", "--bins", "0").returncode == 2
    assert command().returncode == 2
