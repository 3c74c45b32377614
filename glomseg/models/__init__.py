"""Models: a card, weights, and a network that turns pixels into probabilities."""
