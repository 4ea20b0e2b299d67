"""Who carries out the work: the protocol, and the providers that speak it."""
