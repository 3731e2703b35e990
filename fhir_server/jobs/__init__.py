"""Work behind the scenes: jobs that one worker at a time runs, whichever lives."""
