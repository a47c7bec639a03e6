//! Writes capture files.

use std::io::{self, BufWriter, Write};

use super::{CaptureError, FRAME_LIMIT, HEADER_LIMIT, Header, MAGIC, Redactor, VERSION};
use crate::record::decode;

/// What became of a record that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the file, or in the buffer before it.
    Written,
    /// It cannot be decoded, so that nothing private could be taken out of it, or it is longer than
    /// [`FRAME_LIMIT`]: left out.
    Undecodable,
    /// What is private in it cannot be taken out: left out.
    Private,
    /// The file has reached its limit: neither this nor any later record is written.
    Full,
}

/// A capture file under construction.
#[derive(Debug)]
pub struct Writer<W: Write> {
    file: BufWriter<W>,
    redactor: Option<Redactor>,
    max_bytes: u64,
    offset: u64,
    full: bool,
    scratch: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a file of at most `max_bytes`, whose records are redacted if the header says so.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Write`] if the file does not take the header; the limit does not apply to
    /// it. [`CaptureError::Header`] and [`CaptureError::HeaderLength`] if it cannot be written
    /// down.
    pub fn new(file: W, header: &Header, max_bytes: u64) -> Result<Self, CaptureError> {
        let mut writer = Self {
            file: BufWriter::with_capacity(1 << 16, file),
            redactor: header.redacted.then(Redactor::new),
            max_bytes,
            offset: 0,
            full: false,
            scratch: Vec::new(),
        };
        let header = serde_json::to_vec(header)?;
        let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
        if header.len() > HEADER_LIMIT {
            return Err(CaptureError::HeaderLength(length));
        }
        writer.put(&MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        writer.put(&length.to_le_bytes())?;
        writer.put(&header)?;
        Ok(writer)
    }

    /// Appends a record as it came from the ring buffer.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Write`] if the file does not take it. Nothing more should be written then.
    pub fn write(&mut self, record: &[u8]) -> Result<Recorded, CaptureError> {
        let decoded = decode(record);
        match (&mut self.redactor, decoded) {
            (Some(redactor), Ok(decoded)) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let recorded = if redactor.redact(&decoded, &mut scratch) {
                    self.frame(&scratch)
                } else {
                    Ok(Recorded::Private)
                };
                self.scratch = scratch;
                recorded
            }
            (None, Ok(decoded)) => {
                let size = usize::try_from(decoded.header().size).unwrap_or(usize::MAX);
                self.frame(record.get(..size).unwrap_or(record))
            }
            (None, Err(_)) if record.len() <= FRAME_LIMIT => self.frame(record),
            (Some(_) | None, Err(_)) => Ok(Recorded::Undecodable),
        }
    }

    /// Bytes written so far, those in the buffer included.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.offset
    }

    /// Writes what is in the buffer, and gives the file back.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Write`] if the file does not take it.
    pub fn finish(self) -> Result<W, CaptureError> {
        let offset = self.offset;
        self.file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|mut file| file.flush().map(|()| file))
            .map_err(|source| CaptureError::Write { offset, source })
    }

    fn frame(&mut self, record: &[u8]) -> Result<Recorded, CaptureError> {
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        let end = self.offset + 4 + u64::from(length);
        if self.full || end > self.max_bytes {
            self.full = true;
            return Ok(Recorded::Full);
        }
        self.put(&length.to_le_bytes())?;
        self.put(record)?;
        Ok(Recorded::Written)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        self.file
            .write_all(bytes)
            .map_err(|source| CaptureError::Write {
                offset: self.offset,
                source,
            })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
