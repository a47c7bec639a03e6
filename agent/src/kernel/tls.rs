//! The probes in TLS libraries, as [`Watch`](crate::tls::watch::Watch) has them attached.

use std::path::Path;
use std::sync::Arc;

use aya::programs::uprobe::UProbeLink;

use super::socket::SocketPrograms;
use crate::tls::points::Point;
use crate::tls::watch::Attach;

/// Attaches the programs of the socket object.
pub struct Probes(Arc<SocketPrograms>);

impl Probes {
    /// With programs that can be attached.
    #[must_use]
    pub const fn new(programs: Arc<SocketPrograms>) -> Self {
        Self(programs)
    }
}

impl std::fmt::Debug for Probes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Probes")
    }
}

impl Attach for Probes {
    type Link = UProbeLink;

    fn attach(&mut self, point: &Point, path: &Path, file: u32) -> Result<UProbeLink, String> {
        self.0
            .probe(point, path, file)
            .map_err(|error| error.to_string())
    }

    fn set_whole(&mut self, file: u32, whole: bool) -> Result<(), String> {
        self.0
            .set_whole(file, whole)
            .map_err(|error| error.to_string())
    }
}
