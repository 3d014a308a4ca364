"""Interactive explorers: move a point through a model's latent plane and watch the image that it decodes to.

    from aae_lib.explore import LatentExplorer

    explorer = LatentExplorer(model)        # the last line of a cell displays it
    explorer
    explorer.z = (0.5, -1.0)                # what the two sliders do
    explorer.random()                       # what the button "Random from the prior" does
    explorer.encode_digit(7)                # what the button "Encode a digit" does, for the digit of your choice
    explorer.walk(0.5)                      # what the slider "walk" does, for priors that have a path: half of the way

Of codes of more than two dimensions the plane shows the two directions that change the image most, and there are

    explorer.code                           # the whole code, [d]; it can be set
    explorer.others = [0.0] * 8             # what the sliders below the plane do: the coordinates outside of the plane
    explorer.walk_to(12)                    # the walk is now from the chosen code to that of digit 12

Codes that a prior has on the unit sphere stay on it, whatever moves, and walk along its great circles.

`StyleExplorer` is for models whose code is a label and a style. It has the same calls, but no walk, and

    explorer.label = 3                      # what the dropdown does: the same style, another label
    explorer.style                          # all of the style, in place of `code`

They need ipywidgets alone. The expensive picture, the plane, is drawn and sent once; a move sends a new position for
the marker and one image of 28x28 pixels, which takes the kernel about 1.5 milliseconds, or four with ten more images.
"""

from __future__ import annotations

import base64
import io
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import matplotlib.style
import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from aae_lib.data import MNIST_SHAPE, Images, load_mnist
from aae_lib.metrics import derivatives, prior_samples
from aae_lib.models import Model
from aae_lib.priors import Gaussian, LabelAndStyle, Prior, UniformSphere, great_circle, straight_line
from aae_lib.report.drawing import DIGIT_COLORS, MASSES, contour_levels, draw_codes, draw_prior
from aae_lib.seeding import seeded
from aae_lib.shapes import pixels_of

_, IMAGE_SIZE, _ = MNIST_SHAPE
PIXELS = pixels_of(MNIST_SHAPE)
POINTS = 2_000  # codes and prior samples in the plane, and points of the path through the prior
JACOBIANS = 200  # of the decoder, which decide what directions of a long code the plane shows

SIDE = 308  # of every picture in the page's pixels, 11 for each of a digit; beside JupyterLab's side bar three fit
DENSITY = 2  # picture pixels for each of the page's, so that screens of high resolution show sharp edges
MARKER = 26  # side of the marker in the page's pixels
GAP = 16
STRIP = 2 * SIDE + GAP  # width of the picture of all labels, which has ten in a row
TILE, TILE_GAP = 56, 8  # side of each of its images, and what is between them
FRAME = "#ffa90e"  # around the chosen label's

WALK_STEPS, WALK_INTERVAL = 100, 80  # of the play button, and milliseconds between two of them: eight seconds a walk


