"""Image ops over ``uint8[N, H, W, C]`` batches, one file per family."""

import cv2

# Workers parallelise over shards; a pool of OpenCV threads inside each would only compete.
cv2.setNumThreads(1)
