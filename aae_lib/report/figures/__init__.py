"""The figures by name: each is drawn from shipped weights and evidence, and returns the integers behind it.

    figure, integers = FIGURES["figure-2a"].draw()

The integers are what a picture shows, counted, so that a test can tell whether the picture has changed. They come
from weights and evidence alone. Three figures also show digits of MNIST, or of the sample where MNIST is not at hand.

A figure is a function with the decorator :func:`figure`, in the module of its subject.
"""

from aae_lib.report.figures.registry import FIGURES, PaperFigure, figure

from aae_lib.report.figures import plane, priors, labels, clusters, generators, color  # isort: skip - the order of FIGURES
from aae_lib.report.figures.priors import POSTERIOR_TITLES
