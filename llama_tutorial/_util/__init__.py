"""What the rooms share and no chapter is about: files, progress, shapes, the checks of tensors."""
