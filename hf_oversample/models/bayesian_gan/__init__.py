"""The Bayesian-network GAN: configuration, model and losses."""
