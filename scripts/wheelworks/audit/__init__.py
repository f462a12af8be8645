"""What is wrong with wheels, of any platform, whoever built them: files in, findings out; nothing of them is run."""
