"""How far a window of requests is from the reference: effect sizes, which do not grow with the number of requests.

A p-value of the same small difference goes to 0 as requests come in. The sizes here go to a constant instead:

- Jensen-Shannon divergence of two distributions over classes: base 2, 0 (equal) to 1 bit (no class in common).
- Wasserstein-1 distance of two samples of a number, in standard deviations of the reference: a shift of all values by
  one standard deviation is 1.
- Maximum mean discrepancy of two samples of feature vectors, squared and unbiased (Gretton et al., "A kernel two-sample
  test", JMLR 13, 2012, eq. 3), with the kernel exp(-d^2 / (2 sigma^2)). Sigma is the median distance between two
  vectors of the reference. It is around 0 for equal distributions, slightly below too, and less than 2.
"""

from collections.abc import Sequence

import numpy as np
from scipy import spatial, stats

SMALLEST_UNIT = 0.01
"""A reference whose numbers are nearly all equal has no deviation to measure with."""


def compute_divergence(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the Jensen-Shannon divergence in bits, 0..1.

    Args:
      first: [classes] counts or probabilities >= 0, not all 0.
      second: [classes] likewise.
    """
    distance = spatial.distance.jensenshannon(first, second, base=2)
    return float(np.nan_to_num(distance) ** 2)  # SciPy's root of a rounding error below 0


def compute_distance(values: np.ndarray, reference: np.ndarray) -> float:
    """Returns the Wasserstein-1 distance in standard deviations of the reference, >= 0.

    Args:
      values: [n] numbers, n > 0.
      reference: [m] numbers, m > 0.
    """
    return float(stats.wasserstein_distance(values, reference)) / max(float(np.std(reference)), SMALLEST_UNIT)


def find_bandwidth(reference: np.ndarray) -> float:
    """Returns the median distance between two rows of [m, channels], m > 1; 1 where it is 0."""
    return float(np.median(spatial.distance.pdist(reference.astype(float)))) or 1.0


def compute_kernel(first: np.ndarray, second: np.ndarray, bandwidth: float) -> np.ndarray:
    """Returns the kernel of each pair of rows, [n, m] of 0..1.

    Args:
      first: [n, channels].
      second: [m, channels].
      bandwidth: sigma.
    """
    first, second = first.astype(float), second.astype(float)
    squared = (first**2).sum(axis=1)[:, np.newaxis] + (second**2).sum(axis=1) - 2 * first @ second.T
    kernel: np.ndarray = np.exp(-np.maximum(squared, 0) / (2 * bandwidth**2))
    return kernel


def compute_discrepancy(within_first: np.ndarray, within_second: np.ndarray, between: np.ndarray) -> float:
    """Returns the unbiased estimate of the squared maximum mean discrepancy.

    Args:
      within_first: [n, n] kernel, n > 1.
      within_second: [m, m] kernel, m > 1.
      between: [n, m] kernel.
    """
    return float(_average_pairs(within_first) + _average_pairs(within_second) - 2 * between.mean())


def _average_pairs(kernel: np.ndarray) -> float:
    """Returns the mean over pairs of different rows."""
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def count_names(names: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Returns how often each known name occurs, [known + 1]; all other names together come last."""
    index = {name: number for number, name in enumerate(known)}
    return np.bincount([index.get(name, len(known)) for name in names], minlength=len(known) + 1)
