//! The values of the kernel's enumerations, by name.

use super::{Btf, KIND_ENUM, KIND_ENUM64, read_u32};

impl Btf {
    /// The values of `enum of` with their names, in the order of the source; `None` if this kernel
    /// has no such enumeration. Those that do not fit 32 bits are left out.
    #[must_use]
    pub fn enumeration(&self, of: &str) -> Option<Vec<(String, u32)>> {
        let (ty, size) = match self.find(KIND_ENUM, of) {
            Some(ty) => (ty, 8),
            // A value has 64 bits, the upper half after the lower.
            None => (self.find(KIND_ENUM64, of)?, 12),
        };
        let mut values = Vec::new();
        for index in 0..ty.count as usize {
            let at = ty.rest + index * size;
            if size == 12 && read_u32(&self.data, at + 8)? != 0 {
                continue;
            }
            let name = String::from_utf8_lossy(self.name(read_u32(&self.data, at)?));
            values.push((name.into_owned(), read_u32(&self.data, at + 4)?));
        }
        Some(values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::btf::tests::section;

    /// 1 `enum small { A, B = 7 }`, 2 `enum wide { A = 7, C = 1 << 32 }` in 64 bits.
    fn blob() -> Vec<u8> {
        let strings = b"\0small\0A\0B\0wide\0C\0";
        let types: [u32; 16] = [
            1,
            6 << 24 | 2,
            4,
            7,
            0,
            9,
            7, // small: A, B
            11,
            19 << 24 | 2,
            8,
            7,
            7,
            0,
            16,
            0,
            1, // wide: A, C
        ];
        section(&types, strings)
    }

    #[test]
    fn values_of_both_widths() {
        let btf = Btf::parse(blob()).unwrap();
        let pair = |name: &str, value| (name.to_owned(), value);
        assert_eq!(
            btf.enumeration("small"),
            Some(vec![pair("A", 0), pair("B", 7)])
        );
        assert_eq!(btf.enumeration("wide"), Some(vec![pair("A", 7)]));
        assert_eq!(btf.enumeration("none"), None);
    }

    /// The numbers are user-space ABI (`include/uapi/linux/bpf.h`), where the kernel's BTF has them.
    #[test]
    fn the_running_kernel_has_its_own() {
        let Ok(btf) = Btf::of_running_kernel() else {
            eprintln!("SKIPPED the_running_kernel_has_its_own: no /sys/kernel/btf/vmlinux");
            return;
        };
        let types = btf.enumeration("bpf_map_type").unwrap();
        assert!(types.contains(&("BPF_MAP_TYPE_HASH".into(), 1)));
        assert!(types.contains(&("BPF_MAP_TYPE_SK_STORAGE".into(), 24)));
    }

    proptest! {
        #[test]
        fn any_change_to_a_blob_ends_in_a_result(at in 0usize..120, to in any::<u8>()) {
            let mut bytes = blob();
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(btf) = Btf::parse(bytes) {
                let _ = btf.enumeration("small");
                let _ = btf.enumeration("wide");
            }
        }
    }
}
