"""What a task looks like to BFL's clients: the web answers polls with it, the worker webhooks.

It knows services and the contract, and neither HTTP nor who asks.
"""
