"""What the labels of a snapshot are worth: wrong ones, and ones to merge or to split."""
