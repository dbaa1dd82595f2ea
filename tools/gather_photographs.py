#!/usr/bin/env python3
"""Gathers the photographs that the stylizer's base network was trained on (components/stylizer/BASE.md).

    apt-get download PACKAGE; dpkg -x PACKAGE_*.deb ROOT       # for each Debian package below
    python tools/gather_photographs.py ROOT OUTPUT

Each becomes a JPEG of at most 1024 pixels on the longer side, named after its package and file. All are under free
licenses, which the package's copyright file states. None of them is part of this repository.
"""

import argparse
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from atelier.files import packaged

SIDE = 1024

GCOMPRIS = ("erase", "explore_monuments", "explore_world_animals", "explore_world_music", "explore_farm_animals")
"""Archives of gcompris-qt-data (GPL-3+, CC-BY, CC-BY-SA, GFDL and public domain, by file) that hold photographs."""
DETAILS = (
    *("Chenonceau", "Egeskov", "EilanDonan", "FanoeWindmill", "Gizah", "Louvre", "NDP", "Nagoya", "Neuschwanstein"),
    *("OperaSidney", "TajMahal", "TourEiffel", "TowerBridge"),
)
"""Photographs in gcompris-qt-data's archive `details`, whose other images are paintings."""
_WALLPAPERS = "usr/share/wallpapers/{}/contents/images/2560x1600.jpg"
FILES = {
    # CC-BY-4.0, CC-BY-SA-3.0, CC-BY-SA-4.0 or CC0-1.0, by file
    "lomiri-wallpapers-16.04": [
        *("Picture_1A_by_freespace", "Wine_by_Jakkub_Mede", "greentock_by_Peter_Nerlich", "Dragonfly_by_Bolly"),
        *("seeding_by_Clements_Engelhardt", "aitzgorri_by_Aitzol_Berasategi", "friends_by_Aitzol_Berasategi"),
        *("sunset_by_Aitzol_Berasategi", "free_by_Peter_Nerlich", "picosdeeuropa_by_Aitzol_Berasategi"),
        *("Picture_0B_by_freespace", "life_by_Aitzol_Berasategi", "Bridge_by_Sander_Klootwijk"),
    ],
    "lomiri-wallpapers-20.04": ["Kleiber_by_Lukas_Baubkus"],
    # GPL-2+
    "mate-backgrounds": [
        *("Garden", "Dune", "Aqua", "TwoWings", "Storm", "GreenMeadow", "RainDrops", "FreshFlower", "LadyBird"),
        "YellowFlower",
    ],
    # GPL-2+
    "plasma-workspace-wallpapers": [
        *("FallenLeaf", "Path", "Autumn", "summer_1am", "EveningGlow", "Grey", "Kite", "ColorfulCups", "OneStandsOut"),
        *("ColdRipple", "BytheWater", "DarkestHour"),
    ],
    # GPL-2+
    "gnome-control-center-data": [
        *("mountain", "surfer", "tree", "calculator", "bicycle", "hummingbird", "cat", "headphones", "coffee2"),
        *("plane", "tomatoes", "book", "flower2"),
    ],
    # CC0-1.0
    "puzzle-jigsaw": ["pexels-photo-302304", "cat-animal-cat-portrait-mackerel"],
    # GPL-2+
    "palapeli-data": [
        *("cincinnati-bridge", "european-honey-bee", "panther-chameleon-female", "castle-maintenon", "citrus-fruits"),
    ],
}
"""By Debian package, the stems of files; in plasma-workspace-wallpapers, of folders."""
PYTHON = {
    "rocket.jpg": ("skimage", "data/rocket.jpg"),  # CC0
    "motorcycle.png": ("skimage", "data/motorcycle_left.png"),  # CC0
    "hopper.jpg": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),  # public domain
}
HELD_OUT = {
    "astronaut.png": ("skimage", "data/astronaut.png"),  # public domain
    "cat.png": ("skimage", "data/chelsea.png"),  # CC0
    "pagoda.jpg": ("sklearn", "datasets/images/china.jpg"),  # CC-BY-2.0
    "coffee.png": ("skimage", "data/coffee.png"),  # CC0
}
"""Never trained on: these judge the network."""


def main() -> None:
    """Writes OUTPUT/train and OUTPUT/held_out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that the Debian packages are unpacked into")
    parser.add_argument("output", type=Path, help="folder for the photographs")
    options = parser.parse_args()
    for folder, photographs in (
        ("train", _read_training_photographs(options.root)),
        ("held_out", _read_from_packages(HELD_OUT)),
    ):
        (options.output / folder).mkdir(parents=True, exist_ok=True)
        for name, encoded in photographs:
            image = Image.open(io.BytesIO(encoded)).convert("RGB")
            image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            image.save(options.output / folder / f"{name}.jpg", quality=82)


def _read_training_photographs(root: Path) -> Iterator[tuple[str, bytes]]:
    for archive in (*GCOMPRIS, "details"):
        resources = dict(_read_resources((root / f"usr/share/gcompris-qt/rcc/{archive}.rcc").read_bytes()))
        for path, encoded in sorted(resources.items()):
            name = Path(path)
            is_photograph = name.suffix in (".webp", ".jpg") and (
                name.name.startswith(DETAILS) and "background" in name.name
                if archive == "details"
                else min(Image.open(io.BytesIO(encoded)).size) >= 384
            )
            if is_photograph:
                yield f"gcompris-{archive}-{name.stem}", encoded
    for package, stems in FILES.items():
        for stem in stems:
            pattern = _WALLPAPERS.format(stem) if package.startswith("plasma") else f"usr/share/**/{stem}.jp*g"
            found = sorted(root.glob(pattern))
            if not found:
                raise SystemExit(f"{root}: {stem} of {package} is not there: unpack the package into it")
            yield f"{package}-{stem}", found[0].read_bytes()
    yield from _read_from_packages(PYTHON)


def _read_resources(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of a Qt resource file."""
    _, version, tree, contents, names = struct.unpack_from(">4s4I", data)
    pending = [(0, "")]
    while pending:
        node, path = pending.pop()
        name, flags, first, second = struct.unpack_from(">IHII", data, tree + node * (22 if version >= 2 else 14))
        if node:
            (length,) = struct.unpack_from(">H", data, names + name)
            path += "/" + data[names + name + 6 :][: 2 * length].decode("utf-16-be")  # behind the length, a hash
        if flags & 2:  # a folder
            pending += [(child, path) for child in range(second, second + first)]
            continue
        (length,) = struct.unpack_from(">I", data, contents + second)
        content = data[contents + second + 4 :][:length]
        yield path, zlib.decompress(content[4:]) if flags & 1 else content


def _read_from_packages(files: dict[str, tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    for name, (package, file) in files.items():
        yield f"{package}-{Path(name).stem}", packaged.find(package, file).read_bytes()


if __name__ == "__main__":
    main()
