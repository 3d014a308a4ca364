"""Evidence: what is found in models, on the sample digits and a tiny budget, its files, and its metrics."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from support import (
    LABELED,
    OF_CLUSTERS,
    OF_MAPS,
    STEPS,
    TINY,
    TINY_CLUSTERS,
    TINY_MAPS,
    TINY_WITH_LABELS,
    agree,
    go,
    with_tiny_networks,
)

from aae_lib import experiments
from aae_lib.data import Digits, Images
from aae_lib.experiments import (
    CLUSTERS,
    EXPERIMENTS,
    GENERATORS,
    JUDGE,
    LIKELIHOOD,
    MAPS,
    SEMI_SUPERVISED,
    STYLE,
    Evidence,
    Experiment,
    build,
    continuous_prior,
    evidence_path,
    examine,
    examined_topic,
    find,
    finds_clusters,
    has_labels,
    label_probabilities,
    load_trained,
    measure,
    read_evidence,
    save_evidence,
    weights_path,
)
from aae_lib.metrics import (
    BANDWIDTHS,
    class_shares,
    frechet_distance,
    image_change,
    labels_from_codes,
    match,
    neighbor_accuracy,
    own_class,
    prior_samples,
    sharpness,
    squared_errors,
    steepest_tenth,
)
from aae_lib.models import (
    AdversarialAutoencoder,
    AdversarialGeneratorEncoder,
    AdversariallyLearnedInference,
    GaussianPosteriorAutoencoder,
    GenerativeAdversarialNetwork,
    Model,
    UniversalPosteriorAutoencoder,
    VariationalAutoencoder,
)
from aae_lib.networks import JointDiscriminator, OntoSphere, convolutional_decoder, convolutional_encoder
from aae_lib.priors import ClassConditionalPrior, Gaussian, UniformSphere, seeded
from aae_lib.storage import StorageError, read_file, write_file
from aae_lib.training import train

STOCHASTIC = VariationalAutoencoder | GaussianPosteriorAutoencoder | UniversalPosteriorAutoencoder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    return with_tiny_networks(monkeypatch)


def test_which_models_have_labels_and_which_find_clusters() -> None:
    for name, experiment in EXPERIMENTS.items():
        model = build(experiment, 0)
        of_labels = {STYLE, SEMI_SUPERVISED, CLUSTERS, MAPS}
        assert has_labels(model) == (experiment.topic in of_labels and hasattr(model, "decoder")) or name in LABELED
        assert finds_clusters(model) == (name in OF_CLUSTERS)
        if experiment.topic in (LIKELIHOOD, GENERATORS):
            assert continuous_prior(model) is model.prior and (model.prior is None) == (name == JUDGE)
    for name in (*OF_MAPS, "reduce-2d-unsupervised"):
        assert continuous_prior(build(find(name), 0)) is None
    assert continuous_prior(build(find("cluster-16"), 0)).dimensions == 10


def test_the_continuous_prior_is_the_part_that_is_no_label() -> None:
    for make in TINY.values():
        model = make()
        assert continuous_prior(model) is model.prior
    for name, make in TINY_WITH_LABELS.items():
        model = make()
        prior = continuous_prior(model)
        if name == "labels-100":
            assert prior is None
        else:
            assert isinstance(prior, Gaussian) and prior.dimensions == model.prior.dimensions - 10


# From a run to its metrics

OF_ALL = {"reconstruction_error", "neighbor_accuracy"}
OF_A_PRIOR = {"prior_coverage", "sliced_wasserstein", "sample_sharpness", "image_change", "steepest_tenth"}
OF_A_DENSITY = OF_ALL | OF_A_PRIOR | {"inside_prior"}
OF_CLASSES = {"smallest_class", "largest_class"}
MEASURES = {
    "autoencoder": OF_ALL,
    "aae-gaussian": OF_A_DENSITY,
    "vae-gaussian": OF_A_DENSITY,
    "aae-mixture": OF_A_DENSITY | OF_CLASSES,
    "vae-mixture": OF_A_DENSITY | OF_CLASSES,
    "aae-mixture-labels": OF_A_DENSITY | OF_CLASSES | {"own_class"},
    "aae-swissroll-labels": OF_ALL | OF_A_PRIOR | OF_CLASSES | {"own_class"},
    "aae-gaussian-posterior": OF_A_DENSITY,
    "aae-universal-posterior": OF_A_DENSITY,
}


@pytest.mark.parametrize("name", MEASURES)
def test_measures_have_their_names_and_are_had_again(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment = find(name)
    go(experiment, digits, tmp_path)
    trained = load_trained(name, weights_path(experiment, tmp_path))
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), digits.test.labels)
    metrics = measure(experiment, stored)
    assert metrics == measure(experiment, examine(trained.model, digits.test, trained.header))
    assert metrics.keys() == MEASURES[name]
    # Each against its definition, on the model.
    prior, labels = trained.model.prior, digits.test.labels
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)  # a stochastic encoder's codes in the evidence are those of seed 0
        codes = trained.model.encode(digits.test.images)
        errors = 0.5 * (trained.model.decode(codes) - digits.test.images).square().sum(1)
    codes = codes.half()
    expected = {"reconstruction_error": errors.mean().item(), "neighbor_accuracy": neighbor_accuracy(codes, labels)}
    if prior is not None:
        samples = prior_samples(prior, 2000)
        changes = image_change(trained.model.decode, samples)
        expected |= match(codes, prior) | {
            "sample_sharpness": sharpness(trained.model.decode(samples)).mean().item(),
            "image_change": changes.mean().item(),
            "steepest_tenth": steepest_tenth(changes),
        }
    if isinstance(prior, ClassConditionalPrior):
        shares = class_shares(codes, prior).tolist()
        expected |= {"smallest_class": min(shares), "largest_class": max(shares)}
    if "own_class" in MEASURES[name]:
        expected["own_class"] = own_class(codes, labels, prior)
    assert metrics == pytest.approx(expected, rel=1e-3)


OF_A_STYLE = {"reconstruction_error", "prior_coverage", "sliced_wasserstein", "inside_prior"}
MEASURES_WITH_LABELS = {
    "supervised": OF_A_STYLE | {"label_from_style_percent"},
    "supervised-2d": OF_A_STYLE | {"label_from_style_percent"},
    "semi-100": OF_A_STYLE | {"test_error_percent"},
    "labels-100": {"test_error_percent"},
    "m2-100": OF_A_STYLE | {"test_error_percent"},
}


@pytest.mark.parametrize("name", TINY_WITH_LABELS)
def test_measures_of_models_with_labels_have_their_names_and_are_had_again(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment, digits = find(name), replace(digits, train=digits.train[:800])
    go(experiment, digits, tmp_path)
    trained = load_trained(name, weights_path(experiment, tmp_path))
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), digits.test.labels)
    metrics = measure(experiment, stored)
    assert metrics.keys() == MEASURES_WITH_LABELS[name]
    again = examine(trained.model, digits.test, trained.header, training=digits.train)
    assert agree(again, stored) and metrics == measure(experiment, again)
    # Each against its definition, on the model.
    model, labels, expected = trained.model, digits.test.labels, {}
    with torch.no_grad(), seeded(0):
        codes = model.code_of(digits.test)
        if name != "labels-100":
            errors = 0.5 * (model.decode(codes) - digits.test.images).square().sum(1)
            expected["reconstruction_error"] = errors.mean().item()
            expected |= match(codes[:, 10:].half(), Gaussian(codes.shape[1] - 10))
        if "test_error_percent" in metrics:
            read = [int(logits.argmax()) for logits in model.classify(digits.test.images)]
            expected["test_error_percent"] = 100 * sum(map(int.__ne__, read, labels.tolist())) / 1000
        else:
            styles = model.encode(digits.train.images)
            found = labels_from_codes(styles, digits.train.labels, model.encode(digits.test.images))
            assert torch.equal(stored.from_style.long(), found)
            expected["label_from_style_percent"] = 100 * sum(map(int.__eq__, found.tolist(), labels.tolist())) / 1000
    assert metrics == pytest.approx(expected, rel=1e-3)


def test_the_error_is_that_of_the_stored_predictions() -> None:
    labels = torch.arange(200) % 10
    predictions = torch.where(torch.arange(200) < 13, (labels + 1) % 10, labels).byte()
    for name in LABELED:
        metrics = measure(find(name), Evidence({}, labels, predictions=predictions))
        assert metrics == {"test_error_percent": pytest.approx(100 * 13 / 200)}
    told = measure(find("supervised"), Evidence({}, labels, from_style=predictions))
    assert told == {"label_from_style_percent": pytest.approx(100 * 187 / 200)}


# What is found in a model with labels


def enlarge(model: Model) -> Model:
    """The same model with weights so large that images differ in their labels."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_a_classifier_without_a_decoder_gives_probabilities_and_predictions(digits: Digits) -> None:
    model, some = enlarge(TINY_WITH_LABELS["labels-100"]()), digits.test[::4]
    evidence = examine(model, some, {})
    assert evidence.tensors.keys() == {"codes", "predictions"}
    assert evidence.predictions.dtype == torch.uint8 and len(evidence.predictions.unique()) > 2
    assert evidence.codes.shape == (250, 10) and evidence.codes.dtype == torch.float16
    assert torch.allclose(evidence.codes.float().sum(1), torch.ones(250), atol=5e-3)
    highest = evidence.codes.float().gather(1, evidence.predictions.long()[:, None])[:, 0]
    assert torch.equal(highest, evidence.codes.float().amax(1))


