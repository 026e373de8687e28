"""Everything that patches or relies on private parts of other packages; one file per part."""
