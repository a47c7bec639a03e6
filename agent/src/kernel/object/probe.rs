//! Programs for uprobes: loaded with the object, attached to files later, one by one.

use std::path::Path;

use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope};

use super::{Object, ObjectError, missing, refused};
use crate::kernel::Hook;

/// A program that is attached to places in files.
#[derive(Debug)]
pub struct Probe {
    /// Its name.
    pub program: &'static str,
    /// What the user loses without it.
    pub gives: &'static str,
}

impl Object {
    /// Loads programs for uprobes. What came of it is told in [`hooks`](Self::hooks); false if not
    /// all of them can be attached.
    pub(in crate::kernel) fn load_probes(&mut self, probes: &[Probe]) -> bool {
        let mut all = true;
        for probe in probes {
            let object = self.name;
            let loaded = self.uprobe(probe.program).and_then(|program| {
                program
                    .load()
                    .map_err(|e| refused(object, "loading a program", &e))
            });
            all &= loaded.is_ok();
            self.tell(probe, loaded.as_ref().err());
        }
        all
    }

    /// Attaches a program to a place in a file, by its offset in bytes.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or the file is gone.
    pub(in crate::kernel) fn attach_probe(
        &mut self,
        program: &'static str,
        file: &Path,
        offset: u64,
        cookie: u64,
    ) -> Result<UProbeLink, ObjectError> {
        let object = self.name;
        let failed = |e| refused(object, "attaching a program", &e);
        let program = self.uprobe(program)?;
        let point = UProbeAttachPoint {
            location: UProbeAttachLocation::AbsoluteOffset(offset),
            cookie: Some(cookie),
        };
        let link = program
            .attach(point, file, UProbeScope::AllProcesses)
            .map_err(failed)?;
        program.take_link(link).map_err(failed)
    }

    fn uprobe(&mut self, name: &'static str) -> Result<&mut UProbe, ObjectError> {
        let object = self.name;
        self.ebpf
            .program_mut(name)
            .ok_or_else(|| missing(object, "finding a program", name))?
            .try_into()
            .map_err(|e| refused(object, "finding a program", &e))
    }

    fn tell(&mut self, probe: &Probe, failure: Option<&ObjectError>) {
        if let Some(error) = failure {
            tracing::warn!(program = probe.program, %error, lost = probe.gives, "not loaded");
        }
        self.hooks.push(Hook {
            object: self.name,
            name: probe.program,
            kind: "uprobe",
            gives: probe.gives,
            failure: failure.map(ToString::to_string),
        });
    }
}
