"""Where TFLiteExporter leaves what may be pushed. Importing this module is cheap: Pusher reads it."""


def find_preferred_model(exported: str, variant: str) -> str:
    """Folder or URL of a model artifact with this variant alone, within the exporter's `tflite`."""
    return f"{exported}/preferred/{variant}"
