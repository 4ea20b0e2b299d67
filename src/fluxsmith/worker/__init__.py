"""The processes that carry out jobs, and the supervisor that keeps them alive."""
