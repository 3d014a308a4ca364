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
from PIL import Image
from torch import Tensor

from aae_lib.data import Images
from aae_lib.data.pictures import Picture, image_of
from aae_lib.errors import PriorError, ShapeError
from aae_lib.explore.description import describe
from aae_lib.explore.front import FrontEnd
from aae_lib.explore.space import Space
from aae_lib.explore.still import still, still_curve
from aae_lib.models import Model
from aae_lib.shapes import mosaic

Curve = Mapping[str, Sequence[float]]
LAYERS = ("codes", "prior", "tiles", "judge", "far")


class Explorer(FrontEnd):
    """What the explorers share. Setting a trait to what is not finite or of a wrong length raises a ShapeError.

    Attributes:
        z: the chosen point of the plane. Setting it keeps the other coordinates; on the sphere these grow or shrink
            together, so that the code has length 1.
        others: the coordinates outside of the plane, d - 2 of them, the one that changes the image most first.
        label: the chosen label, where the decoder takes one.
        digit, drawing: what image the chosen code is of: its number, or -1; the bytes of a picture from outside.
        pins: the coordinates ``[d]`` at A and B, or None.
        way, share: from A to B: "line", "circle" (a great circle) or "walk" (the prior's own); how much of it is done.
        layers: of the plane: "codes", "prior", "tiles" (images), "judge" (D(z)), "far" (distance to the next code).
    """

    z = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(0.0, 0.0)).tag(sync=True)
    others = traitlets.Tuple().tag(sync=True)
    label = traitlets.Int(0).tag(sync=True)
    digit = traitlets.Int(-1).tag(sync=True)
    drawing = traitlets.CBytes(b"").tag(sync=True)
    pins = traitlets.List(default_value=[None, None], minlen=2, maxlen=2).tag(sync=True)
    way = traitlets.Enum(("line", "circle", "walk"), "line").tag(sync=True)
    share = traitlets.Float(0.0).tag(sync=True)
    layers = traitlets.List(traitlets.Enum(LAYERS), ["codes", "prior"]).tag(sync=True)
    _takes_label = False
    _consistent = False  # whether what is being set fits together: then no observer has to see to it

    def __init__(self, model: Model, digits: Images | None = None) -> None:
        self._space = Space(model, digits)
        if self._takes_label != bool(self._space.classes):
            kind, other = ("no", "Latent") if self._takes_label else ("a", "Style")
            raise ShapeError(f"this model's codes have {kind} label beside a style: explore it with {other}Explorer")
        self._generator = np.random.default_rng(0)
        super().__init__(kind="explorer", way="circle" if self._space.on_sphere else "line")
        self._move(self._space.start)

    @property
    def image(self) -> np.ndarray:
        """The image that the chosen code decodes to: ``[height, width]`` or ``[height, width, 3]``, in [0, 1]."""
        decoded = torch.from_numpy(self._space.decode(self._coordinates[None], self.label))
        return mosaic(decoded, 1, self._space.shape).numpy()

    def random(self) -> None:
        """Move to a sample of the prior; a label stays. A model without a prior raises a PriorError."""
        samples = self._space.samples
        if not len(samples):
            raise PriorError("this model has no prior to sample from: set `z`, or encode a digit")
        self._move(samples[self._generator.integers(len(samples))])

    def encode_digit(self, index: int) -> None:
        """Move to the code of image number ``index`` of ``digits``.

        An image that the plane does not show raises an IndexError, and a model without an encoder a ShapeError.
        """
        code = self._code_of_digit(index)
        self._move(code, self._space.labels[index], digit=index)

    def add(self, picture: Picture) -> None:
        """Encode a picture from outside and move to its code.

        Args:
            picture: a file or an image of PIL, which is centered and scaled as MNIST's digits are, dark on light or
                light on dark; or as many numbers in [0, 1] as the model's images have, taken as they are.

        Raises:
            ShapeError: the model has no encoder, or the picture does not fit.
        """
        self._code_of_digit(0)
        image = image_of(picture, self._space.shape)
        codes, labels, _ = self._space.encode(Images(image[None], torch.tensor([self.label])))
        drawing = (255 * image).round().byte().numpy().tobytes()
        self._move(self._space.coordinates_of(codes)[0], labels[0], drawing=drawing)

    def walk(self, share: float) -> None:
        """Move to the place on the way from A to B before which this share of it lies. The prior's walk needs no pins.

        Raises:
            PriorError, ShapeError: as :meth:`~aae_lib.explore.space.Space.way`, or ``share`` is not from 0 to 1.
        """
        if not 0 <= share <= 1:
            raise ShapeError(f"a share of the way is from 0 to 1, not {share}")
        ends = (None if pin is None else torch.tensor(pin, dtype=torch.float64) for pin in self.pins)
        self._move(self._space.way(self.way, *ends)(torch.tensor([share]).double())[0], share=float(share))

    def walk_to(self, target: int | Sequence[float]) -> None:
        """Set pin A at the chosen code, and pin B at that of a digit, by its number, or at coordinates ``[d]``."""
        end = self._code_of_digit(target).tolist() if isinstance(target, int) else target
        self.pins, self.share = [self._coordinates.tolist(), end], 0.0

    def picture(self) -> Image.Image:
        original = self._space.images.images[self.digit] if self.digit >= 0 else None
        if self.drawing:
            original = torch.tensor(list(self.drawing)) / 255
        return still(self._space, self._coordinates, self.label, original)

    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        return _answer(self._space, message, self.label)

    # ------------------------------------------------------------------------------------------------ moving

    @property
    def _coordinates(self) -> Tensor:
        return torch.tensor([*self.z, *self.others], dtype=torch.float64)

    @property
    def _chosen(self) -> np.ndarray:
        return self._space.codes_at(self._coordinates[None])[0].numpy()

    def _move_to_code(self, value: Sequence[float]) -> None:
        code = torch.tensor(_floats(value, self._space.dimensions, "a code"), dtype=torch.float64)
        if self._space.on_sphere and not code.any():
            raise ShapeError("a code on the unit sphere is divided by its length, which must not be 0")
        self._move(self._space.coordinates_of(code[None])[0])

    def _code_of_digit(self, index: int) -> Tensor:
        count = len(self._space.codes)
        if not count:
            raise ShapeError("this model has no encoder, so that an image has no code: set `z`")
        if not 0 <= index < count:
            raise IndexError(f"digit {index}: the explorer holds digits 0 to {count - 1}")
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

    @traitlets.observe("z", "others", "digit", "drawing")
    def _changed(self, change: dict[str, Any]) -> None:
        """Somebody has set one of them alone, or a link has."""
        if self._consistent:
            return
        if change["name"] in ("z", "others"):
            part = slice(0, 2) if change["name"] == "z" else slice(2, None)
            self._move(self._space.onto_sphere(self._coordinates, part))
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
            return [pin if pin is None else list(_floats(pin, space.dimensions, "a pin")) for pin in value]
        numbers = _floats(value, 2 if name == "z" else space.dimensions - 2, name)
        if space.on_sphere and np.linalg.norm(numbers) > 1 + 1e-6:
            raise ShapeError(f"{name} is longer than 1, but no part of a code on the unit sphere is")
        return numbers

    def __repr__(self) -> str:
        label = f"label {self.label}, " if self._space.classes else ""
        return f"{type(self).__name__}({self._space.dimensions}-D, {label}z = ({self.z[0]:z.2f}, {self.z[1]:z.2f}))"


