//! The kernel's own description of its types, read just far enough to find offsets.
//!
//! Own code because the crates measured take 60 MB and 100 ms for it (`btfparse`), are LGPL
//! (`btf-rs`), or give no member offsets (`aya-obj`); this takes 4 ms and the size of the file.
//! Format: `Documentation/bpf/btf.rst` in the kernel's sources.

mod enums;
mod only;

pub use only::Name;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a kernel type could not be looked up.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The file cannot be read: this kernel was built without `CONFIG_DEBUG_INFO_BTF`, or sysfs is
    /// not mounted.
    #[error(
        "cannot read {path}: {source}; hark needs a kernel built with CONFIG_DEBUG_INFO_BTF=y and sysfs mounted on /sys"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not BTF.
    #[error("the kernel's type information is not readable: {0}")]
    Malformed(&'static str),
    /// This kernel has no such type.
    #[error("this kernel has no type `{0}`")]
    NoType(String),
    /// This kernel's type has no such field.
    #[error("this kernel's `struct {of}` has no field `{field}`")]
    NoField {
        /// The structure.
        of: String,
        /// The path of the field.
        field: String,
    },
}

/// Members looked at for one field. The largest structures of a kernel have some hundreds, with
/// those of their anonymous members.
const MEMBERS: u32 = 1 << 14;

const MAGIC: u16 = 0xeb9f;
const KIND_PTR: u32 = 2;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Type information of one kernel. The default one has no types.
#[derive(Default)]
pub struct Btf {
    data: Vec<u8>,
    strings: usize,
    strings_end: usize,
    /// Where each type begins in `data`, by id; 0 is void.
    types: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    /// Number of members or parameters.
    count: u32,
    /// Whether member offsets hold a bit-field size too.
    bitfields: bool,
    /// Size, or the id of the type that this refers to.
    size_or_type: u32,
    /// Where what follows the header begins.
    rest: usize,
}

impl Btf {
    /// Reads the running kernel's.
    pub fn of_running_kernel() -> Result<Self, BtfError> {
        Self::from_file(Path::new("/sys/kernel/btf/vmlinux"))
    }

    /// Reads a file.
    pub fn from_file(path: &Path) -> Result<Self, BtfError> {
        let data = fs::read(path).map_err(|source| BtfError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Self::parse(data)
    }

    /// Takes the bytes of a little-endian BTF blob.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let cut = BtfError::Malformed("it is cut short");
        let Some(magic) = data.first_chunk::<2>() else {
            return Err(cut);
        };
        if u16::from_le_bytes(*magic) != MAGIC {
            return Err(BtfError::Malformed(
                "it does not begin with the magic number",
            ));
        }
        let word =
            |at: usize| read_u32(&data, at).ok_or(BtfError::Malformed("its header is cut short"));
        let header = word(4)? as usize;
        let types_at = header.saturating_add(word(8)? as usize);
        let types_end = types_at.saturating_add(word(12)? as usize);
        let strings = header.saturating_add(word(16)? as usize);
        let strings_end = strings.saturating_add(word(20)? as usize);
        if types_end > data.len() || strings_end > data.len() {
            return Err(cut);
        }
        let mut btf = Self {
            data,
            strings,
            strings_end,
            types: vec![0],
        };
        let mut at = types_at;
        while at < types_end {
            let Some(ty) = btf.type_at(at) else {
                return Err(cut);
            };
            let extra = match ty.kind {
                1 | 14 | 17 => 4,
                3 => 12,
                KIND_STRUCT | KIND_UNION | 15 | KIND_ENUM64 => 12 * ty.count as usize,
                KIND_ENUM | KIND_FUNC_PROTO => 8 * ty.count as usize,
                KIND_PTR | 7..=KIND_FUNC | 16 | KIND_TYPE_TAG => 0,
                _ => {
                    return Err(BtfError::Malformed(
                        "it holds a kind of type that is not known",
                    ));
                }
            };
            btf.types.push(u32::try_from(at).map_err(|_| cut_short())?);
            at = ty.rest + extra;
        }
        Ok(btf)
    }

