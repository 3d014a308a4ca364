"""Experiments: every training run behind a figure or table, by name, and what is measured of it.

    trained = load_trained("aae-gaussian")      # the shipped weights
    trained.model.decode(torch.zeros(1, 2))

An experiment is data: a model and its sizes, a recipe, images, and the chapter whose measures it is judged by.
**Evidence** is what a trained model makes of the 10,000 test images, one file per seed, so that every number and every
scatter plot can be had again on a machine without MNIST. The measures and experiments of each chapter have a file.
"""

from aae_lib.experiments.clustering import CLUSTERING
from aae_lib.experiments.color import CIFAR10_CLASSIFIER, COLOR
from aae_lib.experiments.evidence import Evidence, examine, measure, read_evidence, save_evidence, test_set
from aae_lib.experiments.experiment import (
    AUGMENTED,
    EVIDENCE,
    PRETRAINED,
    Chapter,
    Experiment,
    Starts,
    evidence_path,
    weights_path,
)
from aae_lib.experiments.generators import DIGIT_CLASSIFIER, GENERATORS, digit_classifier
from aae_lib.experiments.likelihood import JUDGED
from aae_lib.experiments.measures import TRUSTED, decoded_samples, label_probabilities, predict
from aae_lib.experiments.plane import PLANE, VAE_CURVE, VAE_MIXTURE_CURVE
from aae_lib.experiments.reduction import REDUCTION
from aae_lib.experiments.registry import CHAPTERS, EXPERIMENTS, find, look_up
from aae_lib.experiments.runs import origin, train_experiment
from aae_lib.experiments.shipping import ship
from aae_lib.experiments.trained import Trained, load_evidence, load_trained, shipped_seeds
