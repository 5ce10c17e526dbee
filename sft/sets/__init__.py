"""Making a training set out of checked files: split it, mix it, take duplicates out; every row is accounted for."""
