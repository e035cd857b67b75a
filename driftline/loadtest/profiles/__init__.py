"""One profile of load a file: its name is the file's, and its function ``phases`` says what is asked and when."""
