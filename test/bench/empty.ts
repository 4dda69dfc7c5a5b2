// A program that does nothing: what Node and tsx take to start.
