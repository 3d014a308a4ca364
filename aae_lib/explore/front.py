"""The front end, one ES module and one style sheet, and what every widget of it does."""

import base64
import io
import json
import re
from abc import abstractmethod
from pathlib import Path
from typing import Any

import anywidget
import matplotlib.style
import traitlets
from matplotlib.figure import Figure

from aae_lib.errors import SettingError
from aae_lib.report import drawing

FRONT = Path(__file__).parent / "front"
DENSITY = 2  # pixels of a still picture for each of the page's, so that screens of high resolution show sharp edges
STYLE = (FRONT / "style.css").read_text(encoding="utf-8")
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted(FRONT.glob("*.js")))
MODULE = "\n".join((  # all files as one module without imports; its default export is what anywidget looks for
    f"const COLORS = {json.dumps(drawing.PALETTE)};",
    re.sub(r"^import \{[^}]*\} from .*\n|^export ", "", SOURCE, flags=re.MULTILINE),
    "export default widget;",
))  # fmt: skip


class FrontEnd(anywidget.AnyWidget):
    """A widget that sends its arrays when it is asked for them, so that a notebook stores a still picture alone."""

    alt = "A still picture of an explorer."  # what is seen, for those who cannot see it
    _esm = MODULE
    _css = STYLE
    kind = traitlets.Unicode().tag(sync=True)  # which of the front end's views it has

    def __init__(self, **chosen: Any) -> None:
        super().__init__(**chosen)
        self.on_msg(self._reply)

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            super().__setattr__(name, value)
        except traitlets.TraitError as error:
            raise SettingError(str(error)) from error

    @abstractmethod
    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """What the front end gets for a message: JSON, and blocks of bytes."""

    @abstractmethod
    def still(self) -> Figure:
        """What is seen now, without controls. (pyplot would disturb the notebook's own figures.)"""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # text in notebooks that stays the same

    def _reply(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        try:
            answer, blocks = self.answer(message)
        except Exception as error:
            self.send({"error": str(error), "number": message["number"]})
            raise
        self.send(answer | {"number": message["number"]}, blocks)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget, and a still picture for viewers that have no kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        with matplotlib.style.context(["default", drawing.STYLE, {"savefig.dpi": 96 * DENSITY}]):
            picture, content = drawing.picture_of(self.still()), io.BytesIO()
        picture.save(content, "png", optimize=True)
        data["image/png"] = base64.b64encode(content.getvalue()).decode()
        size = {"width": picture.width // DENSITY, "height": picture.height // DENSITY}
        return data, (metadata or {}) | {"image/png": size | {"alt": self.alt}}