class _Explorer(widgets.VBox):
    """What the explorers share: a plane with a marker, sliders, the decoded image, and an encoded digit beside it.

    Inside, a code is its coordinates ``[d]``, float64, along orthonormal directions: first the two of the plane. Of a
    code of two dimensions these are its own axes; of a longer one they are the directions in order of how much they
    change the decoded image. Each coordinate has a slider, those outside of the plane in a block that opens.

    Subclasses call :meth:`_load`, say what decodes (`_decoder`) and what a move shows (`_move`), and add their rows of
    controls.

    Args:
        codes: of the digits, ``[n, d]``; none for a model without an encoder. The sliders reach all of them.
        prior: of these codes: any in two dimensions, or None; of more, a Gaussian or a sphere.
        name: of a plane of two dimensions.
        tooltips: of the plane and of the marker.
    """

    _model: Model
    _digits: Images
    _path: Callable[[torch.Tensor], torch.Tensor] | None = None  # of a walk: shares [n] -> coordinates [n, d]

    def __init__(self, codes: torch.Tensor, prior: Prior | None, name: str, tooltips: tuple[str, str]) -> None:
        self._generator = np.random.default_rng(0)  # the buttons' choices
        dimensions = codes.shape[1]
        self._on_sphere = isinstance(prior, UniformSphere) and dimensions > 2  # a circle is seen in its plane anyway
        self._directions = torch.eye(2).double() if dimensions == 2 else self._directions_of_change()
        self._codes = self._coordinates_of(codes)
        self._samples = self._coordinates_of(codes[:0] if prior is None else prior_samples(prior, POINTS))
        self._plane_prior = _in_plane(prior)
        self._coordinates = torch.zeros(dimensions).double()

        reach = [self._codes, self._samples] + (
            [] if self._path is None else [self._path(torch.linspace(0, 1, POINTS))]
        )
        ranges = [
            (1.0, 0.01) if self._on_sphere else _range(part) for part in torch.cat(reach).split([2, dimensions - 2], 1)
        ]
        self._limit, _ = ranges[0]
        names_width = 20 if dimensions == 2 and self._path is None else 32
        self._sliders = [
            _slider(f"z{_subscript(number + 1)}", -limit, limit, step, names_width)
            for number in range(dimensions)
            for limit, step in [ranges[number > 1]]
        ]
        for slider in self._sliders:
            slider.observe(self._slid, "value")

        self._plane_picture = self._draw_plane()
        self._marker_picture = _draw_marker()
        self._digit_index: int | None = None  # of the encoded digit, as long as the marker stands at its code
        self._moving = False
        title = _with_masses(name if dimensions == 2 else f"2 of {dimensions} directions", self._plane_prior)
        super().__init__([self._build_panels(title, tooltips), *self._build_rows()])
        self.z = (0.0, 0.0)

    def _decoder(self) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
        """What makes images of codes [n, d], differentiable, and samples of codes [n, d] to differentiate it at."""
        raise NotImplementedError

    def _move(self, coordinates: torch.Tensor, digit_index: int | None = None) -> None:
        """Decode the code and :meth:`_show` it. If decoding fails, nothing has changed."""
        raise NotImplementedError

    def _decoded_text(self) -> str:
        """The title of the decoded image."""
        raise NotImplementedError

    def _build_rows(self) -> list[widgets.Widget]:
        """What stands below the plane and the images."""
        raise NotImplementedError

    @property
    def z(self) -> tuple[float, float]:
        """The chosen point of the plane. Setting it moves the sliders and the marker and decodes, once.

        The other coordinates stay; on the sphere they grow or shrink together, so that the code has length 1.

        Raises:
            ValueError: not two finite numbers, or outside the range of the sliders or, on the sphere, the unit disk.
        """
        return tuple(self._coordinates[:2].tolist())

    @z.setter
    def z(self, value: Sequence[float]) -> None:
        self._move_part(slice(0, 2), _numbers(value, 2, "z must be two numbers, such as (0.5, -1.0)"), "z")

    @property
    def others(self) -> tuple[float, ...]:
        """The coordinates outside of the plane, d - 2 of them, the one that changes the image most first.

        Setting them keeps z; on the sphere it grows or shrinks, so that the code has length 1.

        Raises:
            ValueError: not d - 2 finite numbers, outside the range of the sliders, or, on the sphere, longer than 1.
        """
        return tuple(self._coordinates[2:].tolist())

    @others.setter
    def others(self, value: Sequence[float]) -> None:
        count = len(self._sliders) - 2
        self._move_part(slice(2, None), _numbers(value, count, f"others must be {count} numbers"), "others")

    @property
    def image(self) -> np.ndarray:
        """The image that the chosen code decodes to: [28, 28], float32 in [0, 1]."""
        return self._image

    def random(self) -> None:
        """Move to a sample of the prior; a label stays.

        Raises:
            ValueError: the model has no prior.
        """
        if not len(self._samples):
            raise ValueError("this model has no prior to sample from; set `explorer.z`, or encode a digit")
        self._move(self._samples[self._generator.integers(len(self._samples))])

    def encode_digit(self, index: int) -> None:
        """Move to the code of digit number `index` of `digits` and show the digit beside its reconstruction.

        Raises:
            IndexError: `index` is not one of the digits that the plane shows (at most 2,000).
            ValueError: the model has no encoder.
        """
        index = self._checked_index(index)
        self._move(self._codes[index], index)

    def picture(self) -> Image.Image:
        """What the explorer shows now, without its controls, as one still picture."""
        return _page(self._pictures())

    def _pictures(self) -> list[list[tuple[str, Image.Image]]]:
        """The pictures with their titles, row by row."""
        plane = self._plane_picture.copy()
        corner = tuple(DENSITY * (center - MARKER // 2) for center in self._pixel())
        plane.paste(self._marker_picture, corner, mask=self._marker_picture)
        panels = [(self._plane_label.value, plane), (self._decoded_label.value, _enlarge(self._image))]
        if self._digit_index is not None:
            panels.append((self._original_label.value, _enlarge(self._original())))
        return [panels]

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget, and a still picture for viewers that have no kernel."""
        picture = self.picture()
        data = super()._repr_mimebundle_(**kwargs) | {"image/png": base64.b64encode(_png(picture)).decode()}
        return data, {"image/png": {"width": picture.width // DENSITY, "height": picture.height // DENSITY}}

    # ------------------------------------------------------------------------------------------------ the model

    def _load(self, model: Model, digits: Images | None) -> None:
        self._model = model
        self._digits = (load_mnist().test if digits is None else digits)[:POINTS]
        if not len(self._digits):
            raise ValueError("no digits to encode: give at least one image, or leave `digits` out for MNIST's test set")
        if self._digits.images.shape[1] != PIXELS:
            raise ValueError(f"the explorer shows gray images of 28 x 28, not {self._digits.images.shape[1]} numbers")

    def _codes_of_digits(self, encode: Callable[[Images], torch.Tensor]) -> torch.Tensor:
        """What `encode` makes of the digits, [n, d], on the CPU, the same each time."""
        with self._undisturbed(), seeded(0, self._device):
            on_device = Images(self._digits.images.to(self._device), self._digits.labels.to(self._device))
            codes = encode(on_device).float().cpu()
        if not codes.isfinite().all():
            raise ValueError("the encoder gives codes that are not finite: the model is damaged, or it has diverged")
        return codes

    def _decode(self, codes: torch.Tensor) -> np.ndarray:
        """The images of codes [n, d]: [n, 28, 28]."""
        with self._undisturbed():
            images = self._model.decode(codes.to(self._device))
        if images.shape[1] != PIXELS:
            raise ValueError(f"the explorer shows models of gray images of 28 x 28, not {images.shape[1]} numbers")
        return _array(images).reshape(-1, IMAGE_SIZE, IMAGE_SIZE)

    def _directions_of_change(self) -> torch.Tensor:
        """Orthonormal directions of codes, [d, d], the one in which the decoded image changes most first."""
        decode, codes = self._decoder()
        codes = codes.to(self._device)
        if self._on_sphere:  # there is no way off the sphere, so what the image does there does not count
            decode_any, decode = decode, lambda codes: decode_any(F.normalize(codes, dim=1))
        with self._undisturbed(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PyTorch's own, of what its forward derivatives are made of
            jacobians = torch.stack([derivative.flatten() for derivative in derivatives(decode, codes)]).double()
        vectors = torch.linalg.eigh(jacobians @ jacobians.T).eigenvectors.cpu()
        directions = vectors.T.flip(0)  # the eigenvalues ascend
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        return directions * largest.sign()  # an eigenvector has no sign of its own

    def _coordinates_of(self, codes: torch.Tensor) -> torch.Tensor:
        """Coordinates of codes, both [n, d]; on the sphere a code is divided by its length."""
        coordinates = codes.double() @ self._directions.T
        return F.normalize(coordinates, dim=1) if self._on_sphere else coordinates

    def _code_at(self, coordinates: torch.Tensor) -> torch.Tensor:
        """The code [d], float32, at coordinates [d]."""
        return (coordinates @ self._directions).float()

    @property
    def _device(self) -> torch.device:
        return next((parameter.device for parameter in self._model.parameters()), torch.device("cpu"))

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Evaluation mode without gradients; afterwards, the modules' modes and the random state are what they were."""
        training = [module for module in self._model.modules() if module.training]
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):
            self._model.eval()
            try:
                yield
            finally:
                for module in training:
                    module.training = True

    # ------------------------------------------------------------------------------------------------ moving

    def _show(self, coordinates: torch.Tensor, image: np.ndarray, digit_index: int | None) -> None:
        """Put the marker and the sliders at a code, show its image, and the digit whose code it is, if any."""
        self._coordinates, self._image, self._digit_index = coordinates, image, digit_index

        with self._programmatically():
            for slider, coordinate in zip(self._sliders, coordinates.tolist(), strict=True):
                slider.value = coordinate

        left, top = (center - MARKER // 2 for center in self._pixel())
        self._marker.layout.margin = f"{top}px 0 0 {left}px"
        self._decoded.value = _png(_enlarge(image))
        self._decoded_label.value = self._decoded_text()
        if digit_index is not None:
            self._original_image.value = _png(_enlarge(self._original()))
            self._original_label.value = f"Original: a {int(self._digits.labels[digit_index])} (image {digit_index})"
        self._original_panel.layout.display = "none" if digit_index is None else None

    @contextmanager
    def _programmatically(self) -> Iterator[None]:
        """Inside, controls are set to what is shown already: their reports would decode once more."""
        self._moving = True
        try:
            yield
        finally:
            self._moving = False

    def _slid(self, change: dict[str, Any]) -> None:
        slider, value = change["owner"], change["new"]
        number = self._sliders.index(slider)
        # A browser rounds a slider to its step and reports that back: a code between two steps stays what it is.
        if not self._moving and abs(value - float(self._coordinates[number])) > 0.501 * slider.step:
            self._move_part(slice(number, number + 1), [value], slider.description)

    def _move_part(self, part: slice, values: list[float], name: str) -> None:
        """Give some coordinates new values and move there; on the sphere, the rest of the code gives way."""
        coordinates = self._coordinates.clone()
        coordinates[part] = torch.tensor(values, dtype=torch.float64)
        self._check_range(coordinates)
        if self._on_sphere:
            length = float(coordinates[part].norm())
            if length > 1 + 1e-6:
                raise ValueError(
                    f"{name} has length {length:.3f}, but no part of a code on the unit sphere is longer than 1"
                )
            rest = torch.ones_like(coordinates, dtype=torch.bool)
            rest[part] = False
            if not coordinates[rest].any():
                coordinates[rest.nonzero()[0]] = 1.0
            # Not quite 0 where it should be: the rest must not forget where it came from, for the way back.
            coordinates[rest] *= max(1 - length**2, 1e-12) ** 0.5 / coordinates[rest].norm()
        self._move(coordinates)

    def _check_range(self, coordinates: torch.Tensor) -> None:
        for slider, coordinate in zip(self._sliders, coordinates.tolist(), strict=True):
            if not abs(coordinate) <= slider.max + 1e-9:  # written so that NaN fails too
                limits = f"from {-slider.max:g} to {slider.max:g}"
                raise ValueError(
                    f"{slider.description} = {coordinate}, but it must be {limits}, the range of the sliders"
                )

    def _checked_index(self, index: int) -> int:
        if not len(self._codes):
            raise ValueError("this model has no encoder, so that a digit has no code; set `explorer.z` instead")
        if not 0 <= index < len(self._digits):
            raise IndexError(f"digit {index}: the explorer holds digits 0 to {len(self._digits) - 1}")
        return int(index)

    def _pixel(self) -> tuple[int, int]:
        """Where z lies in the plane, in the page's pixels from its left and upper edges."""
        across, up = ((coordinate / self._limit + 1) / 2 for coordinate in self.z)
        return round(across * SIDE), round((1 - up) * SIDE)

    def _original(self) -> np.ndarray:
        return _array(self._digits.images[self._digit_index]).reshape(IMAGE_SIZE, IMAGE_SIZE)

    # ------------------------------------------------------------------------------------------------ what is seen

    def _build_panels(self, title: str, tooltips: tuple[str, str]) -> widgets.Widget:
        # A grid of one cell that holds both the plane and, above it, the marker, whose margins say where it stands.
        cell = {"grid_area": "plane", "max_width": "none"}
        self._plane = _Picture(SIDE, tooltips[0], **cell)
        self._plane.value = _png(self._plane_picture)
        self._marker = _Picture(MARKER, tooltips[1], **cell)
        self._marker.value = _png(self._marker_picture)
        pad = widgets.GridBox(
            [self._plane, self._marker],
            layout=widgets.Layout(
                width=f"{SIDE}px",
                height=f"{SIDE}px",
                margin="0",
                overflow="hidden",
                grid_template_areas='"plane"',
                grid_template_columns=f"{SIDE}px",
                grid_template_rows=f"{SIDE}px",
                align_items="flex-start",
                justify_items="flex-start",
            ),
        )
        self._plane_label = widgets.Label(title)
        self._decoded = _Picture(SIDE, "The image that the chosen code decodes to")
        self._decoded_label = widgets.Label()
        self._original_image = _Picture(SIDE, "The digit that was encoded")
        self._original_label = widgets.Label()
        self._original_panel = _column(self._original_label, self._original_image)
        panels = [_column(self._plane_label, pad), _column(self._decoded_label, self._decoded), self._original_panel]
        return _row(panels, gap=8)

    def _build_buttons(self, sample: widgets.Button) -> widgets.Widget:
        encode = widgets.Button(description="Encode a digit", disabled=not len(self._codes))
        encode.tooltip = "This model has no encoder" if encode.disabled else "Move to the code of a held-out digit"
        encode.on_click(lambda _: self.encode_digit(int(self._generator.integers(len(self._digits)))))
        sample.on_click(lambda _: self.random())
        for button in (sample, encode):
            button.layout = widgets.Layout(width="auto", flex="1 1 auto", margin="2px 0")
        return widgets.HBox(
            [sample, encode], layout=widgets.Layout(width=f"{SIDE}px", grid_gap="8px", overflow="visible")
        )

    def _build_controls(self, beside: widgets.Widget) -> widgets.Widget:
        """The two sliders of the plane and what stands beside them."""
        sliders = widgets.VBox(self._sliders[:2], layout=widgets.Layout(width=f"{SIDE}px", overflow="visible"))
        return _row([sliders, beside], margin="6px 0 0 0")

    def _build_others(self) -> list[widgets.Widget]:
        """The sliders of the directions outside of the plane, if there are any, in a block that is closed at first."""
        others = self._sliders[2:]
        if not others:
            return []
        title = f"{len(others)} more direction{'s' * (len(others) > 1)}"
        layout = widgets.Layout(max_width=f"{STRIP + 34}px", margin="6px 0 0 0")
        return [widgets.Accordion([_row(others)], titles=(title,), layout=layout)]

    def _draw_plane(self) -> Image.Image:
        with matplotlib.style.context("default"):  # whatever the notebook's own style is
            figure, axes = _figure(SIDE)
            axes.set(xlim=(-self._limit, self._limit), ylim=(-self._limit, self._limit))
            self._draw_scale(axes)
            self._draw(axes)
            return _render(figure)

    def _draw(self, axes: Axes) -> None:
        """Draw what the plane shows."""
        if self._plane_prior is not None:
            draw_prior(axes, self._plane_prior, self._limit)
        if self._on_sphere:
            axes.add_patch(Circle((0, 0), 1, fill=False, color="#999999", linewidth=0.8))
        if self._path is not None:
            path = self._path(torch.linspace(0, 1, POINTS))[:, :2]
            look = {"color": "#999999", "linewidth": 0.6, "zorder": 1}
            if len(self._coordinates) > 2:  # from one code to another, in front of the others
                look = {
                    "color": "#333333",
                    "linewidth": 1.0,
                    "zorder": 4,
                    "marker": "o",
                    "markersize": 4,
                    "markevery": [-1],
                }
            axes.plot(*path.T, linestyle=(0, (4, 4)), **look)
        if len(self._codes):
            draw_codes(axes, self._codes[:, :2], self._digits.labels.cpu())

    def _draw_scale(self, axes: Axes) -> None:
        """Faint lines through the origin, and a few numbers inside the frame: margins would make the plane smaller."""
        axes.axhline(0, color="#eeeeee", linewidth=0.8, zorder=0)
        axes.axvline(0, color="#eeeeee", linewidth=0.8, zorder=0)
        ticks = MaxNLocator(6).tick_values(-self._limit, self._limit)
        ticks = ticks[np.abs(ticks) < 0.85 * self._limit]  # none in the corners
        axes.set(xticks=ticks, yticks=ticks)
        axes.tick_params(length=0, pad=-12, labelsize=7, labelcolor="#999999")
        axes.tick_params(axis="y", pad=-5)
        for label in axes.get_yticklabels():
            label.set_horizontalalignment("left")


class LatentExplorer(_Explorer):
    """A model's latent plane, the image that the chosen code decodes to, and sliders that choose the code.

    The plane shows the codes of held-out digits, colored and marked by digit, and the contours within which 50, 90 and
    99 % of the prior lie (a prior without `log_prob` is shown by its samples instead, as gray dots). It is drawn once:
    make a new explorer after training the model further. A prior with a path through it, `walk`, gets one more slider,
    which moves along that path, and a button that plays it.

    Codes of two dimensions are themselves the plane. Of longer ones it shows the two directions in which the decoded
    image changes most: the leading eigenvectors of the mean of J^T J over the prior, where J is the Jacobian of the
    decoder. The other eigenvectors have their sliders in a block below, and their coordinates are those of the sample
    or encoded digit that was shown last, and 0 at first. Here the walk goes straight from one code to another.

    Codes on the unit sphere (the prior :class:`~aae_lib.priors.UniformSphere`, of three dimensions or more) stay on it.
    A slider moves along the great circle through its direction: its coordinate takes the value, and all others grow or
    shrink together, so that the code has length 1. The plane shows the sphere as a disk. A walk follows the great
    circle between two codes, the shorter way, at constant speed.

    A model without an encoder, such as a GAN, has no codes of digits: the plane shows its prior alone, the button
    "Encode a digit" is disabled, and walks end at samples of the prior.

    Args:
        model: any model with 2-D codes, or with longer ones whose prior is a Gaussian or a sphere. It is used in
            evaluation mode and given back as it was, and so is torch's random state.
        digits: held-out images and their labels, of which the first 2,000 are used; by default MNIST's test set.

    Raises:
        ValueError: the model's codes have another number of dimensions or another prior or are labels with styles, some
            are not finite, or `digits` is empty.
    """

    def __init__(self, model: Model, digits: Images | None = None) -> None:
        prior = model.prior
        if isinstance(prior, LabelAndStyle):
            raise ValueError("this model's codes are labels with styles: explore it with StyleExplorer")
        if prior is not None:
            _check_dimensions(prior.dimensions, prior)
        self._load(model, digits)
        try:
            codes = self._codes_of_digits(lambda digits: model.encode(digits.images))
        except NotImplementedError:
            if prior is None:
                raise ValueError(
                    "this model has neither an encoder nor a prior: there are no codes to explore"
                ) from None
            codes = torch.empty(0, prior.dimensions)
        _check_dimensions(codes.shape[1], prior)
        if hasattr(prior, "walk"):
            self._path = lambda shares: prior.walk(shares).double()
        self._path_digits: tuple[int | None, int | None] = (None, None)  # whose codes the ends of the path are
        shown = "codes of held-out digits and the prior" if len(codes) else "the prior"
        super().__init__(codes, prior, "Latent plane", (f"The latent plane: {shown}", "The chosen code z"))

    @property
    def code(self) -> np.ndarray:
        """The chosen code, all of it: [d], float32. Setting it moves there; on the sphere it is divided by its length.

        Raises:
            ValueError: not d finite numbers, outside the range of the sliders, or, on the sphere, all of them 0.
        """
        return self._code_at(self._coordinates).numpy()

    @code.setter
    def code(self, value: Sequence[float]) -> None:
        self._move(self._checked_code(value))

    def walk_to(self, target: int | Sequence[float]) -> None:
        """Make the walk one from the chosen code to another, which for now stays where it is, at its start.

        It goes straight or, on the sphere, along the great circle, the shorter way.

        Args:
            target: the number of a digit, or a code, [d].

        Raises:
            IndexError, ValueError: as :meth:`encode_digit` for a digit, and as `code` for a code; the codes have two
                dimensions, where the only walk is the prior's; the target is the point of the sphere that is opposite.
        """
        if len(self._coordinates) == 2:
            raise ValueError("codes of two dimensions have the walk of their prior, if any; set `explorer.z` instead")
        try:
            digit_index = self._checked_index(operator.index(target))
        except TypeError:
            digit_index, end = None, self._checked_code(target)
        else:
            end = self._codes[digit_index]
        way = great_circle if self._on_sphere else straight_line
        self._path = way(self._coordinates, end)
        self._path_digits = self._digit_index, digit_index
        self._plane_picture = self._draw_plane()
        self._plane.value = _png(self._plane_picture)
        self._walk_slider.disabled = self._walk_player.disabled = False
        self._show_share(0.0)

    def walk(self, share: float) -> None:
        """Move to the code on the path before which this share of the path lies: 0 is its start, 1 its end.

        The path is the one of the prior, or that of the last :meth:`walk_to`.

        Raises:
            ValueError: `share` is not from 0 to 1, or there is no path.
        """
        if self._path is None:
            if len(self._coordinates) > 2:
                raise ValueError("there is no path to walk along yet: `explorer.walk_to(12)` makes one to digit 12")
            raise ValueError("this model's prior has no path to walk along; set `explorer.z` instead")
        if not 0 <= share <= 1:
            raise ValueError(f"share {share}: the walk goes from 0, its start, to 1, its end")
        start, end = self._path_digits
        digit_index = start if share == 0 else end if share == 1 else None
        self._move(self._path(torch.tensor([float(share)]))[0], digit_index)
        self._show_share(share)

    def __repr__(self) -> str:
        return f"LatentExplorer({len(self._coordinates)}-D, z = {_text(self.z)})"

    def _decoder(self) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
        return self._model.decode, prior_samples(self._model.prior, JACOBIANS)

    def _checked_code(self, value: Sequence[float]) -> torch.Tensor:
        """The coordinates [d] of a code that comes from outside."""
        count = len(self._coordinates)
        numbers = _numbers(value, count, f"a code must be {count} numbers")
        code = torch.tensor(numbers, dtype=torch.float64)
        if self._on_sphere and not code.any():
            raise ValueError("a code on the unit sphere is divided by its length, which must not be 0")
        coordinates = self._coordinates_of(code[None])[0]
        self._check_range(coordinates)
        return coordinates

    def _move(self, coordinates: torch.Tensor, digit_index: int | None = None) -> None:
        (image,) = self._decode(self._code_at(coordinates)[None])
        self._show(coordinates, image, digit_index)

    def _show_share(self, share: float) -> None:
        with self._programmatically():
            self._walk_slider.value = float(share)
            self._walk_player.value = round(WALK_STEPS * share)

    def _walk_slid(self, change: dict[str, Any]) -> None:
        if not self._moving and abs(change["new"] - change["old"]) > 0.501 / WALK_STEPS:  # else a rounded one: _slid
            self.walk(change["new"])

    def _played(self, change: dict[str, Any]) -> None:
        if not self._moving:
            self.walk(change["new"] / WALK_STEPS)

    def _set_out(self, _: widgets.Button) -> None:
        if len(self._codes):
            self.walk_to(int(self._generator.integers(len(self._codes))))
        else:
            self.walk_to(self._code_at(self._samples[self._generator.integers(len(self._samples))]))
        self._walk_player.playing = True

    def _decoded_text(self) -> str:
        return f"Decoded from z = {_text(self.z)}"

    def _build_rows(self) -> list[widgets.Widget]:
        sample = widgets.Button(description="Random from the prior", disabled=not len(self._samples))
        sample.tooltip = "This model has no prior" if sample.disabled else "Move to a sample of the prior"
        rows = [self._build_controls(self._build_buttons(sample))]
        if self._path is not None or len(self._coordinates) > 2:
            rows.append(self._build_walk())
        return rows + self._build_others()

    def _build_walk(self) -> widgets.Widget:
        self._walk_slider = _slider("walk", 0, 1, 1 / WALK_STEPS, name_width=32)
        self._walk_slider.tooltip = "How much of the path lies before the code"
        self._walk_slider.observe(self._walk_slid, "value")
        self._walk_player = widgets.Play(max=WALK_STEPS, interval=WALK_INTERVAL, tooltip="Walk along the path")
        self._walk_player.observe(self._played, "value")
        if len(self._coordinates) == 2:
            return _row([self._walk_slider, self._walk_player])
        self._walk_slider.disabled = self._walk_player.disabled = True  # until there is a path
        kind = "digit" if len(self._codes) else "sample"
        set_out = widgets.Button(description=f"Walk to a {kind}", tooltip=f"Walk from the code to that of a {kind}")
        set_out.layout = widgets.Layout(width="auto", margin="2px 0")
        set_out.on_click(self._set_out)
        return _row([self._walk_slider, self._walk_player, set_out])


class StyleExplorer(_Explorer):
    """A plane of styles, a label to choose, the image that the two decode to, and all labels decoded in that style.

    Two sliders move through the plane, and a dropdown chooses the label. After a digit has been encoded, the dropdown
    shows its handwriting in every other digit. The plane shows the styles of held-out digits, colored by digit, and the
    contours within which 50, 90 and 99 % of the prior of styles lie. It is drawn once: make a new explorer after
    training the model further.

    A style of two dimensions is itself the plane. Of a longer one the plane shows the two directions in which the
    decoded image changes most, and the others have sliders in a block below, as :class:`LatentExplorer` does it for
    codes.

    Args:
        model: any model whose prior is a :class:`~aae_lib.priors.LabelAndStyle` with a 2-D style, or a Gaussian style
            of more dimensions. It is used in evaluation mode and given back as it was, and so is torch's random state.
        digits: held-out images and their labels, of which the first 2,000 are used; by default MNIST's test set.

    Raises:
        ValueError: the model's prior is another one, some of its codes are not finite, or `digits` is empty.
    """

    def __init__(self, model: Model, digits: Images | None = None) -> None:
        prior = model.prior
        if not isinstance(prior, LabelAndStyle):
            raise ValueError("this model's codes have no label beside a style: explore it with LatentExplorer")
        dimensions = prior.style.dimensions
        if dimensions < 2 or (dimensions > 2 and not isinstance(prior.style, Gaussian)):
            raise ValueError(f"the explorer needs a style of two dimensions, or a Gaussian of more, not {prior.style}")
        self._load(model, digits)
        codes = self._codes_of_digits(model.code_of)
        self._labels, self._label = prior.nearest_class(codes), 0
        tooltips = "The plane of styles: held-out digits and the prior", "The chosen style"
        super().__init__(prior.split(codes)[1], prior.style, "Styles", tooltips)

    @property
    def label(self) -> int:
        """The chosen label, from 0. Setting it keeps the style.

        Raises:
            ValueError: the model has no such label.
        """
        return self._label

    @label.setter
    def label(self, value: int) -> None:
        classes = self._model.prior.classes
        try:
            label = operator.index(value)
        except TypeError:
            label = -1
        if not 0 <= label < classes:
            raise ValueError(f"label {value!r}: this model has the labels 0 to {classes - 1}")
        self._move(self._coordinates, self._digit_index, label)

    @property
    def style(self) -> np.ndarray:
        """The chosen style, all of it: [dimensions], float32."""
        return self._code_at(self._coordinates).numpy()

    def encode_digit(self, index: int) -> None:
        index = self._checked_index(index)
        self._move(self._codes[index], index, int(self._labels[index]))

    def __repr__(self) -> str:
        return f"StyleExplorer({len(self._coordinates)}-D style, label {self._label}, z = {_text(self.z)})"

    def _decoder(self) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
        prior = self._model.prior
        label, style = prior.split(prior_samples(prior, JACOBIANS).to(self._device))
        return lambda style: self._model.decode(torch.cat([label, style], 1)), style

    def _move(self, coordinates: torch.Tensor, digit_index: int | None = None, label: int | None = None) -> None:
        label = self._label if label is None else label
        every_label = torch.eye(self._model.prior.classes)
        style = self._code_at(coordinates).expand(len(every_label), -1)
        images = self._decode(torch.cat([every_label, style], 1))
        self._label, self._images = label, images  # not before, as decoding may fail
        self._show(coordinates, images[label], digit_index)
        self._strip.value = _png(self._strip_picture())
        with self._programmatically():
            self._dropdown.value = label

    def _chose(self, change: dict[str, Any]) -> None:
        if not self._moving:
            self.label = change["new"]

    def _decoded_text(self) -> str:
        return f"Decoded: label {self._label}, z = {_text(self.z)}"

    def _pictures(self) -> list[list[tuple[str, Image.Image]]]:
        return [*super()._pictures(), [(self._strip_label.value, self._strip_picture())]]

    def _strip_picture(self) -> Image.Image:
        return _tiles(self._images, self._label)

    def _build_rows(self) -> list[widgets.Widget]:
        classes = self._model.prior.classes
        self._strip_label = widgets.Label(f"All {classes} labels in this style")
        self._strip = _Picture(STRIP, "The images of all labels in the chosen style", height="auto", max_width="100%")
        self._dropdown = widgets.Dropdown(
            options=range(classes),
            description="label",
            style={"description_width": "40px"},
            layout=widgets.Layout(width=f"{SIDE}px", margin="2px 0"),
        )
        self._dropdown.observe(self._chose, "value")
        sample = widgets.Button(description="Random style", tooltip="Move to a sample of the prior of styles")
        choices = widgets.VBox([self._dropdown, self._build_buttons(sample)])
        return [_column(self._strip_label, self._strip), self._build_controls(choices), *self._build_others()]

    def _draw(self, axes: Axes) -> None:
        super()._draw(axes)
        for text in axes.texts:  # all digits share one place here, and their names with it: a key along the upper edge
            digit = int(text.get_text())
            text.set(position=(0.05 + 0.1 * digit, 0.95), transform=axes.transAxes, color=DIGIT_COLORS[digit])


def turning_map(codes: torch.Tensor, labels: torch.Tensor, heads: torch.Tensor) -> widgets.DOMWidget:
    """A map in three dimensions that turns under the mouse.

    Codes are colored by digit; the heads of the clusters are black crosses with the digits' names. Where nothing runs,
    as on a page that shows stored outputs, it is a picture.

    Args:
        codes: ``[n, 3]``, of which the first 2,000 are drawn.
        labels: ``[n]``, the digits.
        heads: ``[10, 3]``, the head of each digit.

    Raises:
        ValueError: the codes do not have three dimensions.
    """
    if codes.ndim != 2 or codes.shape[1] != 3:
        raise ValueError(f"a map that turns needs codes [n, 3], not {list(codes.shape)}")
    backend = matplotlib.get_backend()
    from ipympl.backend_nbagg import Canvas, FigureManager  # on import it makes itself the backend of all figures

    matplotlib.use(backend)
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    canvas = Canvas(figure)
    FigureManager(canvas, 0)  # connects the mouse
    canvas.header_visible = canvas.toolbar_visible = canvas.footer_visible = False
    axes = figure.add_subplot(projection="3d")
    places, digits = codes[:POINTS].float().numpy(), labels[:POINTS].numpy()
    axes.scatter(*places.T, s=5, c=np.array(DIGIT_COLORS)[digits], alpha=0.7, linewidths=0)
    for digit, head in enumerate(heads.tolist()):
        axes.scatter(*head, marker="+", s=60, c="black")
        axes.text(*head, f" {digit}", weight="bold")
    axes.set(xlabel="$z_1$", ylabel="$z_2$", zlabel="$z_3$")
    axes.set_box_aspect((1, 1, 1))
    return canvas


def _check_dimensions(dimensions: int, prior: Prior | None) -> None:
    if dimensions != 2 and (dimensions < 2 or not isinstance(prior, Gaussian | UniformSphere)):
        raise ValueError(
            f"the explorer draws a plane, but this model's codes have {dimensions} dimension{'s' * (dimensions != 1)}: "
            "explore a model with 2-D codes, such as the experiment aae-gaussian, or with more and a prior that is "
            "a Gaussian or a sphere"
        )
    if prior is not None and dimensions != prior.dimensions:
        raise ValueError(f"this model's codes have {dimensions} dimensions, but its prior has {prior.dimensions}")


class _Disk(Prior):
    """Two coordinates of the uniform distribution on the unit sphere in `space` dimensions, at least 3."""

    dimensions = 2

    def __init__(self, space: int):
        self.space = space

    def sample(self, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
        return UniformSphere(self.space).sample(count, device)[:, :2]

    def log_prob(self, codes: torch.Tensor) -> torch.Tensor:
        """[n, 2] -> [n], in nats. What is left for the other coordinates is a sphere of radius sqrt(1 - |z|^2)."""
        squared = codes.square().sum(1)
        inside = (self.space / 2 - 2) * (-squared).log1p() + math.log((self.space - 2) / (2 * math.pi))
        return torch.where(squared < 1, inside, -math.inf)


def _in_plane(prior: Prior | None) -> Prior | None:
    """The distribution of a prior's samples in a plane: of more than two dimensions it has no preferred direction."""
    if prior is None or prior.dimensions == 2:
        return prior
    return _Disk(prior.dimensions) if isinstance(prior, UniformSphere) else Gaussian(2, prior.standard_deviation)


def _range(reach: torch.Tensor) -> tuple[float, float]:
    """Limit and step of sliders from -limit to limit that reach all coordinates [n, m]."""
    extent = 1.02 * float(reach.abs().max()) if reach.numel() else 0.0
    step = 10.0 ** math.floor(math.log10(max(extent, 1e-3))) / 20  # 0.05 for codes of the order of 1
    return round(10 * step * math.ceil(extent / (10 * step)), 6), step


def _with_masses(name: str, prior: Prior | None) -> str:
    """A plane's title, with the shares of the prior inside its contours, if it has any."""
    if prior is None or contour_levels(prior) is None:
        return name
    return f"{name}; {', '.join(f'{100 * mass:.0f}' for mass in MASSES)} % of the prior"


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def _numbers(value: Sequence[float], count: int, demand: str) -> list[float]:
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count:
        raise ValueError(f"{demand}, not {value!r}")
    return numbers


def _subscript(number: int) -> str:
    return "".join(chr(ord("₀") + int(digit)) for digit in str(number))


def _text(z: tuple[float, float]) -> str:
    return f"({z[0]:z.2f}, {z[1]:z.2f})"


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png", compress_level=1)  # of a 28x28 image, twice as fast as the default
    return buffer.getvalue()


def _enlarge(image: np.ndarray, side: int = SIDE) -> Image.Image:
    """An image [28, 28] in [0, 1] as a gray picture whose pixels are squares; browsers would blur the small one."""
    levels = (image.clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(levels).resize((DENSITY * side, DENSITY * side), Image.Resampling.NEAREST)


def _figure(side: int) -> tuple[Figure, Axes]:
    """A square of `side` of the page's pixels, filled by axes without ticks. (pyplot would disturb the notebook's.)"""
    figure = Figure(figsize=(side / 96, side / 96), dpi=96 * DENSITY)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#999999")
    return figure, axes


def _render(figure: Figure) -> Image.Image:
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba()).copy())


def _draw_marker() -> Image.Image:
    """A ring with four hairs, black in a white halo, on a transparent ground."""
    with matplotlib.style.context("default"):
        figure, axes = _figure(MARKER)
        figure.patch.set_alpha(0)
        axes.axis("off")
        axes.set(xlim=(-1, 1), ylim=(-1, 1))
        angle = np.linspace(0, 2 * np.pi, 100)
        strokes = [(0.5 * np.cos(angle), 0.5 * np.sin(angle))]
        hair = np.array([0.5, 0.85])
        strokes += [(hair * x, hair * y) for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1))]
        for width, color in ((3.2, "white"), (1.4, "black")):
            for x, y in strokes:
                axes.plot(x, y, color=color, linewidth=width, solid_capstyle="round")
        return _render(figure)