    fn type_at(&self, at: usize) -> Option<Type> {
        let info = read_u32(&self.data, at + 4)?;
        Some(Type {
            name: read_u32(&self.data, at)?,
            kind: info >> 24 & 0x1f,
            count: info & 0xffff,
            bitfields: info >> 31 != 0,
            size_or_type: read_u32(&self.data, at + 8)?,
            rest: at + 12,
        })
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        let at = *self.types.get(id as usize)?;
        if id == 0 {
            None
        } else {
            self.type_at(at as usize)
        }
    }

    fn name(&self, offset: u32) -> &[u8] {
        let from = self.strings.saturating_add(offset as usize);
        let bytes = self.data.get(from..self.strings_end).unwrap_or_default();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        &bytes[..end]
    }

    fn find(&self, kind: u32, name: &str) -> Option<Type> {
        self.types
            .iter()
            .skip(1)
            .filter_map(|at| self.type_at(*at as usize))
            .find(|ty| ty.kind == kind && self.name(ty.name) == name.as_bytes())
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, id: u32) -> Option<Type> {
        let mut ty = self.by_id(id)?;
        // A chain longer than this is a cycle.
        for _ in 0..64 {
            match ty.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    ty = self.by_id(ty.size_or_type)?;
                }
                _ => return Some(ty),
            }
        }
        None
    }

    /// Finds `field` in `ty`, looking into anonymous members: `(offset in bits, type id)`.
    /// `members` is how many may still be looked at: types that hold themselves have no end.
    fn member(&self, ty: Type, field: &str, depth: u32, members: &mut u32) -> Option<(u32, u32)> {
        if depth > 16 {
            return None;
        }
        for index in 0..ty.count as usize {
            *members = members.checked_sub(1)?;
            let at = ty.rest + index * 12;
            let name = self.name(read_u32(&self.data, at)?);
            let id = read_u32(&self.data, at + 4)?;
            let raw = read_u32(&self.data, at + 8)?;
            let bits = if ty.bitfields { raw & 0x00ff_ffff } else { raw };
            if name == field.as_bytes() {
                return Some((bits, id));
            }
            if name.is_empty() {
                let inner = self
                    .resolve(id)
                    .filter(|t| matches!(t.kind, KIND_STRUCT | KIND_UNION));
                if let Some((inside, id)) =
                    inner.and_then(|t| self.member(t, field, depth + 1, members))
                {
                    return Some((bits.checked_add(inside)?, id));
                }
            }
        }
        None
    }

    /// Offset of a field in bytes; `path` may name fields of embedded structures, `a.b.c`.
    pub fn offset_of(&self, of: &str, path: &str) -> Result<u32, BtfError> {
        let no_field = || BtfError::NoField {
            of: of.into(),
            field: path.into(),
        };
        let mut ty = self
            .find(KIND_STRUCT, of)
            .ok_or_else(|| BtfError::NoType(format!("struct {of}")))?;
        let mut offset = 0u32;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let (bits, id) = self
                .member(ty, part, 0, &mut { MEMBERS })
                .ok_or_else(no_field)?;
            offset = offset.checked_add(bits / 8).ok_or_else(no_field)?;
            if parts.peek().is_some() {
                ty = self.resolve(id).ok_or_else(no_field)?;
            }
        }
        Ok(offset)
    }

    /// Number of arguments of the tracepoint `name`, without the first, which is the caller's own;
    /// `None` if this kernel has no such tracepoint.
    #[must_use]
    pub fn tracepoint_args(&self, name: &str) -> Option<u32> {
        let typedef = self.find(KIND_TYPEDEF, &format!("btf_trace_{name}"))?;
        let pointer = self
            .resolve(typedef.size_or_type)
            .filter(|t| t.kind == KIND_PTR)?;
        let proto = self
            .resolve(pointer.size_or_type)
            .filter(|t| t.kind == KIND_FUNC_PROTO)?;
        Some(proto.count.saturating_sub(1))
    }

    /// Number of arguments of the function `name`; `None` if this kernel has no such function that
    /// BTF describes.
    #[must_use]
    pub fn function_args(&self, name: &str) -> Option<u32> {
        let function = self.find(KIND_FUNC, name)?;
        let proto = self
            .resolve(function.size_or_type)
            .filter(|t| t.kind == KIND_FUNC_PROTO)?;
        Some(proto.count)
    }

    /// Whether this kernel has an enumeration of this name.
    #[must_use]
    pub fn has_enum(&self, name: &str) -> bool {
        self.find(KIND_ENUM, name).is_some()
    }

    /// Whether this kernel has a function of this name that BTF describes.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.find(KIND_FUNC, name).is_some()
    }
}

