"""Minimizes a function of an image, its pixels kept in 0..255."""

from collections.abc import Callable

import keras
import numpy as np
import scipy.fft
import scipy.optimize
import tensorflow as tf
import threadpoolctl

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Image [1, H, W, 3] float32 of 0..255 to loss and gradient [1, H, W, 3] float32."""
Notify = Callable[[np.ndarray], bool]
"""Told the image after each iteration; True: the function has changed, what was learned of it is void."""

_MEMORY = 10
"""Corrections that L-BFGS keeps: 5 took a quarter longer to the same loss, 20 no less time and twice the memory."""
_PULL = 1e-3
"""Of the quadratic that pulls unknowns back into 0..255, by the mean size of the gradient."""
_ON_BOUND = 1e-3
"""Gray levels: there and back through the cosines in float32, 0 and 255 are nearly that."""
_SIDES = (1, 2)
"""The axes of an image along which it has frequencies."""


def run_lbfgs(
    evaluate: Evaluate, image: np.ndarray, iterations: int, notify: Notify, frequency_slope: float = 0.0
) -> np.ndarray:
    """SciPy's L-BFGS (Byrd et al. 1995, "A limited memory algorithm for bound constrained optimization").

    The unknowns are the image's cosine coefficients, low frequencies in larger units than high ones: a step then
    moves whole shapes as readily as grain. Whether that helps depends on the network: see `networks.RECIPES`.

    SciPy's own bounds cost more than a pass through Lite0 (`benchmarks/style/style.py optimizers`). So the unknowns are
    free, the image is what they are when cut to 0..255, and a weak quadratic calls back what went outside. What lies on
    a bound and would go outside stays: a slope that leads nowhere misleads the line search.

    Args:
      evaluate: the function.
      image: [1, H, W, 3] float32 of 0..255, where to start.
      iterations: line searches in all.
      notify: called after each.
      frequency_slope: a coefficient's unit is its frequency to the power of minus this.

    Returns:
      The image [1, H, W, 3] float32 of 0..255.
    """
    pull = 0.0
    done = 0
    changed = False
    space: _Cosines | _Pixels = _Cosines(image.shape, frequency_slope)
    accepted = latest = image
    """Accepted by a line search, and the one evaluated last: at the end of a line search they are the same."""

    def evaluate_penalized(unknowns: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal pull, latest
        free = space.to_image(unknowns)
        latest = np.clip(free, 0.0, 255.0)
        loss, slope = evaluate(latest)
        slope = slope.copy()
        pull = pull or _PULL * float(np.abs(slope).mean())
        slope[((free < _ON_BOUND) & (slope > 0)) | ((free > 255 - _ON_BOUND) & (slope < 0))] = 0.0
        outside = free - latest
        slope[outside != 0] = 0.0
        slope += 2 * pull * outside
        return loss + pull * float(np.vdot(outside, outside)), space.to_slope(slope)

    def accept_iteration(_: np.ndarray) -> None:
        nonlocal done, changed, accepted
        done += 1
        accepted = latest
        changed = notify(accepted)
        if changed or done == iterations:
            raise StopIteration

    # OpenBLAS' threads wait busily for their next task, and TensorFlow's then lack the processors: half the speed.
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        while done < iterations:
            before, pull, changed = done, 0.0, False
            scipy.optimize.minimize(
                evaluate_penalized,
                space.to_unknowns(accepted),
                jac=True,
                method="L-BFGS-B",
                callback=accept_iteration,
                options={"maxcor": _MEMORY, "maxiter": iterations, "maxfun": 10 * iterations, "ftol": 0.0, "gtol": 0.0},
            )
            if done == before and isinstance(space, _Pixels):  # no step leads down any further
                break
            # At 0 and 255 the function has kinks, at which a line search may fail, sooner where every unknown is in
            # every pixel; from within, and pixel by pixel, it gets on again.
            space = _Cosines(image.shape, frequency_slope) if changed else _Pixels(image.shape)
    return accepted


class _Pixels:
    """The pixels are the unknowns. Images are float32, unknowns SciPy's flat float64."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape

    def to_unknowns(self, image: np.ndarray) -> np.ndarray:
        return image.astype(np.float64).ravel()

    def to_image(self, unknowns: np.ndarray) -> np.ndarray:
        return unknowns.astype(np.float32).reshape(self._shape)

    def to_slope(self, gradient: np.ndarray) -> np.ndarray:
        return self.to_unknowns(gradient)


class _Cosines:
    """The unknowns are the image's cosine coefficients, each in a unit of its frequency to the power of -slope."""

    def __init__(self, shape: tuple[int, ...], slope: float) -> None:
        height, width = shape[1:3]
        frequency = np.hypot(np.arange(height)[:, np.newaxis] / height, np.arange(width) / width)
        frequency[0, 0] = min(1 / height, 1 / width)
        units = frequency**-slope
        self._units = (units / units.mean())[..., np.newaxis].astype(np.float32)
        self._pixels = _Pixels(shape)

    def to_unknowns(self, image: np.ndarray) -> np.ndarray:
        return self._pixels.to_unknowns(scipy.fft.dctn(image, axes=_SIDES, norm="ortho") / self._units)

    def to_image(self, unknowns: np.ndarray) -> np.ndarray:
        return scipy.fft.idctn(self._pixels.to_image(unknowns) * self._units, axes=_SIDES, norm="ortho")

    def to_slope(self, gradient: np.ndarray) -> np.ndarray:
        return self._pixels.to_unknowns(scipy.fft.dctn(gradient, axes=_SIDES, norm="ortho") * self._units)


def run_adam(
    evaluate: Evaluate, image: np.ndarray, iterations: int, notify: Notify, learning_rate: float
) -> np.ndarray:
    """Keras' Adam (Kingma and Ba 2015), the image cut to 0..255 after each step.

    Args:
      evaluate: the function.
      image: [1, H, W, 3] float32 of 0..255, where to start.
      iterations: steps.
      notify: called after each.
      learning_rate: in units of 0..255.
    """
    variable = tf.Variable(image)
    optimizer = keras.optimizers.Adam(learning_rate)
    for _ in range(iterations):
        _, gradient = evaluate(variable.numpy())
        optimizer.apply([tf.convert_to_tensor(gradient)], [variable])
        variable.assign(tf.clip_by_value(variable, 0.0, 255.0))
        if notify(variable.numpy()):
            optimizer = keras.optimizers.Adam(learning_rate)
    return variable.numpy()
