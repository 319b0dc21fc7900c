"""How fast, how safely and how cheaply models are asked."""