const fn cut_short() -> BtfError {
    BtfError::Malformed("it is cut short")
}

fn read_u32(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A section of these types and strings.
    pub(super) fn section(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let length = size_of_val(types) as u32;
        // The magic number, version 1, no flags.
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, length, length, strings.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(types.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(strings);
        bytes
    }

    /// A blob of: 1 `struct outer { <anonymous union 2> at 64 bits }`, 2 `union { inner at 0 }`,
    /// 3 `struct leaf { x at 32 bits }`, 4 typedef `btf_trace_ev` → 5 ptr → 6 proto of 3.
    pub(super) fn blob() -> Vec<u8> {
        let strings = b"\0outer\0inner\0leaf\0x\0btf_trace_ev\0";
        let at = |name: &[u8]| {
            strings
                .windows(name.len())
                .position(|w| w == name)
                .expect("a name of the table") as u32
        };
        let (outer, inner, leaf) = (at(b"outer\0"), at(b"inner\0"), at(b"leaf\0"));
        let (x, ev) = (at(b"x\0"), at(b"btf_trace_ev\0"));
        let types: Vec<u32> = [
            vec![outer, 4 << 24 | 1, 16, 0, 2, 64],
            vec![0, 5 << 24 | 1, 8, inner, 3, 0],
            vec![leaf, 4 << 24 | 1, 8, x, 0, 32],
            vec![ev, 8 << 24, 5],
            vec![0, 2 << 24, 6],
            vec![0, 13 << 24 | 3, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        section(&types, strings)
    }

    #[test]
    fn offsets_through_anonymous_and_named_members() {
        let btf = Btf::parse(blob()).unwrap();
        assert_eq!(btf.offset_of("outer", "inner").unwrap(), 8);
        assert_eq!(btf.offset_of("outer", "inner.x").unwrap(), 12);
        assert_eq!(btf.tracepoint_args("ev"), Some(2));
        assert_eq!(btf.tracepoint_args("none"), None);
        assert_eq!(
            btf.offset_of("outer", "nothing").unwrap_err().to_string(),
            "this kernel's `struct outer` has no field `nothing`"
        );
        assert!(matches!(
            btf.offset_of("inner", "x"),
            Err(BtfError::NoType(_))
        ));
    }

    /// `struct outer` has four members without a name, each a `struct outer`.
    #[test]
    fn a_type_that_holds_itself_has_no_such_field() {
        let strings = b"\0outer\0";
        let mut types: Vec<u32> = vec![1, 4 << 24 | 4, 8];
        types.extend([0, 1, 0].repeat(4));
        let btf = Btf::parse(section(&types, strings)).unwrap();
        assert_eq!(
            btf.offset_of("outer", "inner").unwrap_err().to_string(),
            "this kernel's `struct outer` has no field `inner`"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(btf) = Btf::parse(bytes) {
                let _ = btf.offset_of("outer", "inner.x");
            }
        }

        #[test]
        fn any_change_to_a_blob_ends_in_a_result(at in 0usize..200, to in any::<u8>()) {
            let mut bytes = blob();
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(btf) = Btf::parse(bytes) {
                let _ = btf.offset_of("outer", "inner.x");
                let _ = btf.tracepoint_args("ev");
            }
        }
    }
}
