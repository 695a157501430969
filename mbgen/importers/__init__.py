"""Model files to Graph; the only way in for TFLite and ONNX."""
