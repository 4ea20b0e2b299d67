"""The recipe of nano, the FLUX.2-shaped model that ships with fluxsmith: from icon packages to weights.

Each module is one stage or one thing that stages share; `python -m recipes.nano --help` lists the stages.
The result is a plain folder of weights for `diffusers.Flux2KleinPipeline`; nothing here is imported by
fluxsmith.
"""
