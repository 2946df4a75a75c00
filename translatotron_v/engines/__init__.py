"""Other engines than PyTorch: a model as ONNX graphs, how it is written (with PyTorch) and run (without)."""