class _Picture(widgets.Image):
    """A picture with a tooltip, which is also its name for screen readers: ipywidgets has no alternative text."""

    description = traitlets.Unicode("").tag(sync=True)  # ipywidgets 8.1 cannot show a tooltip where this is missing

    def __init__(self, side: int, tooltip: str, **layout: str) -> None:
        layout = {"width": f"{side}px", "height": f"{side}px", "margin": "0"} | layout
        super().__init__(format="png", tooltip=tooltip, layout=layout)


def _slider(name: str, low: float, high: float, step: float, name_width: int) -> widgets.FloatSlider:
    return widgets.FloatSlider(
        0.0,
        min=low,
        max=high,
        step=step,
        description=name,
        readout_format=".2f" if step >= 0.01 else ".4f",
        style={"description_width": f"{name_width}px"},
        layout=widgets.Layout(width=f"{SIDE}px", margin="2px 0"),
    )


def _column(title: widgets.Widget, picture: widgets.Widget) -> widgets.VBox:
    title.layout = widgets.Layout(margin="0", width=f"{SIDE}px")
    return widgets.VBox([title, picture], layout=widgets.Layout(overflow="visible"))


def _row(parts: list[widgets.Widget], gap: int = 0, margin: str | None = None) -> widgets.HBox:
    """Side by side, or below each other where the page is narrow, and then `gap` of its pixels apart."""
    layout = widgets.Layout(flex_flow="row wrap", grid_gap=f"{gap}px {GAP}px", margin=margin, overflow="visible")
    return widgets.HBox(parts, layout=layout)


