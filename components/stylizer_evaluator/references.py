"""The optimizer's images, which a stylizer is compared with. Each is rendered once and kept."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from atelier import storage
from components.style_renderer.engine import render
from components.style_renderer.engine.settings import Settings


def read_or_render(
    content: np.ndarray,
    style: np.ndarray,
    settings: Settings,
    store: str,
    code: str,
    rendered: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Returns the optimizer's image, [H, W, 3] uint8, of the content's size.

    Args:
      content: [H, W, 3] uint8, its longer side that of the settings' last scale.
      style: [h, w, 3] uint8.
      settings: of the optimizer.
      store: folder of the images, a path or URL; "" keeps none.
      code: fingerprint of the engine, whose images another engine does not take over.
      rendered: called if the image was not there.
    """
    digest = hashlib.sha256(f"{settings.model_dump_json()} {code} {content.shape} {style.shape}".encode())
    digest.update(content.tobytes() + style.tobytes())
    file = storage.join(store, f"{digest.hexdigest()[:32]}.png") if store else ""
    if file:
        try:
            return np.asarray(Image.open(io.BytesIO(storage.read_bytes(file))).convert("RGB"))
        except OSError:  # it is not there, or damaged
            pass
    image = render.render(content, [(style, 1.0)], settings).image
    rendered()
    if file:
        encoded = io.BytesIO()
        Image.fromarray(image).save(encoded, "PNG")
        storage.write_bytes(file, encoded.getvalue())
    return image
