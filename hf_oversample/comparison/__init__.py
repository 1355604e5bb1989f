"""Does it help? Remedies for a rare class, classifiers, an honest protocol, and a verdict."""
