"""Human studies: what is asked of whom, what was answered, and what that says."""
