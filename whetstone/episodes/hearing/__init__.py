"""From sound to words: decoding, finding speech, recognising it, and doubting what was recognised."""
