"""Explorers for notebooks: ipywidgets over the pictures of ``minigemma.plots``, for any checkpoint."""
