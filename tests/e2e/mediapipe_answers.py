"""Writes what MediaPipe Tasks answers, as JSON; runs where only `mediapipe` is installed."""

import json
import sys

from mediapipe import Image
from mediapipe.tasks.python import BaseOptions, vision

model, *images = sys.argv[1:]
options = vision.ImageClassifierOptions(BaseOptions(model_asset_path=model), max_results=1)
found = []
with vision.ImageClassifier.create_from_options(options) as classifier:
    for image in images:
        head = classifier.classify(Image.create_from_file(image)).classifications[0]
        found.append([head.head_name, head.categories[0].category_name, head.categories[0].score])
sys.stdout.write(json.dumps(found))
