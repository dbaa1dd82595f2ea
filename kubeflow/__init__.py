"""The pipeline on Kubeflow Pipelines and Vertex AI: compile, replay, submit, image. Runs from the project's root."""
