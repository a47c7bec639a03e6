//! `hark top`: a live table of services, read from a running agent's `/metrics`.
