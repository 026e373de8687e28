"""Answers to label and their labels, in files of other labelling tools."""
