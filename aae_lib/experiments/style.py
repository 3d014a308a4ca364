"""Style and content: the decoder is told the label (AAE, section 4; Figures 6 and 7)."""

from functools import partial

from torch import Tensor

from aae_lib.experiments import builders
from aae_lib.experiments.evidence import Examination
from aae_lib.experiments.experiment import Chapter, Experiment, Measure
from aae_lib.experiments.measures import MATCH, RECONSTRUCTION_ERROR, in_batches, of, right_percent, small
from aae_lib.experiments.plane import AAE_RECIPE, SOURCE
from aae_lib.metrics import labels_from_codes
from aae_lib.priors import Gaussian


def read_from_style(examination: Examination) -> dict[str, Tensor]:
    """``from_style``, ``[n]``, uint8: the label that a classifier, fitted to training images, reads from the style."""
    model = examination.model
    training = None if examination.training is None else examination.training.labeled()
    if not training:
        return {}
    styles = in_batches(model.encode, training.images, model)
    held_out = model.prior.split(examination.codes)[1]
    return {"from_style": small(labels_from_codes(styles, training.labels, held_out))}


LABEL_FROM_STYLE = Measure(
    "label_from_style_percent",
    "label told from style, %",
    partial(of, right_percent, ("from_style", "labels")),
    (read_from_style,),
)
STYLE = Chapter(
    title="Style and content", notebook="05_style_and_content",
    measures=(RECONSTRUCTION_ERROR, LABEL_FROM_STYLE, *MATCH),
    columns=("reconstruction_error", "prior_coverage", "sliced_wasserstein", "label_from_style_percent"),
)


EXPERIMENTS = tuple(
    Experiment(
        name=name, title=f"supervised AAE, {dimensions}-D style", chapter=STYLE, figure=figure,
        build=builders.supervised, recipe=AAE_RECIPE, prior=Gaussian(dimensions),
        source=f"{SOURCE} {source}",
    )
    for name, dimensions, figure, source in (
        ("supervised", 15, "AAE Fig. 6-7", "Size of the style: AAE, section 4."),
        ("supervised-8d", 8, "AAE Fig. 7 (sizes of the style)", "Fewer styles are ours."),
        ("supervised-2d", 2, "AAE Fig. 7 (sizes of the style)", "Fewer styles are ours."),
    )
)