class LatentExplorer(Explorer):
    """A model's latent plane, the image that the chosen code decodes to, and the code that an image is encoded as.

    Args:
        model: any whose codes have at least two dimensions and are no labels beside a style. It is used in evaluation
            mode and given back as it was. Make a new explorer after training it further.
        digits: held-out images and their labels, of which the first 2,000 are used; by default MNIST's test images.
    """

    @property
    def code(self) -> np.ndarray:
        """The chosen code, ``[d]``, float32. Setting it moves there; on the sphere it is divided by its length."""
        return self._chosen

    @code.setter
    def code(self, value: Sequence[float]) -> None:
        self._move_to_code(value)


class StyleExplorer(Explorer):
    """A plane of styles, the image of the chosen style and label, and all labels in that style.

    Arguments and errors as for :class:`LatentExplorer`; the model's prior is a :class:`~aae_lib.priors.LabelAndStyle`.
    """

    _takes_label = True

    @property
    def style(self) -> np.ndarray:
        """The chosen style, ``[d]``, float32. Setting it moves there."""
        return self._chosen

    @style.setter
    def style(self, value: Sequence[float]) -> None:
        self._move_to_code(value)


class ModelsExplorer(FrontEnd):
    """Several models and one pointer: a slider moves through them, or the first two lie side by side.

    Args:
        models: by their titles.
        digits: as for :class:`LatentExplorer`.
        beside: show two models side by side.
        curve: two quantities by their names, each with a number for each model: x and y of a curve beside the plane, on
            which the shown model's point stands out.

    Raises:
        ShapeError: no model, or not two for ``beside``; or the numbers of the curve do not fit.
    """

    def __init__(
        self, models: Mapping[str, Model], digits: Images | None = None, beside: bool = False,
        curve: Curve | None = None,
    ) -> None:  # fmt: skip
        self._spaces, self._beside = {title: Space(model, digits) for title, model in models.items()}, beside
        if not models or (beside and len(models) != 2):
            raise ShapeError(f"expected {'two models' if beside else 'at least one model'}, found {len(models)}")
        self._curve = points_of(curve, len(models))
        super().__init__(kind="models")

    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        if message["what"] == "models":
            return {"titles": list(self._spaces), "beside": self._beside, "curve": self._curve}, []
        return _answer(self._spaces[message["model"]], message, 0, message["model"])

    def picture(self) -> Image.Image:
        stills = [still(space, space.start, 0, None) for space in self._spaces.values()]  # of one height
        if self._curve:
            stills.insert(0, still_curve(**self._curve, titles=list(self._spaces)))
        paper = Image.new("RGB", (max(each.width for each in stills), len(stills) * stills[0].height), "white")
        for number, each in enumerate(stills):
            paper.paste(each, (0, number * each.height))
        return paper

    def __repr__(self) -> str:
        return f"ModelsExplorer({', '.join(self._spaces)})"