@pytest.mark.parametrize("name", ["semi-100", "m2-100"])
def test_a_semi_supervised_model_gives_labels_styles_and_errors(name: str, digits: Digits) -> None:
    model, some = enlarge(TINY_WITH_LABELS[name]()), digits.test[::4]
    evidence = examine(model, some, {}, training=digits.train[:100])
    assert evidence.tensors.keys() == {"codes", "squared_errors", "predictions"}
    assert evidence.codes.shape == (250, 20) and evidence.squared_errors.shape == (250,)
    highest = evidence.codes.float().gather(1, evidence.predictions.long()[:, None])[:, 0]
    assert torch.equal(highest, evidence.codes[:, :10].float().amax(1)) and len(evidence.predictions.unique()) > 2
    other = examine(model, replace(some, labels=9 - some.labels), {})
    assert agree(other, evidence), "it is told no labels"


@torch.no_grad()
def test_squared_errors_are_in_steps_of_a_256th(digits: Digits) -> None:
    model, some = enlarge(TINY_WITH_LABELS["semi-100"]()), digits.test[::4]
    found = examine(model, some, {}).squared_errors
    exact = squared_errors(some.images, model.eval().decode(model.encode(some.images)))
    assert torch.equal(256 * found, (256 * found).round()) and not torch.equal(found, found.round())
    assert 0 < (found - exact).abs().max() < 0.51 / 256


