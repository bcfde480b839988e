"""Learning a route from samples and measuring it against every control (`whet route`; `engine/routing` decides)."""
