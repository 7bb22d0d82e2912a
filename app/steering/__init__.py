"""A robot in real time that does what it is asked to, whoever asks: a page in a browser or a terminal."""
