"""predictions.h5 between our program and h5py: each reads what the other wrote."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

PROBE = pathlib.Path(os.environ["CHORALE_BIN"]) / "calibration_probe"


def probe(*words):
    done = subprocess.run([PROBE, *map(str, words)], capture_output=True, text=True, check=True)
    assert "HDF5-DIAG" not in done.stderr and done.stderr == "", done.stderr
    return json.loads(done.stdout)


def log_probabilities(seed, members=3, examples=40, choices=4):
    z = np.random.default_rng(seed).normal(size=(members, examples, choices))
    z[:, ::5, -1] = -np.inf  # examples with an option less
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def write_foreign(path, sets, **attributes):
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        for name, arrays in sets.items():
            for key, value in arrays.items():
                file[f"predictions/{name}/{key}"] = value
    return path


def foreign_set(seed, dtype="f4"):
    lp = log_probabilities(seed)
    labels = np.random.default_rng(seed).integers(0, 3, lp.shape[1])
    return {"log_probabilities": lp.astype(dtype), "labels": labels,
            "example_ids": [f"id {n} ä" for n in range(lp.shape[1])]}


def test_h5py_reads_ours_without_our_code(tmp_path):
    written = foreign_set(1)
    ours = tmp_path / "ours.h5"
    assert probe("rewrite", write_foreign(tmp_path / "in.h5", {"test": written}), ours) == {"sets": 1, "equal": True}
    with h5py.File(ours) as file:
        assert file.attrs["format"] == "chorale-predictions"
        assert file.attrs["format_version"] == 1
        assert file.attrs["created_by"].startswith("chorale ")
        assert file.attrs["recipe"] == "name: probe\n"
        group = file["predictions/test"]
        lp = group["log_probabilities"]
        assert lp.dtype == np.float32 and lp.fletcher32 and lp.chunks is not None
        assert list(lp.attrs["axes"]) == ["member", "example", "choice"] and "logarithm" in lp.attrs["meaning"]
        assert group["labels"].dtype == np.int32 and group["labels"].fletcher32
        np.testing.assert_array_equal(lp[:], written["log_probabilities"])
        np.testing.assert_array_equal(group["labels"][:], written["labels"])
        assert list(group["example_ids"].asstr()[:]) == written["example_ids"]


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
def test_we_read_what_h5py_wrote(tmp_path, dtype):
    """float64 is read at its own precision; half precision sums to 1 within the tolerance and is divided by its sum."""
    arrays = foreign_set(2, dtype)
    result = probe("metrics", write_foreign(tmp_path / "a.h5", {"test": arrays}), 15, 0, 1)["datasets"]["test"]
    lp = arrays["log_probabilities"].astype("f8")
    if dtype == "f2":
        lp -= np.log(np.exp(lp).sum(-1, keepdims=True))
    pooled = np.exp(lp).mean(0)
    expected = -np.log(pooled[np.arange(40), arrays["labels"]]).mean()
    assert result["ensemble"]["nll"] == pytest.approx(expected, rel=1e-6 if dtype == "f2" else 1e-12)
    assert result["choices"] == 4 and result["examples"] == 40


def test_all_sets_are_reported(tmp_path):
    path = write_foreign(tmp_path / "a.h5", {"test": foreign_set(1), "verbs": foreign_set(2)})
    assert set(probe("metrics", path, 15, 0, 1)["datasets"]) == {"test", "verbs"}


def test_a_file_changed_by_another_program_is_still_ours_to_read(tmp_path):
    ours = tmp_path / "ours.h5"
    probe("rewrite", write_foreign(tmp_path / "in.h5", {"test": foreign_set(1)}), ours)
    with h5py.File(ours, "r+") as file:
        file.attrs["note"] = "looked at"
        del file["predictions/test/labels"]
    assert probe("metrics", ours, 15, 0, 1)["datasets"]["test"]["labelled"] == 0


def replaced(**arrays):
    """A valid set with some arrays replaced (None: removed)."""
    result = foreign_set(1)
    for key, value in arrays.items():
        if value is None:
            del result[key]
        else:
            result[key] = value
    return result


LP = log_probabilities(1).astype("f4")
BAD = {
    "two axes": (replaced(log_probabilities=LP[0]), ["log_probabilities", "[members, examples, choices]"]),
    "no example": (replaced(log_probabilities=LP[:, :0]), ["log_probabilities"]),
    "whole numbers": (replaced(log_probabilities=np.zeros((3, 40, 4), "i4")), ["floating-point"]),
    "missing": (replaced(log_probabilities=None), ["log_probabilities", "missing"]),
    "not a number": (replaced(log_probabilities=np.where(np.arange(4) == 2, np.nan, LP)), ["member 0, example 0"]),
    "infinite": (replaced(log_probabilities=np.where(np.arange(4) == 2, np.inf, LP)), ["+inf"]),
    "no choice left": (replaced(log_probabilities=np.full_like(LP, -np.inf)), ["sum to 0"]),
    "probabilities": (replaced(log_probabilities=np.exp(LP)), ["sum to", "log-softmax"]),
    "labels too short": (replaced(labels=np.zeros(3, "i4")), ["labels", "40 examples"]),
    "label too high": (replaced(labels=np.full(40, 4)), ["label 4", "4 choices"]),
    "label too low": (replaced(labels=np.full(40, -2)), ["label -2"]),
    "label beyond 32 bits": (replaced(labels=np.full(40, 2**40)), ["label 1099511627776"]),
    "label unsigned": (replaced(labels=np.full(40, 2**64 - 1, "u8")), ["label 9223372036854775807"]),
    "real labels": (replaced(labels=np.zeros(40)), ["labels", "whole"]),
    "ids twice": (replaced(example_ids=["a"] * 40), ["'a'", "twice"]),
    "ids too few": (replaced(example_ids=["a"]), ["example_ids", "40 examples"]),
    "ids as numbers": (replaced(example_ids=np.arange(40)), ["example_ids", "strings"]),
}


@pytest.mark.parametrize("name", BAD)
def test_arrays_that_do_not_fit_are_refused(tmp_path, name):
    arrays, words = BAD[name]
    path = write_foreign(tmp_path / "bad.h5", {"test": arrays})
    result = probe("metrics", path, 15, 0, 1)
    assert result.get("code") == 3 and result["error"].startswith(f"{path}: "), result
    for word in words:
        assert word in result["error"], result["error"]


def test_another_format_and_a_newer_version_are_named(tmp_path):
    result = probe("metrics", write_foreign(tmp_path / "a.h5", {"t": foreign_set(1)}, format="keras"), 15, 0, 1)
    assert result["code"] == 3 and "'keras'" in result["error"]
    newer = {"format": "chorale-predictions", "format_version": 2}
    result = probe("metrics", write_foreign(tmp_path / "b.h5", {"t": foreign_set(1)}, **newer), 15, 0, 1)
    assert result["code"] == 3 and "format_version 2" in result["error"] and "up to 1" in result["error"]


def test_links_and_storage_outside_the_file_are_refused(tmp_path):
    inner = write_foreign(tmp_path / "inner.h5", {"test": foreign_set(1)})
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file.create_group("predictions")["test"] = h5py.ExternalLink("inner.h5", "/predictions/test")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout(shape=(3, 40, 4), dtype="f4")
        layout[:] = h5py.VirtualSource(str(inner), "predictions/test/log_probabilities", shape=(3, 40, 4))
        file.create_virtual_dataset("predictions/test/log_probabilities", layout)
    (tmp_path / "raw").write_bytes(bytes(3 * 40 * 4 * 4))
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("predictions/test/log_probabilities", (3, 40, 4), "f4",
                            external=[(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)])
    for name, word in [("link.h5", "link"), ("virtual.h5", "other files"), ("external.h5", "other files")]:
        result = probe("metrics", tmp_path / name, 15, 0, 1)
        assert result.get("code") == 3 and word in result["error"], result


def test_a_claim_of_terabytes_costs_nothing(tmp_path):
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("predictions/t/log_probabilities", (1000, 1000000, 1000), "f4", chunks=(1, 1000, 100))
    result = probe("metrics", tmp_path / "huge.h5", 15, 0, 1)
    assert result["code"] == 3 and "claims" in result["error"]


def test_damage_in_a_file_of_another_program_is_found_by_its_checksums(tmp_path):
    path = tmp_path / "a.h5"
    arrays = foreign_set(1)
    with h5py.File(path, "w") as file:
        file.create_dataset("predictions/t/log_probabilities", data=arrays["log_probabilities"], fletcher32=True,
                            chunks=True)
        file["predictions/t/labels"] = arrays["labels"]
        place = file["predictions/t/log_probabilities"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 5] ^= 1
    path.write_bytes(content)
    result = probe("metrics", path, 15, 0, 1)
    assert result["code"] == 3 and "Fletcher32" in result["error"]
    path.write_bytes(content[:-100])
    assert "truncated" in probe("metrics", path, 15, 0, 1)["error"]
