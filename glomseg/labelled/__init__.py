"""What a person drew or wrote down: masks, label files, and sample sheets."""
