"""The light side: holes to crops, crops through an engine, and the fill back into the photo. NumPy only, no PyTorch."""
