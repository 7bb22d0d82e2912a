"""A trained policy on its way to a robot: ONNX, a contract about the robot that it expects, and a runner for both."""
