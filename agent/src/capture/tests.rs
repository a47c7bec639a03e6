//! What is written is read, what is private is not written, and bad files are errors.

mod private;

use std::io::{self, Write};

use hark_common::socket::{RequestRecord, ResponseRecord, SocketAddress, flag};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{ByteOrder, CaptureError, FRAME_LIMIT, HEADER_LIMIT, Header, Reader, Recorded, Writer};
use crate::exchange::{Endpoint, Role};
use crate::record::{Record, encode};

const UNIX: SocketAddress = SocketAddress {
    addr: [0; 16],
    port: 0,
    family: 1,
    netns: 0,
};

fn header(redacted: bool) -> Header {
    Header {
        hark_version: "0.1.0".into(),
        kernel_release: "6.18.0".into(),
        machine: "x86_64".into(),
        boot_id: "00000000-0000-4000-8000-000000000000".into(),
        byte_order: ByteOrder::NATIVE,
        realtime_offset_ns: 1_700_000_000_000_000_000,
        redacted,
    }
}

fn piece(socket: u64, index: u32, offset: usize, head: &[u8], last: bool) -> Vec<u8> {
    let mut record = RequestRecord {
        index,
        offset: u32::try_from(offset).unwrap(),
        local: UNIX,
        peer: UNIX,
        flags: if last { flag::HEAD_END } else { 0 },
        ..RequestRecord::default()
    };
    record.header.socket = socket;
    let mut bytes = Vec::new();
    encode(
        &Record::Request {
            role: Role::Server,
            local: Endpoint::Unix,
            peer: Endpoint::Unix,
            record,
            head,
        },
        &mut bytes,
    );
    bytes
}

fn response() -> Vec<u8> {
    let mut bytes = Vec::new();
    let record = ResponseRecord {
        status: 200,
        ..ResponseRecord::default()
    };
    encode(
        &Record::Response {
            role: Role::Server,
            record,
        },
        &mut bytes,
    );
    bytes
}

/// A file with these records, of any size.
fn written(redacted: bool, records: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header(redacted), u64::MAX).unwrap();
    for record in records {
        assert_eq!(writer.write(record).unwrap(), Recorded::Written);
    }
    let bytes = writer.bytes();
    let file = writer.finish().unwrap();
    assert_eq!(bytes, u64::try_from(file.len()).unwrap());
    file
}

/// Every record of a file, and how it ends.
fn read(file: &[u8]) -> Result<(Header, Vec<Vec<u8>>), CaptureError> {
    let mut reader = Reader::new(file)?;
    let mut records = Vec::new();
    while let Some(record) = reader.record()? {
        records.push(record.to_vec());
    }
    assert_eq!(reader.offset(), u64::try_from(file.len()).unwrap());
    Ok((reader.header().clone(), records))
}

#[test]
fn the_format_is_the_one_that_is_documented() {
    let file = written(false, &[response()]);
    let json = serde_json::to_vec(&header(false)).unwrap();
    let length = u32::try_from(json.len()).unwrap().to_le_bytes();
    let expected = [
        &b"HARKCAP\n\x02\0\0\0"[..],
        &length,
        &json,
        b"\x48\0\0\0",
        &response(),
    ]
    .concat();
    assert_eq!(file, expected);
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let order = if cfg!(target_endian = "little") {
        "little"
    } else {
        "big"
    };
    assert_eq!(
        value,
        serde_json::json!({
            "hark_version": "0.1.0",
            "kernel_release": "6.18.0",
            "machine": "x86_64",
            "boot_id": "00000000-0000-4000-8000-000000000000",
            "byte_order": order,
            "realtime_offset_ns": 1_700_000_000_000_000_000_u64,
            "redacted": false,
        })
    );
}

#[test]
fn slack_after_a_record_is_left_off_and_raw_bytes_are_kept() {
    let slack = [response(), vec![0xa5; 9]].concat();
    let nonsense = vec![1, 2, 3];
    let (_, records) = read(&written(false, &[slack, nonsense.clone()])).unwrap();
    assert_eq!(records, [response(), nonsense]);
}

#[test]
fn what_cannot_be_decoded_cannot_be_redacted_and_is_left_out() {
    let mut writer = Writer::new(Vec::new(), &header(true), u64::MAX).unwrap();
    assert_eq!(
        writer.write(b"secret secret secret secret").unwrap(),
        Recorded::Undecodable
    );
    assert_eq!(writer.write(&response()).unwrap(), Recorded::Written);
    let (_, records) = read(&writer.finish().unwrap()).unwrap();
    assert_eq!(records, [response()]);
    let mut raw = Writer::new(Vec::new(), &header(false), u64::MAX).unwrap();
    assert_eq!(
        raw.write(&vec![0; FRAME_LIMIT + 1]).unwrap(),
        Recorded::Undecodable
    );
}

