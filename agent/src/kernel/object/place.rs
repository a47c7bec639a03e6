//! Where a traced program listens, and how it is attached there.

use aya::programs::{BtfTracePoint, FExit, Program, ProgramError, ProgramFd};
use aya::{Btf as AyaBtf, Ebpf};

use super::{ObjectError, missing, refused};
use crate::kernel::btf::{Btf, Name};

/// A kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum Place {
    /// A tracepoint, with its typed arguments. A second program there has a name of [`SPARE`] and the
    /// tracepoint's.
    Tracepoint,
    /// The end of a kernel function.
    Exit,
}

/// How the names of spare programs begin: the kernel shows the first 15 characters.
pub(in crate::kernel) const SPARE: &str = "spare_";

impl Place {
    /// For [`Hook::kind`](crate::kernel::Hook::kind).
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Tracepoint => "tp_btf",
            Self::Exit => "fexit",
        }
    }

    /// Why this kernel has no such place that hands over `args` arguments, in words.
    pub(super) fn missing(self, btf: &Btf, name: &str, args: u32) -> Option<String> {
        let (what, has) = match self {
            Self::Tracepoint => ("tracepoint", btf.tracepoint_args(tracepoint(name))),
            Self::Exit => ("function", btf.function_args(name)),
        };
        match has {
            None => Some(format!("this kernel has no such {what}")),
            Some(n) if n < args => Some(format!(
                "this kernel's {what} has {n} arguments, {args} are needed"
            )),
            Some(_) => None,
        }
    }

    /// The type by which the kernel knows the place of this name.
    pub(super) fn type_name(self, name: &str) -> Name {
        match self {
            Self::Tracepoint => Name::Typedef(format!("btf_trace_{}", tracepoint(name))),
            Self::Exit => Name::Function(name.to_owned()),
        }
    }

    /// Loads the program `name` for the place of the same name. `ids` has the type of that place.
    pub(super) fn load(
        self,
        ebpf: &mut Ebpf,
        object: &'static str,
        name: &'static str,
        ids: &AyaBtf,
    ) -> Result<(), ObjectError> {
        let loaded = match self {
            Self::Tracepoint => {
                program::<BtfTracePoint>(ebpf, object, name)?.load(tracepoint(name), ids)
            }
            Self::Exit => program::<FExit>(ebpf, object, name)?.load(name, ids),
        };
        loaded.map_err(|e| refused(object, "loading a program", &e))
    }

    /// Attaches it.
    pub(super) fn attach(
        self,
        ebpf: &mut Ebpf,
        object: &'static str,
        name: &'static str,
    ) -> Result<(), ObjectError> {
        let attached = match self {
            Self::Tracepoint => program::<BtfTracePoint>(ebpf, object, name)?
                .attach()
                .map(drop),
            Self::Exit => program::<FExit>(ebpf, object, name)?.attach().map(drop),
        };
        attached.map_err(|e| refused(object, "attaching a program", &e))
    }

    /// The program `name`, if it is loaded.
    pub(super) fn fd<'a>(self, ebpf: &'a Ebpf, name: &str) -> Option<&'a ProgramFd> {
        let program = ebpf.program(name)?;
        match self {
            Self::Tracepoint => <&BtfTracePoint>::try_from(program).ok()?.fd().ok(),
            Self::Exit => <&FExit>::try_from(program).ok()?.fd().ok(),
        }
    }
}

/// The tracepoint of a program.
fn tracepoint(name: &str) -> &str {
    name.strip_prefix(SPARE).unwrap_or(name)
}

/// The program `name`, of a type that it is expected to have.
fn program<'a, P>(
    ebpf: &'a mut Ebpf,
    object: &'static str,
    name: &str,
) -> Result<&'a mut P, ObjectError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| missing(object, "finding a program", name))?
        .try_into()
        .map_err(|e| refused(object, "finding a program", &e))
}
