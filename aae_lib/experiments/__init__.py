"""The registry of experiments: every training run behind a figure or table, by name.

An experiment is data: a model and its sizes, a recipe, and where each constant comes from.

    trained = load_trained("aae-gaussian")      # the shipped weights, seed 0
    trained.model.decode(torch.zeros(1, 2))

**Evidence** is what was measured on the 10,000 test images after training, one file per seed, so that every number
and every scatter plot can be had again on a machine without MNIST.

Four modules, each of which knows only those before it:

    registry    the experiments themselves: their models, recipes and images, and the papers' numbers
    trained     trained models, from the files of their weights
    evidence    what a trained model makes of held-out images, in memory and in files, and the metrics that follow
    runs        a training run, from an experiment to its weights and evidence
"""

from aae_lib.experiments.evidence import (
    EVIDENCE,
    JUDGED,
    KEPT,
    REPEATS,
    SAMPLES,
    TRUSTED,
    Evidence,
    continuous_prior,
    decoded_samples,
    evidence_path,
    examine,
    examined_topic,
    finds_clusters,
    has_labels,
    label_probabilities,
    load_evidence,
    measure,
    predict,
    read_evidence,
    save_evidence,
    shipped_seeds,
    test_set,
)
from aae_lib.experiments.registry import (
    CLUSTERS,
    EXPERIMENTS,
    GENERATORS,
    JUDGE,
    LABELS,
    LIKELIHOOD,
    MAPS,
    PLANE,
    POSTERIORS,
    SEMI_SUPERVISED,
    STYLE,
    UNMOVED,
    VAE_CURVE,
    VAE_MIXTURE_CURVE,
    Experiment,
    Reported,
    UnknownNameError,
    build,
    by_paper,
    find,
    look_up,
)
from aae_lib.experiments.runs import check_request, origin, seed_folder, train_experiment, train_seeds
from aae_lib.experiments.trained import PRETRAINED, Trained, load_trained, weights_path

__all__ = [
    "CLUSTERS",
    "EVIDENCE",
    "EXPERIMENTS",
    "GENERATORS",
    "JUDGE",
    "JUDGED",
    "KEPT",
    "LABELS",
    "LIKELIHOOD",
    "MAPS",
    "PLANE",
    "POSTERIORS",
    "PRETRAINED",
    "REPEATS",
    "SAMPLES",
    "SEMI_SUPERVISED",
    "STYLE",
    "TRUSTED",
    "UNMOVED",
    "VAE_CURVE",
    "VAE_MIXTURE_CURVE",
    "Evidence",
    "Experiment",
    "Reported",
    "Trained",
    "UnknownNameError",
    "build",
    "by_paper",
    "check_request",
    "continuous_prior",
    "decoded_samples",
    "evidence_path",
    "examine",
    "examined_topic",
    "find",
    "finds_clusters",
    "has_labels",
    "label_probabilities",
    "load_evidence",
    "load_trained",
    "look_up",
    "measure",
    "origin",
    "predict",
    "read_evidence",
    "save_evidence",
    "seed_folder",
    "shipped_seeds",
    "test_set",
    "train_experiment",
    "train_seeds",
    "weights_path",
]
