"""What the shipped checkpoints can and cannot do, measured on data they were never trained on."""
