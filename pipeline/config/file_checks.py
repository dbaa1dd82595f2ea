"""Files and folders that a configuration names, looked at before a run begins and not by the node that needs them."""

import hashlib
from pathlib import Path

from atelier import builtin_names, storage
from atelier.files import tree
from components.style_catalog import builtin, catalog
from pipeline.config.config import Config
from pipeline.config.errors import ConfigError


def check_files(config: Config) -> None:
    """Looks for every file that a run on this machine will read; those at a URL are left to their readers.

    Raises:
      ConfigError: one is missing, or its hash is another; the message names the key.
      CatalogError: the style catalog cannot be used, or lacks a style.
    """
    trainer, style, stylizer, beam = config.trainer, config.style, config.stylizer, config.beam
    if trainer.weights not in ("imagenet", "none"):
        _check_weights("trainer.weights", trainer.weights, trainer.weights_sha256)
    if beam.setup_file and beam.runner not in ("direct", "dask") and not Path(beam.setup_file).is_file():
        raise ConfigError(f"beam.setup_file is {beam.setup_file!r}: no such file on this machine, which starts the job")
    if style.enabled or stylizer.enabled:
        check_styles(style.catalog, style.styles)
    if style.enabled:
        if style.settings.weights not in ("imagenet", "random"):
            _check_weights("style.settings.weights", style.settings.weights, style.settings.weights_sha256)
        if style.stylizer and not storage.is_url(style.stylizer) and not Path(style.stylizer).is_file():
            raise ConfigError(
                f"style.stylizer is {style.stylizer!r}: no such file; `atelier styles train` makes one; "
                "without the key, the base network is used"
            )
        _check_images("style.contents", style.contents)
    if stylizer.enabled:
        _check_images("stylizer.contents", stylizer.contents)
        _check_images("stylizer.held_out", stylizer.held_out)


def check_styles(name: str, ids: tuple[str, ...]) -> None:
    """The catalog `name` must have all styles of `ids`.

    Raises:
      CatalogError: it cannot be used, or lacks a style.
    """
    if builtin_names.resolve(name, (builtin_names.CATALOG,)):
        catalog.check_ids(name, builtin.list_ids(), ids)
    elif not storage.is_url(name):
        catalog.select_styles(name, catalog.open_catalog(name), ids)


def _check_images(key: str, contents: str) -> None:
    if builtin_names.is_contents_name(contents) or storage.is_url(contents):
        return
    if not Path(contents).is_dir():
        raise ConfigError(
            f"{key} is {contents!r}: no such folder; expected photos, split:train, split:eval, split:test, or a folder "
            "of images"
        )
    try:
        found = tree.walk(contents).paths  # as the node lists them: links are followed, junk counts for nothing
    except OSError as error:
        raise ConfigError(f"{key} is {contents!r}: {error.filename} cannot be listed: {error.strerror}") from None
    if not found:
        raise ConfigError(f"{key} is {contents!r}: the folder holds no files")


def _check_weights(key: str, path: str, sha256: str) -> None:
    if storage.is_url(path):
        return
    try:
        with Path(path).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{key} is {path!r}: the weights file cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise ConfigError(f"{key} is {path!r}: {error}") from None
    if found != sha256:
        raise ConfigError(f"{key} is {path!r}: its SHA-256 is {found}, {key}_sha256 says {sha256}")
