//! `hark doctor`: what works on this host, what does not, why, and what is lost by it.
