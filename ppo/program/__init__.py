"""The program around a training: how it starts, what signals do to it, where its output goes."""
