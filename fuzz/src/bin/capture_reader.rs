//! Any bytes as a capture file, through what `hark replay` does with one, and through the redactor:
//! what is private can be taken out of any record, and what is left is a record of the same shape.
#![no_main]

use std::io::Read;

use hark::capture::{FRAME_LIMIT, Reader, Redactor};
use hark::record::{decode, encode};

/// Gives the file in small pieces, as a pipe may.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(7);
        self.0.read(&mut buffer[..most])
    }
}

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let whole = read(file, file.len());
    assert_eq!(whole, read(Pieces(file), file.len()));
    let mut once = (Redactor::new(), Vec::new());
    let mut twice = (Redactor::new(), Vec::new());
    for bytes in whole.records {
        let Ok(record) = decode(&bytes) else { continue };
        let mut written = Vec::new();
        encode(&record, &mut written);
        once.0.redact(&record, &mut once.1);
        assert_eq!(once.1.len(), written.len());
        let redacted = decode(&once.1).expect("a redacted record is a record");
        assert_eq!(redacted.header().kind, record.header().kind);
        twice.0.redact(&redacted, &mut twice.1);
        assert_eq!(
            String::from_utf8_lossy(&twice.1),
            String::from_utf8_lossy(&once.1)
        );
    }
});

/// What there is to a file.
#[derive(Debug, PartialEq, Eq)]
struct File {
    records: Vec<Vec<u8>>,
    /// What a person is told.
    error: Option<String>,
}

fn read(file: impl Read, length: usize) -> File {
    let mut records = Vec::new();
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => {
            let error = Some(error.to_string());
            return File { records, error };
        }
    };
    let error = loop {
        match reader.record() {
            Ok(Some(record)) => {
                assert!(record.len() <= FRAME_LIMIT);
                records.push(record.to_vec());
            }
            Ok(None) => {
                assert_eq!(reader.offset(), length as u64, "read to the end");
                break None;
            }
            Err(error) => {
                assert!(reader.offset() <= length as u64);
                break Some(error.to_string());
            }
        }
    };
    File { records, error }
}
