"""Where a network's graphs run: torch, OpenVINO, ONNX Runtime, TensorRT, with the same numbers."""
