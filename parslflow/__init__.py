"""parslflow: neural networks inside simulations that keep learning."""

__version__ = "0.1.0"
