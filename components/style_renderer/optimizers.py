"""Minimises a function of a picture, its pixels kept in 0..255."""

from collections.abc import Callable

import keras
import numpy as np
import scipy.optimize
import tensorflow as tf

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Picture [1, H, W, 3] float32 of 0..255 to loss and gradient [1, H, W, 3] float32."""
Notify = Callable[[np.ndarray], bool]
"""Told the picture after each iteration; True: the function has changed, what was learned of it is void."""

_MEMORY = 10
"""Corrections that L-BFGS keeps: 5 took a quarter longer to the same loss, 20 no less time and twice the memory."""
_PULL = 1e-3
"""Of the quadratic that pulls unknowns back into 0..255, by the mean size of the gradient."""


def lbfgs(evaluate: Evaluate, image: np.ndarray, iterations: int, notify: Notify) -> np.ndarray:
    """SciPy's L-BFGS (Byrd et al. 1995, "A limited memory algorithm for bound constrained optimization").

    Its own bounds cost more than a pass through Lite0 (`benchmarks/style.py optimizers`). So the unknowns are free, the
    picture is what they are when cut to 0..255, and a weak quadratic calls back those that went outside. What lies on a
    bound and would go outside stays: a slope that leads nowhere misleads the line search.

    Args:
      evaluate: the function.
      image: [1, H, W, 3] float32 of 0..255, where to start.
      iterations: line searches in all.
      notify: called after each.

    Returns:
      The picture [1, H, W, 3] float32 of 0..255.
    """
    free = image.astype(np.float64).ravel()
    pull = 0.0
    done = 0

    def penalised(unknowns: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal pull
        inside = np.clip(unknowns, 0.0, 255.0)
        loss, gradient = evaluate(inside.astype(np.float32).reshape(image.shape))
        slope = gradient.astype(np.float64).ravel()
        pull = pull or _PULL * float(np.abs(slope).mean())
        outside = unknowns - inside
        slope[(outside != 0) | ((unknowns == 0) & (slope > 0)) | ((unknowns == 255) & (slope < 0))] = 0.0
        slope += 2 * pull * outside
        return loss + pull * float(np.dot(outside, outside)), slope

    def after_iteration(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        nonlocal done
        done += 1
        changed = notify(np.clip(intermediate_result.x, 0.0, 255.0).astype(np.float32).reshape(image.shape))
        if changed or done == iterations:
            raise StopIteration

    while done < iterations:
        before, pull = done, 0.0
        found = scipy.optimize.minimize(
            penalised,
            free,
            jac=True,
            method="L-BFGS-B",
            callback=after_iteration,
            options={"maxcor": _MEMORY, "maxiter": iterations, "maxfun": 10 * iterations, "ftol": 0.0, "gtol": 0.0},
        ).x
        # At 0 and 255 the function has kinks, at which a line search may fail; from within it gets on again.
        free = np.clip(found, 0.0, 255.0)
        if done == before:  # no step leads down any further
            break
    return free.astype(np.float32).reshape(image.shape)


def adam(evaluate: Evaluate, image: np.ndarray, iterations: int, notify: Notify, learning_rate: float) -> np.ndarray:
    """Keras' Adam (Kingma and Ba 2015), the picture cut to 0..255 after each step.

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
