"""One profile of load a file: its name is the file's, and its function ``rows`` makes the instances of a shape."""
