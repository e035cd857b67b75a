"""What effects act on. ``protocol`` is what a driver implements; ``simulated`` is a modelled fabric."""
