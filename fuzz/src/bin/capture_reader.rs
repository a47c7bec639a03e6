//! Any bytes as a capture file, through what `hark replay` does with one, and through the redactor:
//! what is private can be taken out of any record, and what is left is a record of the same shape.
#![no_main]

use std::io::Read;

use hark::capture::{FRAME_LIMIT, Reader, Redactor};
use hark::record::{Record, decode, encode};

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
    let mut redactor = Redactor::new();
    for bytes in whole.records {
        let Ok(record) = decode(&bytes) else { continue };
        let mut written = Vec::new();
        encode(&record, &mut written);
        let mut redacted = Vec::new();
        if !redactor.redact(&record, &mut redacted) {
            assert!(matches!(record, Record::Http2 { .. }) && redacted.is_empty());
            continue;
        }
        assert_eq!(redacted.len(), written.len());
        // Only what follows the fixed part is changed, and only into this.
        let fixed = match &record {
            Record::Request { head, .. } => written.len() - head.len(),
            Record::Process { args, environ, .. } => written.len() - args.len() - environ.len(),
            Record::Tls { stream, .. } => written.len() - stream.len(),
            Record::Response { .. }
            | Record::Abort { .. }
            | Record::RequestBody(_)
            | Record::Http2 { .. }
            | Record::Http2End { .. } => written.len(),
        };
        for (place, (now, before)) in redacted.iter().zip(&written).enumerate() {
            assert!(
                now == before || place >= fixed && *now == b'x',
                "byte {place}"
            );
        }
        assert!(decode(&redacted).is_ok());
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
