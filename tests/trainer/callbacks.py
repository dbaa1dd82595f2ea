"""Keras callbacks that kill a training, or write down what it does."""

import keras


class KilledError(BaseException):
    """Nothing catches it on its way."""


class Kill(keras.callbacks.Callback):
    """Ends a phase (any, if none is named) at the end of an epoch, after the epoch's state was saved."""

    def __init__(self, epoch, phase=None):
        super().__init__()
        self._epoch, self._phase = epoch, phase

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self._epoch and self._phase in (None, self.model.name):
            raise KilledError


class Rates(keras.callbacks.Callback):
    """The learning rate of every step, by phase."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.setdefault(self.model.name, []).append(float(self.model.optimizer.learning_rate))


class Watch(keras.callbacks.Callback):
    """Writes down which epochs were trained, from which step, and to which weights."""

    def __init__(self):
        super().__init__()
        self.begun, self.weights = {}, {}

    def on_epoch_begin(self, epoch, logs=None):
        self.begun[epoch] = int(self.model.optimizer.iterations)

    def on_epoch_end(self, epoch, logs=None):
        self.weights[epoch] = self.model.get_weights()
