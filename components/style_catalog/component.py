"""StyleCatalog: checks a catalog of styles and publishes it."""

from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.experimental import simple_artifacts

from components.style_catalog import executor


@component
def StyleCatalog(
    published: OutputArtifact[simple_artifacts.Dataset],
    catalog: Parameter[str],
    styles: Parameter[str],
    code: Parameter[str],
    fingerprint: Parameter[str],
) -> None:
    """Checks `catalog` and publishes it with thumbnails.

    The artifact is a plain `Dataset`, a type that MLMD, Kubeflow Pipelines and Vertex AI know by themselves: a type of
    our own would have to be importable on Kubeflow under a name of two parts, and would add nothing.

    Args:
      published: `catalog.yaml`, `pictures/` and `thumbnails/<id>.jpg`; a catalog again.
      catalog: `builtin`, a `catalog.yaml`, or a folder of images.
      styles: JSON list of the ids to keep; `[]` keeps all.
      code: fingerprint of this component's source, so that the cache notices an edit.
      fingerprint: of the catalog (`catalog.compute_fingerprint`), so that the cache notices a new or changed image.

    Raises:
      CatalogError: names every fault, one line each.
    """
    del code, fingerprint  # part of the cache key only
    executor.publish(catalog, styles, published)
