"""Images and labels as tensors in memory: MNIST, a sample that needs no network, torchvision's sets, and your own."""

from aae_lib.data.arrays import load_arrays
from aae_lib.data.checks import check_images
from aae_lib.data.files import load_folder
from aae_lib.data.icons import draw_icons
from aae_lib.data.images import DataSet, Images, balanced_subset, split
from aae_lib.data.loading import load_images
from aae_lib.data.mnist import MNIST_CLASSES, MNIST_SHAPE, load_mnist, load_sample
