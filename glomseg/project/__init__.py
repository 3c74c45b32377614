"""What lies on disk between segmenting and QuPath: projects, run folders, ownership, collecting."""
