"""What the figures of all chapters share: the look, the live figures and their controls, tables."""
