"""The drift rule: what it judges, what it concludes, and what people and labels say of it."""
