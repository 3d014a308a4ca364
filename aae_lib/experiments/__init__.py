"""Experiments: every training run behind a figure or table, by name, and what is measured of it.

    trained = load_trained("aae-gaussian")      # the shipped weights
    trained.model.decode(torch.zeros(1, 2))

An experiment is data: a model and its sizes, a recipe, images, and the chapter whose measures it is judged by.
**Evidence** is what a trained model makes of the 10,000 test images, one file per seed, so that every number and every
scatter plot can be had again on a machine without MNIST.

    experiment   what an experiment, a chapter and a measure are
    builders     the models, from plain settings
    evidence     what is collected from a trained model, in memory and in files
    measures     the measures that several chapters share
    plane ...    one file for each chapter: its measures, recipes and experiments
    registry     all experiments by name
    trained      trained models and their evidence, from files
    runs         a training run, from an experiment to its weights and evidence
    shipping     from a finished run to what ships
"""

from aae_lib.experiments.clustering import CLUSTERING
from aae_lib.experiments.evidence import Evidence, Examination, examine, measure, read_evidence, save_evidence, test_set
from aae_lib.experiments.experiment import (
    EVIDENCE,
    PRETRAINED,
    Chapter,
    Experiment,
    Measure,
    evidence_path,
    weights_path,
)
from aae_lib.experiments.generators import DIGIT_CLASSIFIER, GENERATORS, KEPT, digit_classifier
from aae_lib.experiments.labels import LABELS
from aae_lib.experiments.likelihood import JUDGED, LIKELIHOOD
from aae_lib.experiments.measures import TRUSTED, decoded_samples, label_probabilities, predict
from aae_lib.experiments.plane import PLANE, VAE_CURVE, VAE_MIXTURE_CURVE
from aae_lib.experiments.posteriors import POSTERIORS
from aae_lib.experiments.reduction import REDUCTION
from aae_lib.experiments.registry import CHAPTERS, EXPERIMENTS, MEASURES, find, look_up
from aae_lib.experiments.runs import origin, train_experiment
from aae_lib.experiments.semi_supervised import AUGMENTED, SEMI_SUPERVISED
from aae_lib.experiments.shipping import ship
from aae_lib.experiments.style import STYLE
from aae_lib.experiments.trained import Trained, load_evidence, load_trained, shipped_seeds

__all__ = [
    "AUGMENTED", "CHAPTERS", "CLUSTERING", "DIGIT_CLASSIFIER", "EVIDENCE", "EXPERIMENTS", "GENERATORS", "JUDGED",
    "KEPT", "LABELS", "LIKELIHOOD", "MEASURES", "PLANE", "POSTERIORS", "PRETRAINED", "REDUCTION",
    "SEMI_SUPERVISED", "STYLE", "TRUSTED", "VAE_CURVE", "VAE_MIXTURE_CURVE", "Chapter", "Evidence", "Examination",
    "Experiment", "Measure", "Trained", "decoded_samples", "digit_classifier", "evidence_path", "examine", "find",
    "label_probabilities", "load_evidence", "load_trained", "look_up", "measure", "origin", "predict", "read_evidence",
    "save_evidence", "ship", "shipped_seeds", "test_set", "train_experiment", "weights_path",
]  # fmt: skip
