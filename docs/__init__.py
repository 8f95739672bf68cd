"""What fills the pages from the records of runs, and what holds the two against each other."""