def _answer(space: Space, message: dict[str, Any], label: int, title: str = "") -> tuple[dict[str, Any], list[bytes]]:
    """The model, or what a network of it makes of numbers."""
    if message["what"] == "model":
        description, blocks = describe(space, title)
        return {"description": description}, blocks
    numbers = torch.tensor([message["numbers"]], dtype=torch.float64)
    if message["what"] == "decode":
        return {}, [space.decode(numbers, message["label"]).tobytes()]
    codes, labels, shares = space.encode(Images(numbers.float(), torch.tensor([label])))
    answer = {"place": space.coordinates_of(codes)[0].tolist(), "label": int(labels)}
    return answer, [] if shares is None else [shares.numpy().tobytes()]


def points_of(curve: Curve | None, models: int) -> dict[str, Any] | None:
    """A curve as the front end takes it: the names of its axes, and a point for each model."""
    if curve is None:
        return None
    if len(curve) != 2:
        raise ShapeError(f"a curve has two quantities, found {len(curve)}")
    x, y = (_floats(values, models, name) for name, values in curve.items())
    return {"names": list(curve), "points": list(zip(x, y, strict=True))}


def _floats(value: Sequence[float], count: int, name: str) -> tuple[float, ...]:
    """``count`` finite numbers."""
    try:
        numbers = tuple(float(number) for number in value)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ShapeError(f"{name} must be {count} finite numbers, not {value!r}")
    return numbers
