"""Results in the shapes that other harnesses write, so that their viewers and tables take them."""
