//! What is read of an ELF file: where functions of given names are, and their code.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use object::elf::{EM_AARCH64, EM_X86_64, PF_X, PT_LOAD, STT_FUNC};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::read::{ReadCache, ReadCacheOps};
use object::{Endianness, Object as _, ObjectSection as _, SymbolFlags};

/// Bytes that are read of one file, tables of symbols and code together. The largest programs known
/// (browsers, Go programs with all their symbols) stay below.
pub const READ_LIMIT: u64 = 128 << 20;
/// Symbols that are looked at in one file.
pub const SYMBOL_LIMIT: usize = 1 << 20;
/// Bytes of code that are looked at from one address on.
pub const CODE_WINDOW: usize = 4096;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It is no ELF file, or a broken one.
    #[error("it is not a whole ELF file for 64 bits ({0})")]
    Malformed(#[from] object::Error),
    /// It is for another kind of processor.
    #[error("it is for another kind of processor")]
    Machine,
    /// It has more symbols than are looked at.
    #[error("it has more than {SYMBOL_LIMIT} symbols")]
    TooManySymbols,
}

/// A function in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its address, as the file has it.
    pub address: u64,
    /// Its size in bytes, by the table of symbols.
    pub size: u64,
}

/// A section of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its address, as the file has it.
    pub address: u64,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Size in the file, in bytes.
    pub size: u64,
}

/// A stretch of the file that is loaded as code.
#[derive(Clone, Copy, Debug)]
struct Segment {
    address: u64,
    offset: u64,
    size: u64,
}

/// An ELF file for this machine, opened.
pub struct Elf<'a, R: ReadCacheOps> {
    file: ElfFile64<'a, Endianness, &'a ReadCache<R>>,
    cache: &'a ReadCache<R>,
    code: Vec<Segment>,
}

impl<R: ReadCacheOps> std::fmt::Debug for Elf<'_, R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Elf")
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

/// A file of which no more than [`READ_LIMIT`] bytes are read. To be put into a [`ReadCache`].
#[derive(Debug)]
pub struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R> Limited<R> {
    /// With nothing read yet.
    pub const fn new(inner: R) -> Self {
        Self {
            inner,
            left: READ_LIMIT,
        }
    }
}

impl<R: Read + Seek> Read for Limited<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let limit = usize::try_from(self.left).unwrap_or(usize::MAX);
        if limit < to.len() {
            return Err(io::Error::other("too much would have to be read"));
        }
        let read = self.inner.read(to)?;
        self.left -= read as u64;
        Ok(read)
    }
}

impl<R: Seek> Seek for Limited<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// What a file on disk is read through.
pub type Cache = ReadCache<Limited<File>>;

impl<'a, R: ReadCacheOps> Elf<'a, R> {
    /// Reads the headers.
    ///
    /// # Errors
    ///
    /// It is not an ELF file, or not for this machine.
    pub fn open(cache: &'a ReadCache<R>) -> Result<Self, ElfError> {
        use object::read::ReadRef as _;
        let file = ElfFile64::<Endianness, _>::parse(cache)?;
        let endian = file.endian();
        let machine = if cfg!(target_arch = "aarch64") {
            EM_AARCH64
        } else {
            EM_X86_64
        };
        if file.elf_header().e_machine(endian) != machine {
            return Err(ElfError::Machine);
        }
        // What a header says of bytes behind the end of the file is not so.
        let length = cache.len().unwrap_or(0);
        let code = file
            .elf_program_headers()
            .iter()
            .filter(|header| header.p_type(endian) == PT_LOAD && header.p_flags(endian) & PF_X != 0)
            .map(|header| {
                let offset = header.p_offset(endian);
                Segment {
                    address: header.p_vaddr(endian),
                    offset,
                    size: header.p_filesz(endian).min(length.saturating_sub(offset)),
                }
            })
            .collect();
        Ok(Self { file, cache, code })
    }

    /// Looks functions up by name: those that the file offers to others first, and, only if none of
    /// them is there, those that it names for debuggers. The answer has the order of `names`.
    ///
    /// # Errors
    ///
    /// The table of symbols is broken or too large.
    pub fn functions<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<Function>; N], ElfError> {
        let found = Self::among(self.file.dynamic_symbols(), &names)?;
        if found.iter().any(Option::is_some) {
            return Ok(found);
        }
        Self::among(self.file.symbols(), &names)
    }

    fn among<'s, S: object::ObjectSymbol<'s>, const N: usize>(
        symbols: impl Iterator<Item = S>,
        names: &[&str; N],
    ) -> Result<[Option<Function>; N], ElfError> {
        let mut found = [None; N];
        for (n, symbol) in symbols.enumerate() {
            if n >= SYMBOL_LIMIT {
                return Err(ElfError::TooManySymbols);
            }
            let is_function = matches!(symbol.flags(), SymbolFlags::Elf { st_info, .. } if st_info & 0xf == STT_FUNC);
            if !is_function || symbol.is_undefined() {
                continue;
            }
            // A name that cannot be read is none of ours.
            let Ok(name) = symbol.name_bytes() else {
                continue;
            };
            if let Some(place) = names.iter().position(|wanted| wanted.as_bytes() == name) {
                found[place] = Some(Function {
                    address: symbol.address(),
                    size: symbol.size(),
                });
            }
        }
        Ok(found)
    }

    /// Where a section is, if there is one of that name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<Section> {
        let section = self.file.section_by_name(name)?;
        let (offset, size) = section.file_range()?;
        Some(Section {
            address: section.address(),
            offset,
            size,
        })
    }

    /// Where in the file the byte is that is loaded to an address.
    #[must_use]
    pub fn loaded(&self, address: u64) -> Option<u64> {
        let endian = self.file.endian();
        self.file.elf_program_headers().iter().find_map(|header| {
            let within = address.checked_sub(header.p_vaddr(endian))?;
            let is_there = header.p_type(endian) == PT_LOAD && within < header.p_filesz(endian);
            is_there.then(|| header.p_offset(endian).checked_add(within))?
        })
    }

    /// The code from an address on, at most [`CODE_WINDOW`] bytes; empty if there is none.
    #[must_use]
    pub fn code(&self, address: u64) -> &'a [u8] {
        use object::read::ReadRef as _;
        let Some((offset, left)) = self.place(address) else {
            return &[];
        };
        self.cache
            .read_bytes_at(offset, left.min(CODE_WINDOW as u64))
            .unwrap_or(&[])
    }

    /// Where in the file the code of an address is: what a probe is attached by.
    #[must_use]
    pub fn offset(&self, address: u64) -> Option<u64> {
        self.place(address).map(|(offset, _)| offset)
    }

    /// Offset in the file, and bytes from there to the segment's end.
    fn place(&self, address: u64) -> Option<(u64, u64)> {
        self.code.iter().find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            let left = segment.size.checked_sub(within).filter(|left| *left != 0)?;
            Some((segment.offset.checked_add(within)?, left))
        })
    }
}

#[cfg(test)]
mod tests;
