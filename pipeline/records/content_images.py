"""The content images that the configuration names, as the nodes of the DAG read them."""

from pathlib import Path

from atelier import builtin_names, storage
from pipeline.config.config import Config, Style, Stylizer
from pipeline.fingerprint import FileHashes
from pipeline.records import dataset, inputs
from pipeline.run_inputs import ContentImages


def link_content_images(config: Config, output: Path, hashes: FileHashes) -> ContentImages:
    """Returns what the nodes are given: a word as it is, or links to the images of the user's folder.

    Raises:
      dataset.DataError: a folder holds no images, cannot be listed, or lies in the output.
    """
    style, stylizer = config.style, config.stylizer
    # A default is no input of the user's, and means what is built in.
    if (style.enabled or stylizer.enabled) and "catalog" in style.model_fields_set:
        builtin_names.check(style.catalog, (builtin_names.CATALOG,), "style.catalog")
    return ContentImages(
        gallery=_link_images(style, "style", "contents", output, hashes) if style.enabled else "",
        stylizer=_link_images(stylizer, "stylizer", "contents", output, hashes) if stylizer.enabled else "",
        held_out=_link_images(stylizer, "stylizer", "held_out", output, hashes) if stylizer.enabled else "",
    )


def _link_images(section: Style | Stylizer, name: str, key: str, output: Path, hashes: FileHashes) -> str:
    given = getattr(section, key)
    if key in section.model_fields_set:
        builtin_names.check(given, (builtin_names.PHOTOS,), f"{name}.{key}")
    if builtin_names.is_contents_name(given) or storage.is_url(given):
        return given
    folder = Path(given).resolve()
    if folder.is_relative_to(output):
        raise dataset.DataError(f"{name}.{key} is {given}, which lies in the output {output}: give another output")
    kind = key if name == "style" else f"{name}_{key}"
    return str(inputs.link_contents(folder, output, hashes, kind))
