"""Measuring: fixed masks, photos and methods to numbers that anyone can rebuild, and a page to look at them."""
