"""One sign of membership a file: a score per item (higher: more like something trained on) and a test of a set."""
