//! A kernel object: a file of programs and maps of one subsystem, loaded and attached.
//!
//! Several objects rather than one, so that a map or hook that a kernel lacks costs its own
//! subsystem only. What each object attaches to is a table of [`Wanted`]; what came of it is a list
//! of [`Hook`]s, which `/readyz` and `hark doctor` show.

pub mod cgroup;
pub(super) mod place;
pub mod probe;
mod types;

use std::os::fd::AsFd as _;

use aya::maps::{Map, MapData};
use aya::programs::CgroupSockAddr;
use aya::{Btf as AyaBtf, Ebpf, EbpfLoader, Endianness};
use thiserror::Error;

pub use self::types::Types;

use self::place::Place;
use super::Hook;
use super::btf::BtfError;
use super::info::{ProgramFigures, figures};

/// Why the programs of an object do not run.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// Built without the kernel toolchain.
    #[error("this hark was built without its kernel programs; build it with `cargo xtask build`")]
    NoObject,
    /// No type information, or a field is missing.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// This kernel lacks a tracepoint without which there is nothing to see.
    #[error("this kernel has no tracepoint `{name}`, which hark needs for {gives}{since}")]
    NoTracepoint {
        /// The tracepoint.
        name: &'static str,
        /// What it is needed for.
        gives: &'static str,
        /// Since when there is one, if that is known.
        since: &'static str,
    },
    /// This kernel lacks something else that the object cannot do without.
    #[error("{0}")]
    Unfit(&'static str),
    /// The kernel took neither the maps nor the programs.
    #[error("the kernel refused hark's {object} programs ({what}): {detail}{hint}")]
    Refused {
        /// Which object.
        object: &'static str,
        /// What was being done.
        what: &'static str,
        /// The kernel's words, shortened.
        detail: String,
        /// What to do about it, if that is known.
        hint: &'static str,
    },
}

/// A BTF tracepoint, or the end of a kernel function, and the program for it, of the same name.
#[derive(Debug)]
pub struct Wanted {
    /// The kernel's name for it.
    pub name: &'static str,
    /// Arguments that the program reads, without a tracepoint's first, which is its own, and without
    /// what a function returns.
    pub args: u32,
    /// What the user loses without it.
    pub gives: &'static str,
    /// Without it the object is of no use, and is not loaded.
    pub required: bool,
    /// For the error: since when kernels have it, as the end of a sentence; may be empty.
    pub since: &'static str,
}

/// An object that runs. Its programs are detached when this is dropped, or its process ends.
#[derive(Debug)]
pub struct Object {
    name: &'static str,
    ebpf: Ebpf,
    wanted: Vec<(Place, &'static Wanted)>,
    on_cgroup: &'static [cgroup::OnCgroup],
    /// What was to be attached, and what came of it.
    pub hooks: Vec<Hook>,
}

impl Object {
    /// Loads the object `name` from `bytes`, which has a program for each of `wanted`, and attaches
    /// them. `loader` has what the object is told by its globals.
    ///
    /// # Errors
    ///
    /// The maps cannot be made, or a program that is required cannot be loaded or attached. What is
    /// not required is logged, and told in [`hooks`](Self::hooks).
    pub fn load(
        name: &'static str,
        bytes: &[u8],
        wanted: &'static [Wanted],
        types: &Types,
        loader: &mut EbpfLoader<'_>,
    ) -> Result<Self, ObjectError> {
        Self::load_at(name, bytes, &[(Place::Tracepoint, wanted)], types, loader)
    }

