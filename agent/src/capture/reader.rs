//! Reads capture files, which may be truncated, damaged, or made to do harm.

use std::io::{ErrorKind, Read};

use super::{ByteOrder, CaptureError, FRAME_LIMIT, HEADER_LIMIT, Header, MAGIC, VERSION};

/// A capture file being read. Give it something buffered: records are read one by one.
#[derive(Debug)]
pub struct Reader<R> {
    file: R,
    header: Header,
    offset: u64,
    record: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// A [`CaptureError`] if it is not one that this machine can replay.
    pub fn new(mut file: R) -> Result<Self, CaptureError> {
        let mut offset = 0;
        let mut magic = [0; MAGIC.len()];
        fill(&mut file, &mut magic, &mut offset, "the magic number").map_err(
            |error| match error {
                CaptureError::Truncated { .. } => CaptureError::Magic,
                other => other,
            },
        )?;
        if magic != MAGIC {
            return Err(CaptureError::Magic);
        }
        let version = number(&mut file, &mut offset, "the version")?;
        if version != VERSION {
            return Err(CaptureError::Version(version));
        }
        let length = number(&mut file, &mut offset, "the length of the header")?;
        let mut header = match usize::try_from(length) {
            Ok(length) if length <= HEADER_LIMIT => vec![0; length],
            _ => return Err(CaptureError::HeaderLength(length)),
        };
        fill(&mut file, &mut header, &mut offset, "the header")?;
        let header: Header = serde_json::from_slice(&header)?;
        if header.byte_order != ByteOrder::NATIVE {
            return Err(CaptureError::ByteOrder);
        }
        Ok(Self {
            file,
            header,
            offset,
            record: Vec::new(),
        })
    }

    /// What the file says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record, not decoded; `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// A [`CaptureError`] with the offset at which the file ends too early or is damaged. There is
    /// no way to go on after it.
    pub fn record(&mut self) -> Result<Option<&[u8]>, CaptureError> {
        let start = self.offset;
        let length = match number(&mut self.file, &mut self.offset, "the length of a record") {
            Ok(length) => length,
            Err(CaptureError::Truncated { offset, .. }) if offset == start => return Ok(None),
            Err(error) => return Err(error),
        };
        match usize::try_from(length) {
            Ok(length) if length <= FRAME_LIMIT => self.record.resize(length, 0),
            _ => {
                return Err(CaptureError::Length {
                    offset: start,
                    length,
                });
            }
        }
        fill(
            &mut self.file,
            &mut self.record,
            &mut self.offset,
            "a record",
        )?;
        Ok(Some(&self.record))
    }
}

/// Fills `buffer`, and moves `offset` by what was read even if that is less.
fn fill(
    file: &mut impl Read,
    buffer: &mut [u8],
    offset: &mut u64,
    within: &'static str,
) -> Result<(), CaptureError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => {
                return Err(CaptureError::Truncated {
                    offset: *offset,
                    within,
                });
            }
            Ok(count) => {
                filled += count;
                *offset += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(CaptureError::Read {
                    offset: *offset,
                    source,
                });
            }
        }
    }
    Ok(())
}

/// A little-endian number.
fn number(
    file: &mut impl Read,
    offset: &mut u64,
    within: &'static str,
) -> Result<u32, CaptureError> {
    let mut bytes = [0; 4];
    fill(file, &mut bytes, offset, within)?;
    Ok(u32::from_le_bytes(bytes))
}
