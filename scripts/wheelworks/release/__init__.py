"""From a clean tree to files that are proven, described and rehearsed: the steps of a release, each resumable."""
