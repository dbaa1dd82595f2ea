"""The facts that travel with a model."""

import pytest

from atelier import preprocessing
from atelier.preprocessing import Preprocessing, PreprocessingError

FACTS = Preprocessing(size=32, resize="pad", store_size=None, max_pixels=1_000_000, jpeg_quality=90)
TEXT = '{"size": 32, "resize": "pad", "store_size": null, "max_pixels": 1000000, "jpeg_quality": 90}'


def test_what_is_written_is_read_again():
    assert preprocessing.parse(FACTS.to_json()) == FACTS
    assert preprocessing.parse(TEXT) == FACTS


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", "json"),
        ("[]", "object"),
        (TEXT.replace('"size": 32, ', ""), "size: field required"),
        (TEXT.replace("pad", "zoom"), "resize: "),
        (TEXT.replace("32", '"32"'), "size: "),
        (TEXT.replace("32", "0"), "size: "),
        (TEXT.replace("}", ', "resample": "bicubic"}'), "resample: "),
    ],
)
def test_a_text_with_other_facts_is_rejected_by_key(text, fact):
    with pytest.raises(PreprocessingError, match=fact):
        preprocessing.parse(text)
