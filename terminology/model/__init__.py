"""What terminology is made of: concepts, value sets, concept maps, languages, versions, issues. Knows no content."""
