"""Problems and verdicts: what is asked, from which key, and whether an answer is right."""
