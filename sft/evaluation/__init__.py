"""predict → score → report: ask a served model, compare with the ground truth, show where it is wrong."""
