"""Parzen windows of many samples: on a few of them, and the record that ships."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import sem
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from aae_lib import __main__ as command_line
from aae_lib import likelihoods
from aae_lib.data import Digits, Images
from aae_lib.experiments import Trained, find, load_evidence
from aae_lib.likelihoods import Likelihood, estimate, read_record, save_record
from aae_lib.metrics import BANDWIDTHS, prior_samples
from aae_lib.models import AdversarialAutoencoder
from aae_lib.priors import Gaussian
from aae_lib.storage import StorageError, read_file, write_file

JUDGED, MANY, VALIDATED, CHUNK = 30, 70, 25, 20  # in the place of 10,000, a million, 1,000 and 50,000
NAMES = [("AAE", JUDGED), ("AAE", MANY), ("training images", JUDGED), ("k-means centroids", JUDGED)]


@pytest.fixture(scope="module")
def model() -> AdversarialAutoencoder:
    """The model of the experiment with 32 hidden units, and weights by which samples differ."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AdversarialAutoencoder(Gaussian(8, standard_deviation=5.0), (32,))
        for parameter in model.decoder.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


@torch.no_grad()
def samples_of(model: AdversarialAutoencoder, count: int, chunk: int = CHUNK) -> Tensor:
    """Samples in parts of at most `chunk`, each with the next seed."""
    sizes = [min(chunk, count - start) for start in range(0, count, chunk)]
    return torch.cat([model.decode(prior_samples(model.prior, size, seed)) for seed, size in enumerate(sizes)])


@pytest.fixture(scope="module")
def few(digits: Digits, model: AdversarialAutoencoder) -> Digits:
    """300 images that are fitted, 60 that choose the bandwidth, and 40 test images.

    Those that choose lie around samples of the model, so that their best bandwidth is none at the ends.
    """
    noise = torch.randn(60, 784, generator=torch.Generator().manual_seed(0))
    near = samples_of(model, JUDGED).repeat(2, 1) + 0.15 * noise
    train_set = Images(torch.cat([digits.train.images[:300], near]), digits.train.labels[:360])
    return replace(digits, train=train_set, test=digits.test[:40])


@pytest.fixture
def small(model: AdversarialAutoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 30 and 70 samples of a tiny model."""

    def load(name: str) -> Trained:
        assert name == "likelihood"
        return Trained(find(name), model, {})

    monkeypatch.setattr(likelihoods, "load_trained", load)
    monkeypatch.setattr(likelihoods, "SAMPLE_COUNTS", (JUDGED, MANY))
    for name, value in (("JUDGED", JUDGED), ("VALIDATED", VALIDATED), ("CHUNK", CHUNK)):
        monkeypatch.setattr(likelihoods, name, value)


def with_validation(few: Digits, images: Tensor) -> Digits:
    """The same digits with other images to choose the bandwidth by."""
    return replace(few, train=replace(few.train, images=torch.cat([few.train.images[:300], images])))


def by_hand(samples: Tensor, images: Tensor, bandwidth: float) -> np.ndarray:
    """log p(x) of each image in float64, from all pairs."""
    squares = ((images.double().numpy()[:, None] - samples.double().numpy()) ** 2).sum(2)
    of_each = np.logaddexp.reduce(-squares / (2 * bandwidth**2), axis=1) - np.log(len(samples))
    return of_each - images.shape[1] * np.log(bandwidth * np.sqrt(2 * np.pi))


def test_windows_are_those_of_all_pairs(few: Digits, model: AdversarialAutoencoder, small: None) -> None:
    """The bandwidth is that of the validation images: of all, or of the first of them where samples are many."""
    fitted, validation, test = few.train.images[:300], few.train.images[300:], few.test.images
    means = MiniBatchKMeans(JUDGED, init="random", n_init=1, batch_size=4096, max_iter=10, random_state=0)
    centroids = torch.from_numpy(means.fit(fitted.numpy()).cluster_centers_)
    expected = [
        (samples_of(model, JUDGED), validation),
        (samples_of(model, MANY), validation[:VALIDATED]),
        (fitted[:JUDGED], validation),
        (centroids, validation),
    ]
    found = list(estimate(few))
    assert [(window.name, window.samples) for window in found] == NAMES
    for window, (samples, choosing) in zip(found, expected, strict=True):
        of_choosing = [by_hand(samples, choosing, bandwidth).mean() for bandwidth in BANDWIDTHS.tolist()]
        best = float(BANDWIDTHS[int(np.argmax(of_choosing))])
        of_each = by_hand(samples, test, best)
        assert window.bandwidth == pytest.approx(best, rel=1e-6)
        assert window.log_likelihood == pytest.approx(of_each.mean(), rel=1e-4, abs=0.05)
        assert window.standard_error == pytest.approx(sem(of_each), rel=1e-3)
    assert BANDWIDTHS[0] < found[0].bandwidth < BANDWIDTHS[-1]


@pytest.mark.parametrize("chunk", [1, 7, 30, 69, 1000])
def test_samples_in_parts_make_the_same_windows_as_in_one_piece(
    chunk: int, few: Digits, model: AdversarialAutoencoder, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, asked = samples_of(model, MANY, MANY), []

    def decoded(model: AdversarialAutoencoder, count: int, seed: int = 0) -> Tensor:
        """The samples of the pool from the place that the seed's part begins at."""
        asked.append(count)
        return pool[seed * likelihoods.CHUNK :][:count]

    monkeypatch.setattr(likelihoods, "decoded_samples", decoded)
    monkeypatch.setattr(likelihoods, "SAMPLE_COUNTS", (MANY,))
    monkeypatch.setattr(likelihoods, "CHUNK", MANY)
    whole = next(estimate(few))
    assert set(asked) == {MANY}
    asked.clear()
    monkeypatch.setattr(likelihoods, "CHUNK", chunk)
    in_parts = next(estimate(few))
    assert max(asked) == min(chunk, MANY) and sum(asked) % MANY == 0
    assert in_parts.samples == whole.samples == MANY and in_parts.bandwidth == whole.bandwidth
    assert in_parts.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-5)
    assert in_parts.standard_error == pytest.approx(whole.standard_error, rel=1e-4)
    assert whole.log_likelihood == pytest.approx(by_hand(pool, few.test.images, whole.bandwidth).mean(), rel=1e-4)