def test_a_supervised_model_gives_true_labels_and_styles_and_what_these_tell_after_training(digits: Digits) -> None:
    model, some, training = enlarge(TINY_WITH_LABELS["supervised"]()), digits.test[::4], digits.train[:1500]
    without = examine(model, some, {})
    assert without.tensors.keys() == {"codes", "squared_errors"}
    assert torch.equal(without.codes[:, :10].argmax(1), some.labels) and (without.codes[:, :10].sum(1) == 1).all()
    evidence = examine(model, some, {}, training)
    assert evidence.tensors.keys() == {"codes", "squared_errors", "from_style"}
    assert torch.equal(evidence.codes, without.codes) and evidence.from_style.dtype == torch.uint8
    right = (evidence.from_style == some.labels).double().mean()
    assert right > 0.4, "a style of random weights is a projection of the image, which tells the label"
    # Whoever reads the style sees no label of the images in question; the decoder does.
    other = examine(model, replace(some, labels=9 - some.labels), {}, training)
    assert torch.equal(other.from_style, evidence.from_style)
    assert not torch.equal(other.squared_errors, evidence.squared_errors)
    told = measure(find("supervised"), other)["label_from_style_percent"]
    assert told == pytest.approx(100 * (evidence.from_style == 9 - some.labels).double().mean().item())


@pytest.mark.parametrize("name", ["semi-100", "m2-100"])
def test_without_codes_all_is_measured_but_their_match(name: str, digits: Digits, tmp_path: Path) -> None:
    evidence = examine(TINY_WITH_LABELS[name](), digits.test[:300], {"seed": 1})
    save_evidence(tmp_path / "all", evidence)
    save_evidence(tmp_path / "less", replace(evidence, codes=Evidence({}, evidence.labels).codes))
    every, less = (measure(find(name), read_evidence(tmp_path / f, evidence.labels)) for f in ("all", "less"))
    assert less.keys() == {"test_error_percent", "reconstruction_error"} < every.keys()
    assert less.items() <= every.items()


# What is found in a model that finds clusters, or maps


def certain(model: Model) -> Model:
    """The same model with weights so large that images fall into different clusters, some of them into none."""
    torch.manual_seed(3)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.2)
    return model.eval()


def probabilities_by_hand(model: Model, images: Images) -> np.ndarray:
    with torch.no_grad():
        logits = model.encoder(images.images)[:, : model.prior.classes].double().numpy()
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def names_by_hand(model: Model, naming: Images) -> list[list[int]]:
    """Both rules, one cluster after the other."""
    probabilities, labels = probabilities_by_hand(model, naming), naming.labels.numpy()
    majority = []
    for cluster in range(model.prior.classes):
        own = labels[probabilities.argmax(1) == cluster]
        majority.append(int(np.bincount(own).argmax()) if len(own) else -1)
    return [majority, labels[probabilities.argmax(0)].tolist()]


@pytest.mark.parametrize("name", TINY_CLUSTERS)
def test_clusters_are_the_most_probable_labels_and_named_by_both_rules_on_the_last_sixth(
    name: str, digits: Digits
) -> None:
    model, some, training = certain(TINY_CLUSTERS[name]()), digits.test[::2], digits.train[:1200]
    evidence = examine(model, some, {}, training)
    of_map = {"heads", "trustworthiness"} if name != "cluster-16" else set()
    assert evidence.tensors.keys() == {"codes", "squared_errors", "clusters", "names"} | of_map
    expected = probabilities_by_hand(model, some)
    assert evidence.clusters.dtype == torch.uint8 and evidence.clusters.tolist() == expected.argmax(1).tolist()
    assert len(evidence.clusters.unique()) > 3
    np.testing.assert_allclose(label_probabilities(model, some).detach(), expected, atol=1e-5)

    (trained_on,) = find(name).select(training, 0)
    naming = training[len(trained_on) :]
    assert len(naming) == 200 and (trained_on.labels == -1).all()
    assert evidence.names.dtype == torch.int8 and evidence.names.tolist() == names_by_hand(model, naming)
    assert evidence.names[0].min() == -1 <= evidence.names[1].min(), "one cluster is empty at least"
    renamed = examine(model, some, {}, replace(training, labels=torch.cat([9 - trained_on.labels, naming.labels])))
    assert agree(renamed, evidence), "of the images that it is trained on no label is read"
    other = examine(model, replace(some, labels=9 - some.labels), {}, training)
    assert agree(other, evidence), "of the test images no label is read"
    assert examine(model, some, {}).tensors.keys() == evidence.tensors.keys() - {"names"}


