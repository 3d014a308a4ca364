"""The interactive latent explorer: move a point through a model's latent plane and watch the image that it decodes to.

    from aae_lib.explore import LatentExplorer

    explorer = LatentExplorer(model)        # the last line of a cell displays it
    explorer
    explorer.z = (0.5, -1.0)                # what the two sliders do
    explorer.random()                       # what the button "Random from the prior" does
    explorer.encode_digit(7)                # what the button "Encode a digit" does, for the digit of your choice
    explorer.walk(0.5)                      # what the slider "walk" does, for priors that have a path: half of the way

It needs ipywidgets alone. The expensive picture, the plane, is drawn and sent once; a move sends a new position for the
marker and one image of 28x28 pixels, which takes the kernel about 1.5 milliseconds.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import matplotlib.style
import numpy as np
import torch
import traitlets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from aae_lib.data import Images, load_mnist
from aae_lib.drawing import MASSES, contour_levels, draw_codes, draw_prior
from aae_lib.metrics import prior_samples
from aae_lib.models import Model

POINTS = 2_000  # codes and prior samples in the plane, and points of the path through the prior

SIDE = 308  # of every picture in the page's pixels, 11 for each of a digit; beside JupyterLab's side bar three fit
DENSITY = 2  # picture pixels for each of the page's, so that screens of high resolution show sharp edges
MARKER = 26  # side of the marker in the page's pixels
GAP = 16

WALK_STEPS, WALK_INTERVAL = 100, 80  # of the play button, and milliseconds between two of them: eight seconds a walk


class LatentExplorer(widgets.VBox):
    """A model's latent plane, the image that the chosen code decodes to, and two sliders that choose the code.

    The plane shows the codes of held-out digits, colored and marked by digit, and the contours within which 50, 90 and
    99 % of the prior lie (a prior without `log_prob` is shown by its samples instead, as gray dots). It is drawn once:
    make a new explorer after training the model further. A prior with a path through it, `walk`, gets one more slider,
    which moves along that path, and a button that plays it.

    Args:
        model: any model with 2-D codes. It is used in evaluation mode and given back as it was, and so is torch's
            random state.
        digits: held-out images and their labels, of which the first 2,000 are used; by default MNIST's test set.

    Raises:
        ValueError: the model's codes do not have two dimensions, some are not finite, or `digits` is empty.
    """

    def __init__(self, model: Model, digits: Images | None = None) -> None:
        self._model = model
        self._digits = (load_mnist().test if digits is None else digits)[:POINTS]
        self._generator = np.random.default_rng(0)  # the buttons' choices
        self._codes, self._samples = self._encode_and_sample()
        self._path = self._codes_along(torch.linspace(0, 1, POINTS))

        # Whatever the buttons can reach must lie in the plane. The step is 0.05 for codes of the order of 1.
        extent = 1.02 * float(np.abs(np.concatenate([self._codes, self._samples, self._path])).max())
        step = 10.0 ** math.floor(math.log10(max(extent, 1e-3))) / 20
        self._limit = round(10 * step * math.ceil(extent / (10 * step)), 6)

        self._plane_picture = self._draw_plane()
        self._marker_picture = _draw_marker()
        self._digit_index: int | None = None  # of the encoded digit, as long as the marker stands at its code
        self._moving = False
        super().__init__(self._build(step))
        self.z = (0.0, 0.0)

    @property
    def z(self) -> tuple[float, float]:
        """The chosen code. Setting it moves the sliders and the marker and decodes the image, once.

        Raises:
            ValueError: not two finite numbers, or outside the range of the sliders.
        """
        return self._z

    @z.setter
    def z(self, value: Sequence[float]) -> None:
        self._move(value)

    @property
    def image(self) -> np.ndarray:
        """The image that `z` decodes to: [28, 28], float32 in [0, 1]."""
        return self._image

    def random(self) -> None:
        """Move to a sample of the prior.

        Raises:
            ValueError: the model has no prior.
        """
        if not len(self._samples):
            raise ValueError("this model has no prior to sample from; set `explorer.z`, or encode a digit")
        self._move(self._generator.choice(self._samples))

    def encode_digit(self, index: int) -> None:
        """Move to the code of digit number `index` of `digits` and show the digit beside its reconstruction.

        Raises:
            IndexError: `index` is not one of the digits that the plane shows (at most 2,000).
        """
        if not 0 <= index < len(self._digits):
            raise IndexError(f"digit {index}: the explorer holds digits 0 to {len(self._digits) - 1}")
        self._move(self._codes[index], digit_index=int(index))

    def walk(self, share: float) -> None:
        """Move to the code on the prior's path before which this share of the path lies: 0 is its start, 1 its end.

        Raises:
            ValueError: `share` is not from 0 to 1, or the prior has no path.
        """
        if not len(self._path):
            raise ValueError("this model's prior has no path to walk along; set `explorer.z` instead")
        if not 0 <= share <= 1:
            raise ValueError(f"share {share}: the walk goes from 0, its start, to 1, its end")
        self._move(self._codes_along(torch.tensor([float(share)]))[0])
        with self._programmatically():
            self._walk_slider.value = float(share)
            self._walk_player.value = round(WALK_STEPS * share)

    def picture(self) -> Image.Image:
        """What the explorer shows now, without its controls, as one still picture."""
        plane = self._plane_picture.copy()
        corner = tuple(DENSITY * (center - MARKER // 2) for center in self._pixel())
        plane.paste(self._marker_picture, corner, mask=self._marker_picture)
        panels = [(self._plane_title(), plane), (f"Decoded from z = {_text(self._z)}", _enlarge(self._image))]
        if self._digit_index is not None:
            panels.append((self._original_title(), _enlarge(self._original())))

        side, gap, head = DENSITY * SIDE, DENSITY * GAP, DENSITY * 22
        picture = Image.new("RGB", (len(panels) * (side + gap) - gap, head + side), "white")
        draw = ImageDraw.Draw(picture)
        font = ImageFont.truetype(findfont("DejaVu Sans"), DENSITY * 12)
        for number, (title, panel) in enumerate(panels):
            left = number * (side + gap)
            draw.text((left, DENSITY * 2), title, "#333333", font)
            picture.paste(panel, (left, head))
        return picture

    def __repr__(self) -> str:
        return f"LatentExplorer(2-D, z = {_text(self._z)})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget, and a still picture for viewers that have no kernel."""
        picture = self.picture()
        data = super()._repr_mimebundle_(**kwargs) | {"image/png": base64.b64encode(_png(picture)).decode()}
        return data, {"image/png": {"width": picture.width // DENSITY, "height": picture.height // DENSITY}}

    # ------------------------------------------------------------------------------------------------ the model

    def _encode_and_sample(self) -> tuple[np.ndarray, np.ndarray]:
        """The codes of the digits [n, 2] and samples of the prior [2000, 2], or [0, 2] if the model has none."""
        if not len(self._digits):
            raise ValueError("no digits to encode: give at least one image, or leave `digits` out for MNIST's test set")
        prior = self._model.prior
        if prior is not None:
            _check_dimensions(prior.dimensions)
        with self._undisturbed():
            torch.default_generator.manual_seed(0)  # the same plane each time; torch.manual_seed would reach every GPU
            codes = _array(self._model.encode(self._digits.images.to(self._device)))
        samples = np.empty((0, 2), np.float32) if prior is None else _array(prior_samples(prior, POINTS))
        _check_dimensions(codes.shape[1])
        if not np.isfinite(codes).all():
            raise ValueError("the encoder gives codes that are not finite: the model is damaged, or it has diverged")
        return codes, samples

    def _codes_along(self, shares: torch.Tensor) -> np.ndarray:
        """Codes on the prior's path, [n] -> [n, 2], or [0, 2] if it has none."""
        prior = self._model.prior
        return _array(prior.walk(shares)) if hasattr(prior, "walk") else np.empty((0, 2), np.float32)

    def _decode(self, z: tuple[float, float]) -> np.ndarray:
        with self._undisturbed():
            return _array(self._model.decode(torch.tensor([z], device=self._device))).reshape(28, 28)

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

    # ------------------------------------------------------------------------------------------------ moving z

    def _move(self, value: Sequence[float], digit_index: int | None = None) -> None:
        z = self._checked(value)
        image = self._decode(z)  # before anything has changed: if it fails, all stays as it was
        self._z, self._image, self._digit_index = z, image, digit_index

        with self._programmatically():
            for slider, coordinate in zip(self._sliders, z, strict=True):
                slider.value = coordinate

        left, top = (center - MARKER // 2 for center in self._pixel())
        self._marker.layout.margin = f"{top}px 0 0 {left}px"
        self._decoded.value = _png(_enlarge(image))
        self._decoded_title.value = f"Decoded from z = {_text(z)}"
        if digit_index is not None:
            self._original_image.value = _png(_enlarge(self._original()))
            self._original_label.value = self._original_title()
        self._original_panel.layout.display = "none" if digit_index is None else None

    @contextmanager
    def _programmatically(self) -> Iterator[None]:
        """Inside, controls are set to what is shown already: their reports would decode once more."""
        self._moving = True
        try:
            yield
        finally:
            self._moving = False

    def _slid(self, _: Any) -> None:
        if self._moving:
            return
        # A browser rounds a slider to its step and reports that back: a code between two steps stays what it is.
        z = tuple(
            slider.value if abs(slider.value - coordinate) > 0.501 * slider.step else coordinate
            for slider, coordinate in zip(self._sliders, self._z, strict=True)
        )
        if z != self._z:
            self._move(z)

    def _walk_slid(self, change: dict[str, Any]) -> None:
        if not self._moving and abs(change["new"] - change["old"]) > 0.501 / WALK_STEPS:  # else a rounded one, as above
            self.walk(change["new"])

    def _played(self, change: dict[str, Any]) -> None:
        if not self._moving:
            self.walk(change["new"] / WALK_STEPS)

    def _checked(self, value: Sequence[float]) -> tuple[float, float]:
        try:
            first, second = (float(coordinate) for coordinate in value)
        except (TypeError, ValueError):
            raise ValueError(f"z must be two numbers, such as (0.5, -1.0), not {value!r}") from None
        if not max(abs(first), abs(second)) <= self._limit:  # written so that NaN fails too
            limits = f"from {-self._limit:g} to {self._limit:g}"
            raise ValueError(f"z = ({first}, {second}), but both numbers must be {limits}, the range of the sliders")
        return first, second

    def _pixel(self) -> tuple[int, int]:
        """Where z lies in the plane, in the page's pixels from its left and upper edges."""
        across, up = ((coordinate / self._limit + 1) / 2 for coordinate in self._z)
        return round(across * SIDE), round((1 - up) * SIDE)

    def _original(self) -> np.ndarray:
        return _array(self._digits.images[self._digit_index]).reshape(28, 28)

    def _original_title(self) -> str:
        return f"Original: a {int(self._digits.labels[self._digit_index])} (image {self._digit_index})"

    # ------------------------------------------------------------------------------------------------ what is seen

    def _build(self, step: float) -> list[widgets.Widget]:
        # A grid of one cell that holds both the plane and, above it, the marker, whose margins say where it stands.
        cell = {"grid_area": "plane", "max_width": "none"}
        plane = _Picture(SIDE, "The latent plane: codes of held-out digits and the prior", **cell)
        plane.value = _png(self._plane_picture)
        self._marker = _Picture(MARKER, "The chosen code z", **cell)
        self._marker.value = _png(self._marker_picture)
        pad = widgets.GridBox(
            [plane, self._marker],
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
        self._decoded = _Picture(SIDE, "The image that the chosen code decodes to")
        self._decoded_title = widgets.Label()
        self._original_image = _Picture(SIDE, "The digit that was encoded")
        self._original_label = widgets.Label()
        self._original_panel = _column(self._original_label, self._original_image)
        panels = widgets.HBox(
            [
                _column(widgets.Label(self._plane_title()), pad),
                _column(self._decoded_title, self._decoded),
                self._original_panel,
            ],
            layout=widgets.Layout(flex_flow="row wrap", grid_gap=f"8px {GAP}px", overflow="visible"),
        )

        names_width = 32 if len(self._path) else 20
        self._sliders = [_slider(name, -self._limit, self._limit, step, names_width) for name in ("z₁", "z₂")]
        for slider in self._sliders:
            slider.observe(self._slid, "value")

        sample = widgets.Button(description="Random from the prior", disabled=self._model.prior is None)
        sample.tooltip = "This model has no prior" if sample.disabled else "Move to a sample of the prior"
        sample.on_click(lambda _: self.random())
        encode = widgets.Button(description="Encode a digit", tooltip="Move to the code of a held-out digit")
        encode.on_click(lambda _: self.encode_digit(int(self._generator.integers(len(self._digits)))))
        for button in (sample, encode):
            button.layout = widgets.Layout(width="auto", flex="1 1 auto", margin="2px 0")

        controls = widgets.HBox(
            [
                widgets.VBox(self._sliders, layout=widgets.Layout(width=f"{SIDE}px", overflow="visible")),
                widgets.HBox(
                    [sample, encode], layout=widgets.Layout(width=f"{SIDE}px", grid_gap="8px", overflow="visible")
                ),
            ],
            layout=widgets.Layout(flex_flow="row wrap", grid_gap=f"0 {GAP}px", margin="6px 0 0 0", overflow="visible"),
        )
        return [panels, controls, self._build_walk(names_width)] if len(self._path) else [panels, controls]

    def _build_walk(self, names_width: int) -> widgets.Widget:
        self._walk_slider = _slider("walk", 0, 1, 1 / WALK_STEPS, names_width)
        self._walk_slider.tooltip = "How much of the path through the prior lies before z"
        self._walk_slider.observe(self._walk_slid, "value")
        self._walk_player = widgets.Play(max=WALK_STEPS, interval=WALK_INTERVAL, tooltip="Walk along the path")
        self._walk_player.observe(self._played, "value")
        row = widgets.Layout(flex_flow="row wrap", grid_gap=f"0 {GAP}px", overflow="visible")
        return widgets.HBox([self._walk_slider, self._walk_player], layout=row)

    def _plane_title(self) -> str:
        if self._model.prior is None or contour_levels(self._model.prior) is None:
            return "Latent plane"
        return "Latent plane; " + ", ".join(f"{100 * mass:.0f}" for mass in MASSES) + " % of the prior"

    def _draw_plane(self) -> Image.Image:
        with matplotlib.style.context("default"):  # whatever the notebook's own style is
            figure, axes = _figure(SIDE)
            axes.set(xlim=(-self._limit, self._limit), ylim=(-self._limit, self._limit))
            self._draw_scale(axes)
            if self._model.prior is not None:
                draw_prior(axes, self._model.prior, self._limit)
            axes.plot(*self._path.T, color="#999999", linewidth=0.6, linestyle=(0, (4, 4)), zorder=1)
            draw_codes(axes, torch.from_numpy(self._codes), self._digits.labels.cpu())
            return _render(figure)

    def _draw_scale(self, axes: Any) -> None:
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


def _check_dimensions(dimensions: int) -> None:
    if dimensions != 2:
        raise ValueError(
            f"the explorer draws a plane, but this model's codes have {dimensions} dimension{'s' * (dimensions != 1)}: "
            "explore a model with 2-D codes, such as the experiment aae-gaussian"
        )


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def _text(z: tuple[float, float]) -> str:
    return f"({z[0]:z.2f}, {z[1]:z.2f})"


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png", compress_level=1)  # of a 28x28 image, twice as fast as the default
    return buffer.getvalue()


def _enlarge(image: np.ndarray) -> Image.Image:
    """An image [28, 28] in [0, 1] as a gray picture whose pixels are squares; browsers would blur the small one."""
    levels = (image.clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(levels).resize((DENSITY * SIDE, DENSITY * SIDE), Image.Resampling.NEAREST)


def _figure(side: int) -> tuple[Figure, Any]:
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
