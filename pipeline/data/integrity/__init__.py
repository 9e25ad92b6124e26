"""The truth about a data set: what is wrong with which rows, and what all of them look like."""