@pytest.mark.parametrize("name", TINY_MAPS)
def test_a_map_has_heads_and_the_trustworthiness_of_its_first_images(
    name: str, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_lib.experiments.evidence.TRUSTED", 150)
    model, some = certain(TINY_MAPS[name]()), digits.test[::2]
    evidence = examine(model, some, {}, digits.train[:300])
    assert torch.equal(evidence.heads, model.heads.positions) and evidence.heads.dtype == torch.float32
    expected = trustworthiness(some.images[:150], evidence.codes[:150].float(), n_neighbors=10)
    assert evidence.trustworthiness.shape == (1,) and evidence.trustworthiness.dtype == torch.float32
    assert evidence.trustworthiness.item() == pytest.approx(expected, abs=1e-6)
    with torch.no_grad():
        output = model.encoder(some.images)
    label, style = output[:, : model.prior.classes].softmax(1), output[:, model.prior.classes :]
    torch.testing.assert_close(evidence.codes.float(), label @ evidence.heads + style, rtol=2e-3, atol=2e-3)
    if name == "reduce-10d-100":
        assert not len(evidence.clusters) and not len(evidence.names)
        assert evidence.predictions.tolist() == label.argmax(1).tolist()


def test_digits_of_clusters_are_their_names_by_the_majority() -> None:
    names = torch.tensor([[3, -1, 7], [5, 6, 8]], dtype=torch.int8)
    clusters = torch.tensor([2, 0, 1, 1, 2], dtype=torch.uint8)
    evidence = Evidence({}, torch.tensor([7, 3, 9, 9, 1]), clusters=clusters, names=names)
    assert evidence.digits_of_clusters.tolist() == [7, 3, -1, -1, 7]


def test_clusters_are_measured_by_scikit_learn_and_by_their_names() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (500,), generator=generator)
    clusters = (labels + 5 * (torch.rand(500, generator=generator) < 0.4)) % 16
    clusters[clusters == 3] = 0
    names = torch.arange(32).reshape(2, 16) % 10
    names[0, 11:], names[0, 5] = -1, -1
    evidence = Evidence({}, labels, clusters=clusters.byte(), names=names.to(torch.int8))
    majority, surest = (
        sum(int(names[rule, cluster]) != int(label) for cluster, label in zip(clusters, labels, strict=True))
        for rule in (0, 1)
    )
    sizes = [int((clusters == cluster).sum()) for cluster in range(16)]
    assert measure(find("cluster-16"), evidence) == pytest.approx(
        {
            "adjusted_rand_index": adjusted_rand_score(labels, clusters),
            "normalized_mutual_information": normalized_mutual_info_score(labels, clusters),
            "empty_clusters": sum(size < 500 / 16 / 10 for size in sizes),
            "test_error_percent": 100 * majority / 500,
            "test_error_percent_most_confident": 100 * surest / 500,
        }
    )
    assert 0 < majority < 500 and majority != surest


def test_clusters_without_names_have_no_error() -> None:
    evidence = Evidence({}, torch.arange(10).repeat(4), clusters=torch.arange(10).repeat(4).byte())
    expected = {"adjusted_rand_index": 1, "normalized_mutual_information": 1, "empty_clusters": 6}
    assert measure(find("cluster-16"), evidence) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["cluster-16", "reduce-2d-unsupervised", "reduce-10d-100"])
def test_measures_of_clusters_and_maps_have_their_names_and_are_had_again(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_lib.experiments.evidence.TRUSTED", 200)
    experiment, digits = find(name), replace(digits, train=digits.train[:900], test=digits.test[::2])
    go(experiment, digits, tmp_path)
    trained = load_trained(name, weights_path(experiment, tmp_path))
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), digits.test.labels)
    again = examine(trained.model, digits.test, trained.header, training=digits.train)
    metrics = measure(experiment, stored)
    assert agree(again, stored) and metrics == measure(experiment, again)
    assert trained.header["trained_on"] == (1000 if name == "reduce-10d-100" else 750)
    model, labels = trained.model, digits.test.labels
    with torch.no_grad():
        codes = model.encode(digits.test.images)
        errors = 0.5 * (model.decode(codes) - digits.test.images).square().sum(1)
    expected = {"reconstruction_error": errors.mean().item()}
    best = probabilities_by_hand(model, digits.test).argmax(1)
    if name == "reduce-10d-100":
        expected["test_error_percent"] = 100 * (best != labels.numpy()).mean()
    else:
        by_majority, by_the_surest = (np.array(names)[best] for names in names_by_hand(model, digits.train[750:]))
        sizes = np.bincount(best, minlength=model.prior.classes)
        expected |= {
            "test_error_percent": 100 * (by_majority != labels.numpy()).mean(),
            "test_error_percent_most_confident": 100 * (by_the_surest != labels.numpy()).mean(),
            "adjusted_rand_index": adjusted_rand_score(labels, best),
            "normalized_mutual_information": normalized_mutual_info_score(labels, best),
            # of the real experiment's number of clusters, which is that of the tiny one
            "empty_clusters": (sizes < 500 / model.prior.classes / 10).sum(),
        }
    if name == "cluster-16":
        expected |= match(codes[:, 16:].half(), Gaussian(5))
    else:
        kept = trustworthiness(digits.test.images[:200], codes[:200].half().float(), n_neighbors=10)
        expected |= {"neighbor_accuracy": neighbor_accuracy(codes.half(), labels), "trustworthiness": kept}
    assert metrics == pytest.approx(expected, rel=1e-3)


# What is drawn from posteriors and priors


def test_examining_leaves_random_numbers_alone(digits: Digits) -> None:
    for model in (TINY["vae-gaussian"](), TINY_WITH_LABELS["m2-100"](), TINY_WITH_LABELS["supervised-2d"]()):
        state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
        one, other = (examine(model, digits.test[:50], {}, digits.train[:500]) for _ in range(2))
        assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == numpy_state).all()
        assert agree(one, other) and not one.codes.requires_grad


