"""What an example becomes: ops, the random numbers that drive them, and policies of ops.

Needs NumPy, OpenCV and NLTK; never Beam or TensorFlow. ``registry`` holds the ops, ``policy`` says
which of them a recipe applies, ``draws`` makes every row a pure function of its key.
"""
