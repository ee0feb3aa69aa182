import cv2_that_is_missing


class Layer:
    pass
