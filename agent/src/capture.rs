//! Capture files: the raw records on disk, written by `hark record`, read by `hark replay`.
