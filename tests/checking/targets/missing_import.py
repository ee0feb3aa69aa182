import cv2_that_is_missing  # noqa: F401 - it is to be missing


class Layer:
    pass
