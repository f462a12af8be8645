"""Find what is wrong with wheels and sdists of any platform: files in, findings out. None of their code is run."""
