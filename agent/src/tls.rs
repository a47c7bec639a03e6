//! Inside TLS: which files on this host have functions of a TLS library, where the probes go in them,
//! and which connections are read through them.
//!
//! The kernel side tells of every connection with TLS, whether it can be read or not; [`watch`] looks
//! for the libraries in the processes, once per file, and has the probes attached; [`connections`]
//! counts what is read, and through which library, and what is not.
//!
//! Files are anybody's: what is not a flawless ELF file is not readable, for a reason in words, and
//! what is read of one is bounded. A probe only goes to what the processor will surely meet as the
//! start of an instruction ([`exits`]): anywhere else it would change the program.

pub mod connections;
pub mod elf;
pub mod exits;
pub mod go;
pub mod hello;
pub mod maps;
pub mod points;
pub mod watch;