def test_bandwidths_are_chosen_on_validation_images_and_on_no_others(
    few: Digits, model: AdversarialAutoencoder, small: None
) -> None:
    def bandwidths(digits: Digits) -> list[float]:
        return [window.bandwidth for window in estimate(digits)]

    expected = list(estimate(few))
    chosen = [window.bandwidth for window in expected]
    at_samples = replace(few, test=Images(samples_of(model, JUDGED)[:20].repeat(2, 1), few.test.labels))
    found = list(estimate(at_samples))  # of which the smallest bandwidth is the best one
    assert [window.bandwidth for window in found] == chosen
    assert found[0].log_likelihood > expected[0].log_likelihood + 100
    fitted = replace(few.train, images=torch.cat([samples_of(model, 300, 300), few.train.images[300:]]))
    assert bandwidths(replace(few, train=fitted))[:2] == chosen[:2], "nor on those that the model is trained on"
    unnamed = replace(few, train=few.train.without_labels(), test=few.test.without_labels())
    assert list(estimate(unnamed)) == expected, "no label is read"

    validation = few.train.images[300:]
    nearer = samples_of(model, JUDGED).repeat(2, 1) + 0.6 * (validation - samples_of(model, JUDGED).repeat(2, 1))
    assert bandwidths(with_validation(few, nearer))[0] < chosen[0]
    later = bandwidths(with_validation(few, torch.cat([validation[:VALIDATED], torch.rand(60 - VALIDATED, 784)])))
    assert later[0] > chosen[0] and later[1] == chosen[1], "many samples ask the first images alone"


def test_windows_of_the_same_digits_are_the_same(few: Digits, small: None) -> None:
    first = list(estimate(few))
    with torch.random.fork_rng():
        torch.manual_seed(17)
        state = torch.get_rng_state()
        assert list(estimate(few)) == first
        assert torch.equal(torch.get_rng_state(), state)


# Records

SOME = [Likelihood("AAE", 10_000, 0.2, 300.25, 2.5), Likelihood("training images", 10_000, 0.25, 250.0, 1.5)]


def test_a_record_goes_around(tmp_path: Path) -> None:
    save_record(tmp_path / "record", SOME, {"data": "some digits"})
    assert read_record(tmp_path / "record") == SOME
    tensors, header = read_file(tmp_path / "record")
    assert not tensors and header.keys() == {"data", "likelihoods"} and header["data"] == "some digits"


def test_a_record_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no file"):
        read_record(tmp_path / "nothing")
    write_file(tmp_path / "record", {}, {"likelihoods": []})
    assert read_record(tmp_path / "record") == []
    (tmp_path / "record").write_bytes(b"no record")
    with pytest.raises(StorageError, match="is damaged or no file of aae_lib"):
        read_record(tmp_path / "record")


def test_the_command_measures_the_windows_and_writes_the_record(
    few: Digits, small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "load_mnist", lambda: few)
    out = tmp_path / "new" / "record"
    command_line.likelihoods(out)
    windows = read_record(out)
    assert windows == list(estimate(few))
    _, header = read_file(out)
    assert (header["data"], header["data_sha256"]) == (few.source, few.sha256)
    assert {"device", "versions", "revision"} <= header.keys()
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == f"data: {few.source}" and last == f"wrote {out}" and len(lines) == len(windows)
    for line, window in zip(lines, windows, strict=True):
        assert line.startswith(f"  {window.name}, {window.samples:,} samples, bandwidth {window.bandwidth:.3f}: ")
        assert line.endswith(f"{window.log_likelihood:.1f} ± {window.standard_error:.1f} nats")


def test_the_record_that_ships_begins_with_the_window_of_the_evidence() -> None:
    record = read_record()
    counts = [("AAE", 10_000), ("AAE", 100_000), ("AAE", 1_000_000)]
    controls = [("training images", 10_000), ("k-means centroids", 10_000)]
    assert [(window.name, window.samples) for window in record] == counts + controls
    evidence = load_evidence("likelihood")
    of_each = evidence.log_likelihoods.double().numpy()
    assert record[0].bandwidth == pytest.approx(evidence.bandwidth.item())
    assert record[0].log_likelihood == pytest.approx(of_each.mean(), abs=0.05)
    assert record[0].standard_error == pytest.approx(sem(of_each), abs=0.01)
    few, some, many = record[:3]
    assert few.log_likelihood < some.log_likelihood < many.log_likelihood, "more samples lie nearer"
    assert few.bandwidth >= some.bandwidth >= many.bandwidth
    for window in record:
        assert BANDWIDTHS[0] < window.bandwidth < BANDWIDTHS[-1], "the best one is none at the ends"
        assert 0 < window.standard_error < 5
    _, header = read_file(likelihoods.RECORD)
    assert {"data", "data_sha256", "device", "versions", "revision", "likelihoods"} <= header.keys()
    assert header["data_sha256"] == evidence.header["data_sha256"]
    assert not header["revision"].endswith("+"), "made by a revision that one can have again"
