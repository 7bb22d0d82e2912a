"""A CUDA device in host memory, for a machine without one: what the code does with a GPU can be run and counted.

It shows what crosses between host and device and where, which operators are launched, that tensors of two devices meet
nowhere, and that the results are the CPU's. It cannot show times, cuDNN's numbers, the CUDA kernels of Genesis, NCCL,
races between streams, or whether something can be captured as a CUDA graph.

    python -m tests.simulated_cuda train.py --preset smoke --device cuda

runs a program on it and prints what crossed. The device changes the PyTorch of its process for good, so tests start a
process for it: the files in `checks/`, each through a test in `test_simulated_cuda.py`.
"""
