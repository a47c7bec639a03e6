//! What the agent says of itself: the `hark_*` metrics.
