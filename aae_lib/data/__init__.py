"""Images and labels as tensors in memory: MNIST, the sample that needs no network, and the sets of torchvision."""

from aae_lib.data.images import DataSet, Images, balanced_subset
from aae_lib.data.mnist import MNIST_CLASSES, MNIST_SHAPE, load_mnist, load_sample
from aae_lib.data.torchvision_sets import load_images
