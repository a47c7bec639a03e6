//! The kernel side: loading the programs, attaching them, reading what they send.
