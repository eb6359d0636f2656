"""The 1,797 handwritten digits of scikit-learn as images with captions."""
