"""What a test found, the verdict on each claim, and the explanation of the degree."""
