"""Files of networks: safetensors and ONNX."""
