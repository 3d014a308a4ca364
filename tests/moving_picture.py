"""Make README's moving picture of the explorer: the exported page in Chromium, and what a hand does on it.

    python tests/moving_picture.py          # writes figures/explorer.webp
"""

import io
import json
import math
import tempfile
from pathlib import Path

from browser import Page, start
from PIL import Image, ImageDraw

from aae_lib.explore import explore

TESTS = Path(__file__).parent
MODEL = "aae-gaussian"
SIZE = (1000, 905)
SCALE = 0.76
MILLISECONDS = 80
POINTER = [(0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12)]
ON_PLANE, ON_PAD = ".aae-plane", ".aae-pad"


class Film:
    """Frames of the page with a pointer on them. Places are shares of a canvas."""

    def __init__(self, page):
        self.page, self.frames, self.lengths, self.at = page, [], [], (0, 0)

    def shoot(self, times=1):
        picture = Image.open(io.BytesIO(self.page.driver.get_screenshot_as_png())).convert("RGB")
        x, y = self.at
        ImageDraw.Draw(picture).polygon([(x + dx, y + dy) for dx, dy in POINTER], "black", "white")
        self.frames.append(picture.resize([round(SCALE * side) for side in picture.size], Image.Resampling.LANCZOS))
        self.lengths.append(times * MILLISECONDS)

    def move(self, place, canvas=ON_PLANE, actions=None):
        element = self.page.canvas(canvas)
        self.page.to(actions or self.page.actions(0), place, element).perform()
        box = self.page.js("const b = arguments[0].getBoundingClientRect(); return [b.x, b.y, b.width]", element)
        self.at = box[0] + place[0] * box[2], box[1] + place[1] * box[2]

    def glide(self, start, end, frames, canvas=ON_PLANE, bend=0.0):
        for frame in range(1, frames + 1):
            share = 0.5 - 0.5 * math.cos(math.pi * frame / frames)
            place = [a + share * (b - a) + bend * math.sin(math.pi * share) for a, b in zip(start, end, strict=True)]
            self.move(place, canvas)
            self.shoot()

    def save(self, path):
        first, *rest = self.frames
        first.save(path, save_all=True, append_images=rest, duration=self.lengths, loop=0, quality=62, method=6)


def play(film):
    page = film.page
    film.move((0.2, 0.3))
    film.glide((0.2, 0.3), (0.75, 0.35), 14, bend=-0.12)
    film.glide((0.75, 0.35), (0.3, 0.75), 14, bend=0.1)
    page.click((0.3, 0.75))
    page.keys("a")
    film.shoot(5)
    film.glide((0.3, 0.75), (0.72, 0.42), 9)
    page.click((0.72, 0.42))
    page.keys("b")
    film.shoot(5)
    for frame in range(17):
        page.js("explorer.go(arguments[0])", frame / 16)
        film.shoot()
    film.shoot(5)
    digit = next(each for each in json.loads((TESTS / "drawn_digits.json").read_text()) if each["label"] == 3)
    for stroke in digit["strokes"]:
        film.move(stroke[0], ON_PAD)
        page.actions(0).click_and_hold().perform()
        for place in (*stroke[1:-1:2], stroke[-1]):
            film.move(place, ON_PAD)
            film.shoot()
        page.actions(0).release().perform()
    film.shoot(20)


def main():
    with tempfile.TemporaryDirectory() as folder:
        driver = start(Path(folder) / "chromium")
        try:
            film = Film(Page(driver, explore((MODEL,), Path(folder) / "page.html"), *SIZE))
            play(film)
        finally:
            driver.quit()
    path = TESTS.parent / "figures" / "explorer.webp"
    film.save(path)
    print(f"wrote {path}: {len(film.frames)} frames, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
