//! Where a function returns.
//!
//! The code is followed from the function's first instruction, along every branch whose target it
//! names, so each position that is found is one where the processor meets an instruction. What
//! cannot be followed (a jump through a register) has returns that are not found; calls that leave
//! through them are counted as not returned.

use std::collections::HashSet;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};

/// Instructions followed from one function's entry; the largest known is below 2,000.
pub const INSTRUCTION_LIMIT: usize = 20_000;
/// Returns that a function may have; with more it is not probed.
pub const RETURN_LIMIT: usize = 64;

/// What is found of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exits {
    /// Addresses of its return instructions, ascending.
    pub returns: Vec<u64>,
    /// Jumps that are not followed: through a register or memory, or out of the function's bounds.
    pub indirect: usize,
}

/// Why a function's returns cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExitsError {
    /// An instruction is none, or not in the file.
    #[error("its code cannot be decoded")]
    Undecodable,
    /// It is too long to be what it is taken for.
    #[error("it has more than {INSTRUCTION_LIMIT} instructions, or {RETURN_LIMIT} returns")]
    TooLong,
    /// It has no return that is found.
    #[error("no return instruction is found in it")]
    NoReturn,
}

/// How an instruction goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Next,
    Return,
    Jump(u64),
    Branch(u64),
    Indirect,
    /// It ends the program, or traps.
    End,
}

/// Finds the returns of the function at `entry`. `code` gives the code from an address on.
///
/// # Errors
///
/// An [`ExitsError`] if they cannot be told.
pub fn exits<'a>(entry: u64, code: impl Fn(u64) -> &'a [u8]) -> Result<Exits, ExitsError> {
    exits_within(entry, u64::MAX, code)
}

/// As [`exits`], of a function that ends before `end`: what is behind a call that does not return
/// may be nothing.
///
/// # Errors
///
/// As for [`exits`].
pub fn exits_within<'a>(
    entry: u64,
    end: u64,
    code: impl Fn(u64) -> &'a [u8],
) -> Result<Exits, ExitsError> {
    let mut found = Exits::default();
    let mut seen = HashSet::new();
    let mut starts = vec![entry];
    while let Some(start) = starts.pop() {
        let mut at = start;
        let mut window: (u64, &[u8]) = (at, &[]);
        while seen.insert(at) {
            if at < entry && end != u64::MAX || at >= end {
                found.indirect += usize::from(at == start);
                break;
            }
            if seen.len() > INSTRUCTION_LIMIT || found.returns.len() > RETURN_LIMIT {
                return Err(ExitsError::TooLong);
            }
            let mut bytes = rest(window, at);
            if bytes.len() < LONGEST {
                window = (at, code(at));
                bytes = window.1;
            }
            let (length, flow) = decode(bytes, at).ok_or(ExitsError::Undecodable)?;
            match flow {
                Flow::Next => {}
                Flow::Return => {
                    found.returns.push(at);
                    break;
                }
                Flow::Jump(to) => {
                    starts.push(to);
                    break;
                }
                Flow::Branch(to) => starts.push(to),
                Flow::Indirect => {
                    found.indirect += 1;
                    break;
                }
                Flow::End => break,
            }
            at = at.wrapping_add(length);
        }
    }
    if found.returns.is_empty() {
        return Err(ExitsError::NoReturn);
    }
    found.returns.sort_unstable();
    Ok(found)
}

/// Longest instruction, in bytes.
const LONGEST: usize = 15;

/// What a window has from an address on.
fn rest((start, bytes): (u64, &[u8]), at: u64) -> &[u8] {
    at.checked_sub(start)
        .and_then(|skip| usize::try_from(skip).ok())
        .and_then(|skip| bytes.get(skip..))
        .unwrap_or(&[])
}

/// The first instruction after those that only mark a function's entry, and after those that the
/// kernel would replace by a call of its own (the five-byte no-operation, Linux 6.18): a probe
/// there must not change how it is carried out.
#[must_use]
pub fn past_marks(entry: u64, code: &[u8]) -> u64 {
    /// `endbr64`; the five-byte no-operation.
    const MARKS: [&[u8]; 2] = [&[0xf3, 0x0f, 0x1e, 0xfa], &[0x0f, 0x1f, 0x44, 0x00, 0x00]];
    let mut skipped = 0;
    if cfg!(target_arch = "x86_64") {
        while let Some(mark) = MARKS.iter().find(|mark| {
            code.get(skipped..)
                .is_some_and(|code| code.starts_with(mark))
        }) {
            skipped += mark.len();
        }
    }
    entry + skipped as u64
}

fn decode(bytes: &[u8], at: u64) -> Option<(u64, Flow)> {
    if cfg!(target_arch = "aarch64") {
        let word: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
        return Some((4, decode_aarch64(u32::from_le_bytes(word), at)));
    }
    decode_x86_64(bytes, at)
}

fn decode_x86_64(bytes: &[u8], at: u64) -> Option<(u64, Flow)> {
    let mut decoder = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    decoder.decode_out(&mut instruction);
    if instruction.is_invalid() {
        return None;
    }
    let flow = match instruction.flow_control() {
        FlowControl::Return => Flow::Return,
        FlowControl::UnconditionalBranch => Flow::Jump(instruction.near_branch_target()),
        FlowControl::ConditionalBranch => Flow::Branch(instruction.near_branch_target()),
        FlowControl::IndirectBranch => Flow::Indirect,
        FlowControl::Interrupt | FlowControl::Exception => Flow::End,
        FlowControl::Next
        | FlowControl::Call
        | FlowControl::IndirectCall
        | FlowControl::XbeginXabortXend => Flow::Next,
    };
    Some((instruction.len() as u64, flow))
}

/// The encodings are those of the Arm Architecture Reference Manual, C4.1.
fn decode_aarch64(word: u32, at: u64) -> Flow {
    /// Bits `[from, from + width)` as a signed number of words, added to `at`.
    fn target(word: u32, from: u32, width: u32, at: u64) -> u64 {
        let shifted = (word << (32 - from - width)).cast_signed() >> (32 - width);
        at.wrapping_add_signed(i64::from(shifted) * 4)
    }
    match word {
        // RET Xn, RETAA, RETAB
        w if w & 0xffff_fc1f == 0xd65f_0000 || w == 0xd65f_0bff || w == 0xd65f_0fff => Flow::Return,
        // B
        w if w & 0xfc00_0000 == 0x1400_0000 => Flow::Jump(target(w, 0, 26, at)),
        // B.cond, BC.cond; CBZ, CBNZ
        w if w & 0xff00_0000 == 0x5400_0000 || w & 0x7e00_0000 == 0x3400_0000 => {
            Flow::Branch(target(w, 5, 19, at))
        }
        // TBZ, TBNZ
        w if w & 0x7e00_0000 == 0x3600_0000 => Flow::Branch(target(w, 5, 14, at)),
        // BR, BRAA, BRAB, …
        w if w & 0xfedf_f000 == 0xd61f_0000 && w & 0x0020_0000 == 0 => Flow::Indirect,
        // UDF; BRK
        w if w >> 16 == 0 || w & 0xffe0_001f == 0xd420_0000 => Flow::End,
        _ => Flow::Next,
    }
}

#[cfg(test)]
mod tests;
