"""The models that come with glomseg, one folder each: card.json, weights.safetensors, README.md."""