@pytest.mark.parametrize("name", TINY)
def test_repeated_codes_of_an_image_vary_where_the_encoder_is_stochastic(name: str, digits: Digits) -> None:
    torch.manual_seed(0)
    model = TINY[name]()
    for parameter in model.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # so that images differ in their codes
    evidence = examine(model, digits.test[:50], {})
    assert evidence.codes.shape == (50, 2) and evidence.repeated.shape == (10, 200, 2)
    repeated = evidence.repeated.float()
    if isinstance(model, STOCHASTIC):
        assert (repeated.std(1) > 0.01).all()
        assert all(len(codes.unique(dim=0)) > 150 for codes in repeated)
    else:
        assert (repeated == repeated[:, :1]).all()
        assert torch.allclose(repeated[:, 0], evidence.codes[:10].float(), atol=2e-3)
        assert len(repeated[:, 0].unique(dim=0)) == 10


@pytest.mark.parametrize("name", ["vae-gaussian", "aae-gaussian-posterior"])
def test_repeated_codes_are_a_cloud_of_the_posterior(name: str, digits: Digits) -> None:
    torch.manual_seed(0)
    model = TINY[name]()
    for parameter in model.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    clouds = examine(model, digits.test[:50], {}).repeated.float()
    posterior = model.posterior if name == "vae-gaussian" else model.encoder.posterior
    with torch.no_grad():
        mean, log_variance = posterior(digits.test.images[:10])
    deviation = (0.5 * log_variance).exp()
    assert ((clouds.mean(1) - mean).abs() < 4 * deviation / 200**0.5).all()
    assert torch.allclose(clouds.std(1), deviation, rtol=0.25)


def test_what_is_decoded_from_the_prior_is_looked_at_where_there_is_one(digits: Digits) -> None:
    without = examine(TINY["autoencoder"](), digits.test[:50], {})
    assert without.sharpness.shape == without.changes.shape == (0,)
    assert without.tensors.keys() == {"codes", "squared_errors", "repeated"}
    within = examine(TINY["aae-mixture"](), digits.test[:50], {})
    assert within.tensors.keys() == {"codes", "squared_errors", "sharpness", "changes", "repeated"}
    assert len(within.sharpness) == len(within.changes) == 2000 and (within.changes > 0).all()


# The error in the history of a run


