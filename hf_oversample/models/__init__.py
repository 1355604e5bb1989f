"""The models: `PreTrainedModel`s, a folder a method."""
