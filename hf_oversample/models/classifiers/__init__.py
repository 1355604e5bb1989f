"""Small text classifiers: what oversampling is measured with."""