@pytest.mark.parametrize("name", ["semi-100", "labels-100", "m2-100"])
def test_the_history_has_the_error_of_the_model_of_each_report(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment = find(name)
    (report,) = go(experiment, digits, tmp_path)
    (entry,) = load_trained(name, weights_path(experiment, tmp_path)).header["history"]
    model = build(experiment, 0).eval()
    assert entry.keys() == {"step", *model.moves, "error_percent"}
    state = read_file(tmp_path / "state.safetensors")[0]
    model.load_state_dict({key: state[f"weights/{key}"] for key in model.state_dict()})
    with torch.no_grad():
        wrong = (model.classify(digits.test.images).argmax(1) != digits.test.labels).sum().item()
    assert entry["error_percent"] == pytest.approx(wrong / 10)
    assert report.measures == {"error_percent": pytest.approx(wrong / 10)}


@pytest.mark.parametrize("name", TINY_CLUSTERS)
def test_the_history_of_clusters_has_the_error_by_the_majority_of_the_images_that_name_them(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment, digits = find(name), replace(digits, train=digits.train[:1200])
    for validation in (False, True):
        out = tmp_path / str(validation)
        go(experiment, digits, out, validation=validation)
        (entry,) = load_trained(name, weights_path(experiment, out)).header["history"]
        assert entry.keys() == {"step", *experiment.build().moves, "error_percent"}
    # Without validation the last 200 of 1,200 name the clusters, of which the test images make the error.
    model = build(experiment, 0)
    go_on = {"images": experiment.select(digits.train, 0), "steps": STEPS, "device": "cpu"}
    list(train(model, recipe=experiment.recipe, **go_on))
    clusters = probabilities_by_hand(model, digits.test).argmax(1)
    majority, _ = names_by_hand(model, digits.train[1000:])
    wrong = (np.array(majority)[clusters] != digits.test.labels.numpy()).mean()
    entry = load_trained(name, weights_path(experiment, tmp_path / "False")).header["history"][-1]
    assert entry["error_percent"] == pytest.approx(100 * wrong, abs=1e-3)


# Files


def test_what_evidence_does_not_have_is_empty_and_not_written(tmp_path: Path) -> None:
    labels = torch.arange(10)
    assert Evidence({}, labels).tensors == {} and measure(find("semi-100"), Evidence({}, labels)) == {}
    evidence = Evidence({"seed": 2}, labels, predictions=labels.byte())
    save_evidence(tmp_path / "file", evidence)
    tensors, header = read_file(tmp_path / "file")
    assert tensors.keys() == {"predictions"} and header == {"seed": 2}
    found = read_evidence(tmp_path / "file", labels)
    assert agree(found, evidence) and found.header == {"seed": 2} and torch.equal(found.labels, labels)
    assert len(found.codes) == len(found.squared_errors) == len(found.from_style) == 0


def test_read_evidence_takes_the_labels_of_the_test_set_if_it_is_told_none(
    tmp_path: Path, folder_of_evidence: Path, digits: Digits
) -> None:
    save_evidence(tmp_path / "file", Evidence({}, torch.zeros(1000), predictions=digits.test.labels.byte()))
    assert torch.equal(read_evidence(tmp_path / "file").labels, digits.test.labels)
    with pytest.raises(StorageError, match="there is no file"):
        read_evidence(tmp_path / "nothing")
    (tmp_path / "damaged").write_bytes((tmp_path / "file").read_bytes()[:-1])
    with pytest.raises(StorageError, match="damaged"):
        read_evidence(tmp_path / "damaged")


def test_evidence_is_not_paired_with_the_labels_of_other_images(
    tmp_path: Path, folder_of_evidence: Path, digits: Digits
) -> None:
    predictions = digits.test.labels.byte()
    for header in ({"evaluated_on": "validation"}, {"data_name": "FashionMNIST"}):
        save_evidence(tmp_path / "file", Evidence(header, torch.zeros(1000), predictions=predictions))
        with pytest.raises(StorageError, match=r"measured on other images \(.*(validation|FashionMNIST).*\): name"):
            read_evidence(tmp_path / "file")
        assert torch.equal(read_evidence(tmp_path / "file", digits.test.labels).predictions, predictions)
    with pytest.raises(StorageError, match="measured on 1000 images, and here are 999 labels"):
        read_evidence(tmp_path / "file", digits.test.labels[1:])
    write_file(tmp_path / "weights", {"encoder.0.weight": torch.zeros(2)}, {})
    for path in (tmp_path / "weights", experiments.PRETRAINED / "evidence" / "test-set.safetensors"):
        with pytest.raises(StorageError, match="holds no evidence"):
            read_evidence(path)


@pytest.fixture
def folder_of_evidence(tmp_path: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In the place of what ships: a folder with nothing but what is kept of the test images."""
    monkeypatch.setattr("aae_lib.experiments.evidence.EVIDENCE", tmp_path)
    tensors = {"labels": digits.test.labels.to(torch.uint8), "sharpness": sharpness(digits.test.images).half()}
    write_file(tmp_path / "test-set.safetensors", tensors, {})
    experiments.test_set.cache_clear()
    yield tmp_path
    experiments.test_set.cache_clear()


@pytest.mark.parametrize(
    "name",
    ["autoencoder", "aae-gaussian", "vae-mixture", "aae-swissroll-labels", *TINY_WITH_LABELS, *TINY_CLUSTERS],
)
def test_evidence_goes_around(name: str, digits: Digits, folder_of_evidence: Path) -> None:
    model = (TINY | TINY_WITH_LABELS | TINY_CLUSTERS)[name]()
    evidence = examine(model, digits.test, {"experiment": name, "seed": 3}, digits.train[:500])
    path = evidence_path(find(name), 3, folder_of_evidence)
    save_evidence(path, evidence)
    found = experiments.load_evidence(name, 3)
    assert agree(found, evidence) and found.header == evidence.header
    assert found.labels.dtype == torch.int64 and torch.equal(found.labels, digits.test.labels)
    assert found.sharpness.dtype == found.changes.dtype == found.repeated.dtype == torch.float16
    without = name == "autoencoder" or name in TINY_WITH_LABELS | TINY_CLUSTERS
    assert len(found.sharpness) == len(found.changes) == (0 if without else 2000)
    assert found.predictions.dtype == found.from_style.dtype == found.clusters.dtype == torch.uint8
    assert found.names.dtype == torch.int8 and found.heads.dtype == found.trustworthiness.dtype == torch.float32
    assert len(found.clusters) == (1000 if name in TINY_CLUSTERS else 0)
    assert "labels" not in read_file(path)[0]


def test_shipped_seeds_are_listed_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aae_lib.experiments.evidence.EVIDENCE", tmp_path)
    for name in ("vae-gaussian-seed-10", "vae-gaussian-seed-2", "vae-gaussian-0.5-seed-3", "aae-gaussian-seed-4"):
        (tmp_path / f"{name}.safetensors").touch()
    assert experiments.shipped_seeds("vae-gaussian") == [2, 10]
    assert experiments.shipped_seeds("vae-gaussian-0.5") == [3]


# Generators, judged by a classifier of digits, and the window of likelihood

JUDGED, KEPT = 300, 40


def of_24_numbers(kind: type[Model]) -> Model:
    """The models of 64-D codes with 24-D ones and networks of four base channels."""
    if kind is AdversarialGeneratorEncoder:
        encoder = torch.nn.Sequential(*convolutional_encoder(24, 4), OntoSphere())
        return kind(UniformSphere(24), encoder, convolutional_decoder(24, 4))
    if kind is GenerativeAdversarialNetwork:
        return kind(Gaussian(24), convolutional_decoder(24, 4), convolutional_encoder(1, 4))
    return kind(Gaussian(24), convolutional_encoder(48, 4), convolutional_decoder(24, 4), JointDiscriminator(24, 4))


def of_10_numbers(kind: type[Model]) -> Model:
    outputs = 20 if kind is VariationalAutoencoder else 10
    return kind(Gaussian(10), networks=(convolutional_encoder(outputs, 4), convolutional_decoder(10, 4)))


TINY_GENERATORS = {
    "age": lambda: of_24_numbers(AdversarialGeneratorEncoder),
    "dcgan": lambda: of_24_numbers(GenerativeAdversarialNetwork),
    "ali": lambda: of_24_numbers(AdversariallyLearnedInference),
    "vae-conv": lambda: of_10_numbers(VariationalAutoencoder),
    "aae-conv": lambda: of_10_numbers(AdversarialAutoencoder),
}
OF_SAMPLES = {"fid", "rarest_digit", "sample_sharpness"}
OF_CODES = {"reconstruction_error", "neighbor_accuracy", "sliced_wasserstein"}
MEASURES_OF_GENERATORS = {
    "age": OF_SAMPLES | OF_CODES,  # no coverage in many dimensions, and no density of the sphere
    "dcgan": OF_SAMPLES,
    "ali": OF_SAMPLES | OF_CODES | {"inside_prior"},
    "vae-conv": OF_SAMPLES | OF_CODES | {"inside_prior", "prior_coverage"},
    "aae-conv": OF_SAMPLES | OF_CODES | {"inside_prior", "prior_coverage"},
}


@pytest.fixture
def tiny_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny networks, of which 300 samples are judged; 40 codes of 24 numbers are kept."""
    monkeypatch.setattr("aae_lib.experiments.evidence.JUDGED", JUDGED)
    monkeypatch.setattr("aae_lib.experiments.evidence.KEPT", KEPT)
    for name, make in TINY_GENERATORS.items():
        monkeypatch.setitem(EXPERIMENTS, name, replace(EXPERIMENTS[name], build=make))


@torch.no_grad()
def judged_by_hand(model: Model, real: torch.Tensor) -> tuple[list[int], float]:
    """The digits of samples, and their FID, each by its definition."""
    samples = model.eval().decode(prior_samples(model.prior, JUDGED))
    judge = load_trained(JUDGE).model
    digits = [int(logits.argmax()) for logits in judge.classify(samples)]
    one, other = (judge.encoder[:-1](images).double().numpy() for images in (samples, real))
    covariances = [np.cov(features, rowvar=False) for features in (one, other)]
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)).sum()
    distance = ((one.mean(0) - other.mean(0)) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * root
    return digits, float(distance)


@pytest.mark.parametrize("name", TINY_GENERATORS)
def test_measures_of_generators_have_their_names_and_are_had_again(
    name: str, digits: Digits, tmp_path: Path, tiny_generators: None
) -> None:
    """And the history has FID, of the model of each report before its weights are rounded for the file."""
    experiment = find(name)
    digits = replace(digits, train=digits.train[:256], test=digits.test[::5])
    (report,) = go(experiment, digits, tmp_path, steps=2)
    trained = load_trained(name, weights_path(experiment, tmp_path))
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), digits.test.labels)
    metrics = measure(experiment, stored)
    again = examine(trained.model, digits.test, trained.header, training=digits.train, topic=experiment.topic)
    assert agree(again, stored) and metrics == measure(experiment, again)
    assert metrics.keys() == MEASURES_OF_GENERATORS[name]
    without = examine(trained.model, digits.test, {}, training=digits.train)
    assert without.tensors.keys() == stored.tensors.keys() - {"fid", "sample_digits"}, "of no other topic"

    # Each against its definition, on the model.
    model, labels = trained.model, digits.test.labels
    of_samples, distance = judged_by_hand(model, digits.test.images)
    assert stored.sample_digits.dtype == torch.uint8 and stored.sample_digits.tolist() == of_samples
    assert stored.fid.dtype == torch.float32 and stored.fid.shape == (1,)
    shares = np.bincount(of_samples, minlength=10) / JUDGED
    expected = {"fid": distance, "rarest_digit": shares.min()}
    with torch.no_grad(), seeded(0):
        drawn = model.decode(prior_samples(model.prior, 2000))
        expected["sample_sharpness"] = sharpness(drawn).mean().item()
        if name != "dcgan":
            codes = model.encode(digits.test.images)
            errors = 0.5 * (model.decode(codes) - digits.test.images).square().sum(1)
            kept = codes.half()[:KEPT] if codes.shape[1] > 20 else codes.half()
            assert torch.equal(stored.codes, kept) and stored.squared_errors.shape == (200,)
            expected["reconstruction_error"] = errors.mean().item()
            compared = kept[:KEPT]  # as many of every generator
            expected["neighbor_accuracy"] = neighbor_accuracy(compared, labels[:KEPT])
            expected |= match(compared, model.prior)
    assert metrics == pytest.approx(expected, rel=2e-3, abs=1e-6)

    (entry,) = trained.header["history"]
    assert entry.keys() == {"step", *model.moves, "fid"} and report.measures.keys() == {"fid"}
    whole = build(experiment, 0)
    list(train(whole, experiment.select(digits.train, 0), experiment.recipe, steps=2, device="cpu"))
    assert entry["fid"] == pytest.approx(judged_by_hand(whole, digits.test.images)[1], rel=1e-3)
    assert entry["fid"] == pytest.approx(report.measures["fid"], abs=1e-4)


