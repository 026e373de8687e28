"""Where a classifier is unfair to a group of its rows: five kinds of bias, each as a number."""
