"""History from files: each format is read row by row, in bounded memory."""
