//! Programs that are not attached: that of a tracepoint goes on in one by a tail call.
//!
//! Each program is verified for itself, so what few events need does not count against the limit of
//! the program that all of them run.

use aya::maps::{MapData, ProgramArray};

use super::{Object, ObjectError, Types, program, refused};
use crate::kernel::Hook;

/// A program and the way to it.
#[derive(Debug)]
pub struct Jump {
    /// Its name.
    pub program: &'static str,
    /// The tracepoint that it goes on for.
    pub from: &'static str,
    /// The map of programs that the jump looks it up in, at 0.
    pub map: &'static str,
    /// What the user loses without it.
    pub gives: &'static str,
}

/// A map of programs. To be kept, with its program or without: the kernel empties one that nobody
/// holds open, and refuses a program that names one that is gone.
pub(super) struct Laid(#[expect(dead_code, reason = "only held")] pub(super) ProgramArray<MapData>);

impl std::fmt::Debug for Laid {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Laid")
    }
}

impl Object {
    /// Loads the program of a jump and puts it where the jump finds it.
    pub(super) fn lay(&mut self, jump: &Jump, types: &Types) {
        let laid = self.map(jump.map).and_then(|mut map| {
            let laid = self.try_lay(jump, types, &mut map);
            self.jumps.push(Laid(map));
            laid
        });
        if let Err(error) = &laid {
            tracing::warn!(program = jump.program, %error, lost = jump.gives, "not loaded");
        }
        self.hooks.push(Hook {
            object: self.name,
            name: jump.program,
            kind: "tail_call",
            gives: jump.gives,
            failure: laid.as_ref().err().map(ToString::to_string),
        });
    }

    fn try_lay(
        &mut self,
        jump: &Jump,
        types: &Types,
        map: &mut ProgramArray<MapData>,
    ) -> Result<(), ObjectError> {
        let object = self.name;
        let program = program(&mut self.ebpf, object, jump.program)?;
        program
            .load(jump.from, &types.aya)
            .map_err(|e| refused(object, "loading a program", &e))?;
        let fd = program
            .fd()
            .map_err(|e| refused(object, "finding a program", &e))?;
        map.set(0, fd, 0)
            .map_err(|e| refused(object, "writing a map", &e))
    }
}
