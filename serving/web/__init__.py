"""The page in which pushed TFLite files run: collected by `site`, served by `server`, written by `export`."""
