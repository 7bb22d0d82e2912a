"""What a person sees of a training: console, TensorBoard, Weights & Biases, and what the run was made with."""
