"""Make a release: steps from a clean tree to tested, described and rehearsed files, each of them resumable."""