def _tiles(images: np.ndarray, chosen: int) -> Image.Image:
    """Images [n, 28, 28] in rows of ten on a transparent ground, one of them in a frame."""
    tile, pitch = DENSITY * TILE, DENSITY * (TILE + TILE_GAP)
    tiles = Image.new("RGBA", (DENSITY * STRIP, math.ceil(len(images) / 10) * pitch - DENSITY * TILE_GAP), "#ffffff00")
    for number, image in enumerate(images):
        left, top = number % 10 * pitch, number // 10 * pitch
        tiles.paste(_enlarge(image, TILE), (left, top))
        if number == chosen:
            outline = (left, top, left + tile - 1, top + tile - 1)
            ImageDraw.Draw(tiles).rectangle(outline, outline=FRAME, width=3 * DENSITY)
    return tiles


def _page(rows: list[list[tuple[str, Image.Image]]]) -> Image.Image:
    """Rows of pictures, each below its title, on one white page."""
    gap, head = DENSITY * GAP, DENSITY * 22
    width = max(sum(picture.width + gap for _, picture in row) - gap for row in rows)
    heights = [head + max(picture.height for _, picture in row) for row in rows]
    page = Image.new("RGB", (width, sum(heights) + gap // 2 * (len(rows) - 1)), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.truetype(findfont("DejaVu Sans"), DENSITY * 12)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for title, picture in row:
            draw.text((left, top + DENSITY * 2), title, "#333333", font)
            page.paste(picture, (left, top + head))
            left += picture.width + gap
        top += height + gap // 2
    return page
