//! Errors that the memory controllers found: EDAC, `Documentation/ABI/testing/sysfs-devices-edac`
//! in the kernel's sources.

use std::fs;
use std::path::Path;

use crate::resources::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page, push_label};

/// Where the controllers are. Virtual machines and most desktops have none.
pub(super) const FOLDER: &str = "/sys/devices/system/edac/mc";

/// Most controllers that are looked at. A socket has a few.
const MAX_CONTROLLERS: usize = 256;

const ERRORS: Family = Family {
    name: "hark_memory_ecc_errors",
    help: "Memory errors that the hardware found, corrected or not, since the driver was loaded.",
    unit: None,
    kind: Kind::Counter,
    source: "/sys/devices/system/edac/mc/mc*/ce_count, ue_count",
    labels: &["controller", "kind"],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&ERRORS];

pub(super) fn write(page: &mut Page<'_>, folder: &Path) -> Result<(), CollectError> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    let mut controllers: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            name.strip_prefix("mc")
                .is_some_and(|number| number.parse::<u32>().is_ok())
        })
        .take(MAX_CONTROLLERS + 1)
        .collect();
    controllers.sort();
    if controllers.is_empty() {
        return Ok(());
    }
    page.family(&ERRORS)?;
    for controller in controllers.iter().take(MAX_CONTROLLERS) {
        for (kind, file) in [("corrected", "ce_count"), ("uncorrected", "ue_count")] {
            let path = folder.join(controller).join(file);
            let count = fs::read_to_string(path)
                .ok()
                .and_then(|text| text.trim().parse::<u64>().ok());
            // A driver need not have both.
            if let Some(count) = count {
                let mut labels = String::new();
                push_label(&mut labels, "controller", controller);
                push_label(&mut labels, "kind", kind);
                page.sample(&ERRORS, &labels, count)?;
            }
        }
    }
    if controllers.len() > MAX_CONTROLLERS {
        return Err(CollectError::TooMany {
            what: "memory controllers",
            limit: MAX_CONTROLLERS,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::page::Format;

    #[test]
    fn each_controller() {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in [
            ("mc0/ce_count", "3\n"),
            ("mc0/ue_count", "0\n"),
            ("mc10/ce_count", "1\n"),
            ("mc10/ue_count", "many\n"),
            ("power/ce_count", "7\n"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let mut out = Vec::new();
        let mut page = Page::new(Format::Text, &mut out);
        write(&mut page, folder.path()).unwrap();
        page.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "hark_memory_ecc_errors_total{controller=\"mc0\",kind=\"corrected\"} 3",
                "hark_memory_ecc_errors_total{controller=\"mc0\",kind=\"uncorrected\"} 0",
                "hark_memory_ecc_errors_total{controller=\"mc10\",kind=\"corrected\"} 1",
            ]
        );
    }

    #[test]
    fn none_is_no_error() {
        let mut out = Vec::new();
        let mut page = Page::new(Format::Text, &mut out);
        write(&mut page, Path::new("/nowhere")).unwrap();
        page.finish().unwrap();
        assert_eq!(out, b"");
    }
}
