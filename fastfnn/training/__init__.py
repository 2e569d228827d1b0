"""Training: the loop over epochs, the steps of an epoch, and the events that callbacks see."""
