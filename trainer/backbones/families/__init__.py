"""A module for each family of backbones, which `trainer.backbones` imports; each must be cheap to import."""
