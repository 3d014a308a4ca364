"""The explorers in a notebook: the front end of the page, what is chosen as traits, and every gesture as a call.

    explorer = LatentExplorer(model)                             # the last line of a cell displays it
    explorer.z = (0.5, -1.0)                                     # a click in the plane
    explorer.observe(print, "z")                                 # all that is chosen can be observed, and linked:
    traitlets.link((explorer, "z"), (other, "z"))

Networks run in the browser if it knows their layers, otherwise in the kernel.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from aae_lib.data import Images
from aae_lib.data.pictures import Picture, image_of
from aae_lib.errors import ModelError, PriorError, ShapeError, UnknownNameError
from aae_lib.explore.description import Curve, describe, describe_curve, floats
from aae_lib.explore.front import FrontEnd
from aae_lib.explore.space import POINTS, Space
from aae_lib.explore.still import still
from aae_lib.models import Model
from aae_lib.report.drawing import class_colors
from aae_lib.shapes import mosaic

LAYERS = ("codes", "prior", "tiles", "judge", "far")


class ModelsExplorer(FrontEnd):
    """Several models and one pointer: two lie side by side, and a slider moves through more.

    Args:
        models: by their titles, at least one.
        digits: as for :class:`LatentExplorer`, whose errors are raised for each model.
        curve: two quantities by their names, each with a number for each model: x and y of a curve beside the plane, on
            which the shown model's point stands out. A ShapeError if the numbers do not fit.
    """

    alt = "The latent planes of several models, each with the image that its chosen code decodes to."
    kind = traitlets.Unicode("models").tag(sync=True)

    def __init__(
        self, models: Mapping[str, Model], digits: Images | None = None, curve: Curve | None = None
    ) -> None:
        if not isinstance(models, Mapping) or not models:
            raise ModelError(f"expected models by their titles, {{title: model}}, found {models!r:.80}")
        self._curve = describe_curve(curve, len(models))
        self._spaces = {title: Space(model, digits) for title, model in models.items()}
        super().__init__()

    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """The titles, a model, or what a network of it makes of numbers."""
        if message["what"] == "titles":
            return {"titles": list(self._spaces), "curve": self._curve}, []
        space = self._spaces[message["model"]]
        if message["what"] == "model":
            description, blocks = describe(space, message["model"])
            return {"description": description}, blocks
        numbers = torch.tensor([message["numbers"]], dtype=torch.float64)
        if message["what"] == "decode":
            return {}, [space.decode(numbers, message["label"]).tobytes()]
        codes, labels, shares = space.encode(numbers.float())
        answer = {"place": space.coordinates_of(codes)[0].tolist(), "label": None if labels is None else int(labels)}
        return answer, [] if shares is None else [shares.numpy().tobytes()]

    def still(self) -> Figure:
        return still(self._spaces, [space.start for space in self._spaces.values()], curve=self._curve)

    def __repr__(self) -> str:
        return f"ModelsExplorer({', '.join(self._spaces)})"


class LatentExplorer(ModelsExplorer):
    """A model's latent plane, the image that the chosen code decodes to, and the code that an image is encoded as.

    Where the decoder takes a label beside a style, the plane is one of styles, and all labels are shown in that style.
    It asks a notebook for no more than Jupyter's widgets and anywidget promise, in VS Code and Colab, too; we have
    tried JupyterLab alone. What is stored, for readers without a kernel, is a still picture.

    Attributes:
        z: the chosen point of the plane. Setting it keeps the other coordinates; on the sphere these grow or shrink
            together, so that the code has length 1.
        others: the coordinates outside of the plane, d - 2 of them, the one that changes the image most first.
        label: the chosen label, where the decoder takes one.
        digit, drawing: what image the chosen code is of: its number, or -1; the bytes of a picture from outside.
        pins: at A and B: coordinates ``[d]``, the number of an image, of which they become those of its code, or None.
        way, share: from A to B: "line", "circle" (a great circle) or "walk" (the prior's own); how much of it is done.
        layers: of the plane: "codes", "prior", "tiles" (images), "judge" (D(z)), "far" (distance to the next code).

    Args:
        model: any whose codes have at least two dimensions. It is used in evaluation mode and given back as it was.
            Make a new explorer after training it further.
        digits: held-out images and their labels, of which the first 2,000 are used; by default MNIST's test images.

    Raises:
        ModelError, DataError, PriorError, ShapeError: as :class:`~aae_lib.explore.space.Space`.
        SettingError, ShapeError: a trait is set to what is of another type, not finite or of another length.
    """

    alt = "The latent plane with the codes of held-out images and the chosen code, and the image that it decodes to."
    kind = traitlets.Unicode("explorer").tag(sync=True)
    z = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(0.0, 0.0)).tag(sync=True)
    others = traitlets.Tuple().tag(sync=True)
    label = traitlets.Int(0).tag(sync=True)
    digit = traitlets.Int(-1).tag(sync=True)
    drawing = traitlets.CBytes(b"").tag(sync=True)
    pins = traitlets.List(default_value=[None, None], minlen=2, maxlen=2).tag(sync=True)
    way = traitlets.Enum(("line", "circle", "walk"), "line").tag(sync=True)
    share = traitlets.Float(0.0).tag(sync=True)
    layers = traitlets.List(traitlets.Enum(LAYERS), ["codes", "prior"]).tag(sync=True)
    _consistent = False  # whether what is being set fits together: then no observer has to see to it

    def __init__(self, model: Model, digits: Images | None = None) -> None:
        self._generator = np.random.default_rng(0)
        super().__init__({type(model).__name__: model}, digits)
        self.way = "circle" if self._space.on_sphere else "line"
        self._move(self._space.start)

    @property
    def image(self) -> np.ndarray:
        """The image that the chosen code decodes to: ``[height, width]`` or ``[height, width, 3]``, in [0, 1]."""
        decoded = torch.from_numpy(self._space.decode(self._coordinates[None], self.label))
        return mosaic(decoded, 1, self._space.shape).numpy()

    @property
    def code(self) -> np.ndarray:
        """The chosen code or style, ``[d]``, float32. Setting it moves there; on the sphere its length becomes 1."""
        return self._space.codes_at(self._coordinates[None])[0].numpy()

    @code.setter
    def code(self, value: Sequence[float]) -> None:
        code = torch.tensor(floats(value, self._space.dimensions, "a code")).double()
        if self._space.on_sphere and not code.any():
            raise ShapeError("a code on the unit sphere is divided by its length, which must not be 0")
        self._move(self._space.coordinates_of(code[None])[0])

    def random(self) -> None:
        """Move to a sample of the prior; a label stays. A model without a prior raises a PriorError."""
        samples = self._space.samples
        if not len(samples):
            raise PriorError("this model has no prior to sample from: set `z`, or encode a digit")
        self._move(samples[self._generator.integers(len(samples))])

    def encode_digit(self, index: int) -> None:
        """Move to the code of image number ``index`` of ``digits``.

        An image that the plane does not show raises an UnknownNameError, and a model without an encoder a ModelError.
        """
        self._move(self._code_of_digit(index), self._space.labels[index], digit=index)

    def add(self, picture: Picture) -> None:
        """Encode a picture from outside and move to its code.

        Args:
            picture: a file or an image of PIL, which is centered and scaled as MNIST's digits are, dark on light or
                light on dark; or as many numbers in [0, 1] as the model's images have, taken as they are.

        Raises:
            ModelError, ShapeError: the model has no encoder; the picture does not fit.
        """
        self._code_of_digit(0)
        image = image_of(picture, self._space.shape)
        codes, labels, _ = self._space.encode(image[None])
        drawing = (255 * image).round().byte().numpy().tobytes()
        self._move(self._space.coordinates_of(codes)[0], None if labels is None else labels[0], drawing=drawing)

    def walk(self, share: float) -> None:
        """Move to the place on the way from A to B before which this share of it lies. The prior's walk needs no pins.

        Raises:
            PriorError, ShapeError: as :meth:`~aae_lib.explore.space.Space.between`, or ``share`` is not from 0 to 1.
        """
        (share,) = floats([share], 1, "a share of the way")
        if not 0 <= share <= 1:
            raise ShapeError(f"a share of the way is from 0 to 1, not {share}")
        ends = (None if pin is None else torch.tensor(pin, dtype=torch.float64) for pin in self.pins)
        self._move(self._space.between(self.way, *ends, share), share=share)

    def still(self) -> Figure:
        original = self._space.images.images[self.digit] if self.digit >= 0 else None
        if self.drawing:
            original = torch.tensor(list(self.drawing)) / 255
        return still(self._spaces, [self._coordinates], self.label, original)

    # ------------------------------------------------------------------------------------------------ moving

    @property
    def _space(self) -> Space:
        return next(iter(self._spaces.values()))

    @property
    def _coordinates(self) -> Tensor:
        return torch.tensor([*self.z, *self.others], dtype=torch.float64)

    def _code_of_digit(self, index: int) -> Tensor:
        count = len(self._space.codes)
        if not count:
            raise ModelError("this model has no encoder, so that an image has no code: set `z`")
        if not isinstance(index, int | np.integer) or index not in range(count):
            raise UnknownNameError(f"expected the number of an image, 0 to {count - 1}, found {index!r:.80}")
        return self._space.codes[index]

    def _move(self, coordinates: Tensor, label: Tensor | None = None, **chosen: Any) -> None:
        """Change everything at once: the coordinates ``[d]``, the label, what else is chosen; an encoded image goes."""
        if label is not None and self._space.classes:
            chosen["label"] = int(label)
        place = {"z": coordinates[:2].tolist(), "others": coordinates[2:].tolist()}
        with self._all_at_once(), self.hold_sync():
            for name, value in {**place, "digit": -1, "drawing": b"", **chosen}.items():
                self.set_trait(name, value)

    @contextmanager
    def _all_at_once(self) -> Iterator[None]:
        self._consistent = True
        try:
            yield
        finally:
            self._consistent = False

    def set_state(self, sync_data: dict[str, Any]) -> None:
        with self._all_at_once():  # what the front end sends is consistent
            super().set_state(sync_data)

    @traitlets.observe("z", "others", "digit", "drawing", "share")
    def _changed(self, change: dict[str, Any]) -> None:
        """Somebody has set one of them alone, or a link has."""
        if self._consistent:
            return
        if change["name"] in ("z", "others"):
            part = slice(0, 2) if change["name"] == "z" else slice(2, None)
            self._move(self._space.onto_sphere(self._coordinates, part))
        elif change["name"] == "share":
            self.walk(self.share)
        elif change["name"] == "digit" and self.digit >= 0:
            self.encode_digit(self.digit)
        elif change["name"] == "drawing" and self.drawing:
            self.add(np.frombuffer(self.drawing, np.uint8) / 255)

    @traitlets.validate("z", "others", "label", "pins")
    def _checked(self, proposal: dict[str, Any]) -> Any:
        name, value, space = proposal["trait"].name, proposal["value"], self._space
        if name == "label":
            if not 0 <= value < max(space.classes, 1):
                raise ShapeError(f"label {value}: this model has the labels 0 to {space.classes - 1}")
            return value
        if name == "pins":
            places = (self._code_of_digit(pin).tolist() if isinstance(pin, int) else pin for pin in value)
            return [pin if pin is None else list(floats(pin, space.dimensions, "a pin")) for pin in places]
        numbers = floats(value, 2 if name == "z" else space.dimensions - 2, name)
        if space.on_sphere and np.linalg.norm(numbers) > 1 + 1e-6:
            raise ShapeError(f"{name} is longer than 1, but no part of a code on the unit sphere is")
        return numbers

    def __repr__(self) -> str:
        label = f"label {self.label}, " if self._space.classes else ""
        return f"LatentExplorer({self._space.dimensions}-D, {label}z = ({self.z[0]:z.2f}, {self.z[1]:z.2f}))"


class TurningMap(FrontEnd):
    """Codes of three dimensions, colored by class, and the heads of clusters with their numbers. Drag turns the map.

    Args:
        codes, labels: ``[n, 3]`` and ``[n]``, of which the first 2,000 are drawn.
        heads: ``[clusters, 3]``.

    Raises:
        ShapeError: for tensors of other shapes.
    """

    alt = "Codes in three dimensions, colored by class, and the numbers of the heads of clusters."
    kind = traitlets.Unicode("map").tag(sync=True)

    def __init__(self, codes: Tensor, labels: Tensor, heads: Tensor) -> None:
        for points in (codes, heads):
            if not isinstance(points, Tensor) or points.ndim != 2 or points.shape[1] != 3 or len(labels) != len(codes):
                found = ", ".join(str(list(np.shape(each))) for each in (codes, labels, heads))
                raise ShapeError(f"expected tensors: codes [n, 3], labels [n] and heads [clusters, 3]; found {found}")
        self._codes, self._labels = codes[:POINTS].detach().float().cpu(), labels[:POINTS].tolist()
        self._heads = heads.detach().float().cpu()
        super().__init__()

    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        points = torch.cat([self._codes, self._heads]).numpy().tobytes()
        return {"labels": self._labels, "heads": len(self._heads)}, [points]

    def still(self) -> Figure:
        figure = Figure(figsize=(6.4, 5.6))
        axes = figure.add_subplot(projection="3d", box_aspect=(1, 1, 1))
        axes.scatter(*self._codes.T, s=5, c=class_colors(self._labels), linewidths=0)
        for number, head in enumerate(self._heads.tolist()):
            axes.text(*head, str(number), weight="bold")
        return figure