    /// As [`load`](Self::load), with programs for places of several kinds, attached in this order.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub(in crate::kernel) fn load_at(
        name: &'static str,
        bytes: &[u8],
        places: &[(Place, &'static [Wanted])],
        types: &Types,
        loader: &mut EbpfLoader<'_>,
    ) -> Result<Self, ObjectError> {
        if bytes.is_empty() {
            return Err(ObjectError::NoObject);
        }
        let wanted: Vec<_> = places
            .iter()
            .flat_map(|(place, wanted)| wanted.iter().map(|wanted| (*place, wanted)))
            .collect();
        let mut hooks = Vec::with_capacity(wanted.len());
        for (place, wanted) in &wanted {
            let failure = place.missing(&types.btf, wanted.name, wanted.args);
            if wanted.required && failure.is_some() {
                return Err(ObjectError::NoTracepoint {
                    name: wanted.name,
                    gives: wanted.gives,
                    since: wanted.since,
                });
            }
            hooks.push(Hook {
                object: name,
                name: wanted.name,
                kind: place.kind(),
                gives: wanted.gives,
                failure,
            });
        }
        let names: Vec<_> = wanted
            .iter()
            .map(|(place, wanted)| place.type_name(wanted.name))
            .collect();
        let ids = AyaBtf::parse(&types.btf.only(&names), Endianness::default())
            .map_err(|e| refused(name, "reading BTF", &e))?;
        let ebpf = loader
            .load(bytes)
            .map_err(|e| refused(name, "creating maps", &e))?;
        let mut object = Self {
            name,
            ebpf,
            wanted,
            on_cgroup: &[],
            hooks,
        };
        // All are loaded before any is attached: no half of an event pair is seen.
        object.each(|ebpf, place, wanted| place.load(ebpf, name, wanted.name, &ids))?;
        object.each(|ebpf, place, wanted| place.attach(ebpf, name, wanted.name))?;
        drop(ids);
        types::give_back_memory();
        Ok(object)
    }

    /// Does something to each program that has not failed yet.
    fn each(
        &mut self,
        mut act: impl FnMut(&mut Ebpf, Place, &Wanted) -> Result<(), ObjectError>,
    ) -> Result<(), ObjectError> {
        for (&(place, wanted), hook) in self.wanted.iter().zip(&mut self.hooks) {
            if hook.failure.is_some() {
                continue;
            }
            match act(&mut self.ebpf, place, wanted) {
                Ok(()) => {}
                Err(error) if wanted.required => return Err(error),
                Err(error) => {
                    tracing::warn!(hook = wanted.name, %error, lost = wanted.gives, "not attached");
                    hook.failure = Some(error.to_string());
                }
            }
        }
        Ok(())
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Takes a map out of the object.
    ///
    /// # Errors
    ///
    /// It has none of this name and type, which only a stale build can cause.
    pub fn map<M>(&mut self, name: &'static str) -> Result<M, ObjectError>
    where
        M: TryFrom<Map>,
        M::Error: std::error::Error,
    {
        let map = self
            .ebpf
            .take_map(name)
            .ok_or_else(|| missing(self.name, "finding a map", name))?;
        M::try_from(map).map_err(|e| refused(self.name, "opening a map", &e))
    }

    /// Takes a map of what programs keep with sockets out of the object, for who lists sockets.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn storage(&mut self, name: &'static str) -> Result<MapData, ObjectError> {
        match self.ebpf.take_map(name) {
            Some(Map::SkStorage(map)) => Ok(map),
            _ => Err(missing(self.name, "finding a map", name)),
        }
    }

    /// The kernel's figures of each program that is loaded.
    #[must_use]
    pub fn figures(&self) -> Vec<(&'static str, ProgramFigures)> {
        let traced = self.wanted.iter().filter_map(|(place, wanted)| {
            let fd = place.fd(&self.ebpf, wanted.name)?;
            Some((wanted.name, figures(fd.as_fd()).ok()?))
        });
        let on_cgroup = self.on_cgroup.iter().filter_map(|wanted| {
            let program: &CgroupSockAddr = self.ebpf.program(wanted.name)?.try_into().ok()?;
            let fd = program.fd().ok()?;
            Some((wanted.name, figures(fd.as_fd()).ok()?))
        });
        traced.chain(on_cgroup).collect()
    }

    /// Events that the kernel did not hand to a program, because the program was running already
    /// on that CPU.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        let figures = self.figures();
        figures.iter().map(|(_, f)| f.recursion_misses).sum()
    }
}

fn missing(object: &'static str, what: &'static str, name: &str) -> ObjectError {
    ObjectError::Refused {
        object,
        what,
        detail: format!("the object has no `{name}`"),
        hint: "; build hark anew with `cargo xtask build`",
    }
}

/// The kernel's refusal, with what to do about it where that is known.
pub(crate) fn refused(
    object: &'static str,
    what: &'static str,
    error: &dyn std::error::Error,
) -> ObjectError {
    // The system's word is at the end of the chain.
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        // Some say what their source says as well.
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text += &format!(": {inner_text}");
        }
        source = inner.source();
    }
    let hint = if text.contains("Operation not permitted") || text.contains("os error 1)") {
        "; hark needs root, or the capabilities CAP_BPF and CAP_PERFMON"
    } else if text.contains("Cannot allocate memory") || text.contains("os error 12)") {
        "; make `ring_buffer_bytes` smaller, or the memory limit larger"
    } else {
        ""
    };
    // The verifier says what is wrong at the end of a long log.
    let detail = text
        .char_indices()
        .rev()
        .nth(1500)
        .map_or(text.as_str(), |(at, _)| &text[at..])
        .to_owned();
    ObjectError::Refused {
        object,
        what,
        detail,
        hint,
    }
}
