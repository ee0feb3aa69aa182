"""The gradient checker: knows batchnorm/ and errors, nothing of pictures or terminals."""
