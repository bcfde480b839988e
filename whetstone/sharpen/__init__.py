"""The main job: measure, train, measure again, and write the report."""