def test_the_judge_judges_images_that_it_was_trained_on_beside_the_test_images(digits: Digits) -> None:
    """The last sixth of them; of the test images themselves only the features are taken, not the labels."""
    some, training, judge = digits.test[::5], digits.train[:1200], load_trained(JUDGE).model
    evidence = examine(judge, some, {}, training=training, topic=GENERATORS)
    assert evidence.tensors.keys() == {"codes", "predictions", "sample_digits", "fid"}
    with torch.no_grad():
        seen, unseen = (judge.features(part) for part in (training.images[1000:], some.images))
        read = judge.classify(training.images[1000:]).argmax(1)
    assert evidence.sample_digits.tolist() == read.tolist()
    assert evidence.fid.item() == pytest.approx(frechet_distance(seen, unseen), rel=1e-4)
    metrics = measure(find(JUDGE), evidence)
    assert metrics.keys() == {"test_error_percent", "fid", "rarest_digit"}
    others = Images(some.images, 9 - some.labels)
    assert agree(examine(judge, others, {}, training=training, topic=GENERATORS), evidence)
    assert examine(judge, some, {}, topic=GENERATORS).tensors.keys() == {"codes", "predictions"}


def test_a_generator_of_a_plane_has_no_codes_and_is_examined(digits: Digits) -> None:
    torch.manual_seed(0)
    model = GenerativeAdversarialNetwork(Gaussian(2), convolutional_decoder(2, 4), convolutional_encoder(1, 4))
    evidence = examine(model, digits.test[::50], {})
    assert evidence.tensors.keys() == {"sharpness", "changes"}


