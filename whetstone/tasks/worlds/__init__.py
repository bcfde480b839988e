"""Small worlds whose rules are drawn with each problem and stated in its prompt: nothing in them can be recalled."""
