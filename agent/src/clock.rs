//! Kernel timestamps turned into wall-clock time.
