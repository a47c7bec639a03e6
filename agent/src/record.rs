//! Bytes from the ring buffer or a capture file, decoded into records.