#[test]
fn a_file_ends_at_its_limit_after_a_whole_record() {
    let empty = u64::try_from(written(false, &[]).len()).unwrap();
    let record = 4 + 72;
    for (limit, fits) in [
        (0, 0),
        (empty + record - 1, 0),
        (empty + record, 1),
        (empty + 2 * record, 2),
        (empty + 3 * record - 1, 2),
    ] {
        let mut writer = Writer::new(Vec::new(), &header(false), limit).unwrap();
        let written: Vec<_> = (0..4)
            .map(|_| writer.write(&response()).unwrap() == Recorded::Written)
            .collect();
        assert_eq!(written, [0, 1, 2, 3].map(|place| place < fits), "{limit}");
        // A short one that would fit does not come after one that did not.
        assert_eq!(writer.write(b"").unwrap(), Recorded::Full);
        let (_, records) = read(&writer.finish().unwrap()).unwrap();
        assert_eq!(records, vec![response(); fits]);
    }
}

/// A disk with room for so many bytes.
#[derive(Debug)]
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_in_a_sentence() {
    let mut writer = Writer::new(Disk(100_000), &header(false), u64::MAX).unwrap();
    let error = loop {
        match writer.write(&response()) {
            Ok(recorded) => assert_eq!(recorded, Recorded::Written),
            Err(error) => break error,
        }
    };
    let CaptureError::Write { offset, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(
        error.to_string(),
        format!(
            "cannot write the capture file at offset {offset}: no storage space; make room or set a lower limit for the file"
        )
    );
    let small = Writer::new(Disk(10), &header(false), u64::MAX).unwrap();
    assert!(matches!(small.finish(), Err(CaptureError::Write { .. })));
}

#[test]
fn a_file_that_ends_early_says_where() {
    let records = [response(), piece(1, 0, 0, b"GET / HTTP/1.1\r\n\r\n", true)];
    let file = written(true, &records);
    let empty = written(true, &[]).len();
    let ends = [empty, empty + 4 + 72, file.len()];
    for end in 0..=file.len() {
        let outcome = read(&file[..end]);
        match outcome {
            Ok((_, records)) => {
                let place = ends.iter().position(|known| *known == end);
                assert_eq!(place, Some(records.len()), "{end}");
            }
            Err(CaptureError::Magic) => assert!(end < 8, "{end}"),
            Err(CaptureError::Truncated { offset, .. }) => {
                assert_eq!(offset, u64::try_from(end).unwrap());
                assert!(end >= 8 && !ends.contains(&end), "{end}");
            }
            Err(other) => panic!("{end}: {other}"),
        }
    }
}

#[test]
fn a_file_that_is_none_says_why() {
    let good = written(true, &[]);
    let sentence = |file: &[u8]| read(file).unwrap_err().to_string();
    assert_eq!(
        sentence(b"\x7fELF\x02\x01\x01\0\0\0"),
        "this is not a capture file of hark: it does not begin with HARKCAP"
    );
    let mut newer = good.clone();
    newer[8] = 3;
    assert_eq!(
        sentence(&newer),
        "the capture file has format version 3, this hark reads version 2: use the hark that wrote it"
    );
    let mut huge = good.clone();
    huge[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        sentence(&huge),
        format!(
            "the capture file says that its header is 4294967295 bytes long, the limit is {HEADER_LIMIT}"
        )
    );
    let mut damaged = good.clone();
    damaged[16] = b'[';
    assert!(sentence(&damaged).starts_with("the header of the capture file is damaged: "));
    let other = match ByteOrder::NATIVE {
        ByteOrder::Little => ByteOrder::Big,
        ByteOrder::Big => ByteOrder::Little,
    };
    let foreign = Header {
        byte_order: other,
        ..header(true)
    };
    let foreign = Writer::new(Vec::new(), &foreign, u64::MAX)
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(
        sentence(&foreign),
        "the capture file is from a machine of the other byte order: replay it on such a one"
    );
    let long = [&good[..], &u32::MAX.to_le_bytes(), b"x"].concat();
    assert_eq!(
        sentence(&long),
        format!(
            "the capture file is damaged at offset {}: a record of 4294967295 bytes, the limit is {FRAME_LIMIT}",
            good.len()
        )
    );
    let cut = [&good[..], &5_u32.to_le_bytes(), b"abc"].concat();
    assert_eq!(
        sentence(&cut),
        format!(
            "the capture file ends at offset {}, within a record",
            good.len() + 7
        )
    );
}

proptest! {
    #[test]
    fn raw_records_come_back_as_they_were(records in vec(vec(any::<u8>(), 0..FRAME_LIMIT), 0..6)) {
        // Nothing random of this length is a record, so that all of it is kept.
        let (known, back) = read(&written(false, &records)).unwrap();
        prop_assert_eq!(known, header(false));
        prop_assert_eq!(back, records);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in vec(any::<u8>(), 0..300),
        prefix in 0_usize..3,
    ) {
        let good = written(true, &[response()]);
        let start = [0, 8, good.len()][prefix];
        let file = [&good[..start], &bytes].concat();
        let _: Result<_, CaptureError> = read(&file);
    }
}