def test_images_of_other_things_are_not_judged_as_digits(tiny_generators: None, digits: Digits, tmp_path: Path) -> None:
    experiment = find("dcgan")
    garments = replace(digits, train=digits.train[:256], test=digits.test[::20], name="FashionMNIST")
    assert (examined_topic(experiment, digits), examined_topic(experiment, garments)) == (GENERATORS, None)
    assert examined_topic(find("semi-100"), garments) == SEMI_SUPERVISED
    (report,) = go(experiment, garments, tmp_path, steps=2)
    assert report.measures == {}
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), garments.test.labels)
    assert stored.tensors.keys() == {"sharpness"}


def test_the_rarest_digit_may_be_missing() -> None:
    drawn = torch.tensor([0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).byte()
    evidence = Evidence({}, torch.arange(10), sample_digits=drawn, fid=torch.tensor([2.5]))
    assert measure(find("dcgan"), evidence) == {"fid": 2.5, "rarest_digit": 0}
    evidence = replace(evidence, sample_digits=torch.arange(10).repeat(3).byte())
    assert measure(find("dcgan"), evidence)["rarest_digit"] == pytest.approx(0.1)


def of_eight() -> Model:
    """The model of likelihood with 32 hidden units, and weights by which samples differ."""
    torch.manual_seed(0)
    model = AdversarialAutoencoder(Gaussian(8, standard_deviation=5.0), (32,))
    for parameter in model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


def test_the_window_of_likelihood_is_chosen_on_the_last_sixth_of_the_training_images(
    digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never on test images, nor on those that the model is trained on, which would have other bandwidths."""
    monkeypatch.setattr("aae_lib.experiments.evidence.JUDGED", JUDGED)
    model, some = of_eight(), digits.test[:40]
    with torch.no_grad():
        samples = model.decode(prior_samples(model.prior, JUDGED))
    noise = torch.randn(50, 784, generator=torch.Generator().manual_seed(0))

    def found_with(validation: torch.Tensor, fitted: torch.Tensor, test: Images = some) -> Evidence:
        training = Images(torch.cat([fitted, validation]), digits.train.labels[:300])
        return examine(model, test, {}, training=training, topic=LIKELIHOOD)

    def by_hand(images: torch.Tensor, bandwidth: float) -> np.ndarray:
        squares = torch.cdist(images.double(), samples.double()).square().numpy()
        of_each = np.logaddexp.reduce(-squares / (2 * bandwidth**2), axis=1) - np.log(JUDGED)
        return of_each - 784 * np.log(bandwidth * np.sqrt(2 * np.pi))

    near, fitted = samples[:50] + 0.15 * noise, digits.train.images[:250]
    evidence = found_with(near, fitted)
    means = [by_hand(near, bandwidth).mean() for bandwidth in BANDWIDTHS.tolist()]
    best = float(BANDWIDTHS[int(np.argmax(means))])
    assert BANDWIDTHS[0] < best < BANDWIDTHS[-1]
    assert evidence.bandwidth.shape == (1,) and evidence.bandwidth.item() == pytest.approx(best, rel=1e-6)
    assert evidence.log_likelihoods.dtype == torch.float32
    np.testing.assert_allclose(evidence.log_likelihoods, by_hand(some.images, best), rtol=1e-4, atol=0.05)
    metrics = measure(find("likelihood"), evidence)
    assert metrics["bandwidth"] == pytest.approx(best)
    assert metrics["parzen_log_likelihood_10k"] == pytest.approx(by_hand(some.images, best).mean(), rel=1e-4)

    others = found_with(near, fitted, Images(samples[:40], some.labels))
    assert torch.equal(others.bandwidth, evidence.bandwidth), "test images choose nothing"
    assert others.log_likelihoods.mean() > evidence.log_likelihoods.mean() + 100
    assert agree(found_with(near, samples[:250]), evidence), "images that are trained on choose nothing"
    nearer = found_with(samples[:50] + 0.1 * noise, fitted)
    assert BANDWIDTHS[0] < nearer.bandwidth < evidence.bandwidth

    training = Images(torch.cat([fitted, near]), digits.train.labels[:300])
    without = evidence.tensors.keys() - {"bandwidth", "log_likelihoods"}
    assert examine(model, some, {}, topic=LIKELIHOOD).tensors.keys() == without
    assert examine(model, some, {}, training=training).tensors.keys() == without
