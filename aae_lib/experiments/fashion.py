"""Fashion-MNIST: the recipes of the digits on pictures of clothes, as they are."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from aae_lib import metrics
from aae_lib.experiments import clustering, measures, semi_supervised
from aae_lib.experiments.evidence import Examination
from aae_lib.experiments.experiment import Chapter, Experiment, Measure


def clustered_by_k_means(examination: Examination) -> dict[str, Tensor]:
    """``k_means_clusters`` ``[n]``, uint8, and ``k_means_names`` ``[1, clusters]``, int8, beside those of the model.

    As many clusters of pixels, of the images that the model trains on, named by the majority of the last sixth.
    """
    from sklearn.cluster import KMeans

    if examination.training is None or not hasattr(examination.model.prior, "classes"):
        return {}
    fitted, naming = examination.training.hold_out()
    count = examination.model.prior.classes
    method = KMeans(count, n_init=4, random_state=0).fit(fitted.images.numpy())
    found, of_naming = (torch.from_numpy(method.predict(part.images.numpy())) for part in (examination.images, naming))
    names = metrics.majority_names(of_naming, naming.labels, count)
    return {"k_means_clusters": found.byte(), "k_means_names": names[None]}


K_MEANS_ERROR = Measure(
    "k_means_error_percent", "test error of k-means on pixels, %",
    partial(measures.of, partial(measures.error_of_names, 0), ("k_means_names", "k_means_clusters", "labels")),
    (clustered_by_k_means,),
)  # fmt: skip
OF_LABELS = Chapter(
    title="Fashion-MNIST, with labels", notebook="12_your_own_images",
    measures=(measures.TEST_ERROR, measures.RECONSTRUCTION_ERROR),
    columns=("test_error_percent", "reconstruction_error"),
)  # fmt: skip
OF_CLUSTERS = Chapter(
    title="Fashion-MNIST, without labels", notebook="12_your_own_images",
    measures=(*measures.OF_CLUSTERS, K_MEANS_ERROR, measures.RECONSTRUCTION_ERROR),
    columns=("test_error_percent", "k_means_error_percent", "empty_clusters", "reconstruction_error"),
)  # fmt: skip


def _on_clothes(of_digits: Experiment, chapter: Chapter) -> Experiment:
    return replace(
        of_digits, name=f"fashion-{of_digits.name}", title=f"{of_digits.title}, Fashion-MNIST", chapter=chapter,
        figure="(ours)", paper={}, data="FashionMNIST", source=f"As {of_digits.name}; nothing was chosen anew.",
    )  # fmt: skip


_named = {each.name: each for each in (*semi_supervised.EXPERIMENTS, *clustering.EXPERIMENTS)}
EXPERIMENTS = (
    _on_clothes(_named["semi-1000-augmented"], OF_LABELS),
    _on_clothes(_named["labels-1000-augmented"], OF_LABELS),
    _on_clothes(_named["cluster-16"], OF_CLUSTERS),
)
