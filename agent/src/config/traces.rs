//! The lists of the sections `traces` and `sampling`: from text, and back.

use super::Config;
use super::quantity::{format_duration, parse_duration};
use crate::context::Format;
use crate::sampling::SlowAfter;

/// The longest list of thresholds.
const THRESHOLDS: usize = 1000;

/// What stands for each service.
const EACH: &str = "*";

/// What is wrong with an item: its place, and the reason.
type Wrong = (usize, String);

pub(super) fn context(config: &Config) -> Vec<String> {
    let formats = config.traces.context.iter();
    formats.map(|format| format.name().to_owned()).collect()
}

pub(super) fn set_context(config: &mut Config, items: &[String]) -> Result<(), Wrong> {
    let mut formats = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let Some(format) = Format::from_name(item) else {
            let names = Format::ALL.map(|format| format!("`{}`", format.name()));
            return Err((
                place,
                format!("is no format; there are {}", names.join(", ")),
            ));
        };
        if formats.contains(&format) {
            return Err((place, "is there twice".into()));
        }
        formats.push(format);
    }
    config.traces.context = formats;
    Ok(())
}

pub(super) fn slow_after(config: &Config) -> Vec<String> {
    let thresholds = config.sampling.slow_after.iter();
    thresholds
        .map(|threshold| {
            let duration = format_duration(threshold.duration);
            match (&threshold.service, &threshold.route) {
                (None, None) => duration,
                (Some(service), None) => format!("{service} {duration}"),
                (service, Some(route)) => {
                    let service = service.as_deref().unwrap_or(EACH);
                    format!("{service} {route} {duration}")
                }
            }
        })
        .collect()
}

pub(super) fn set_slow_after(config: &mut Config, items: &[String]) -> Result<(), Wrong> {
    let mut thresholds: Vec<SlowAfter> = Vec::new();
    for (place, item) in items.iter().enumerate() {
        if place >= THRESHOLDS {
            return Err((
                place,
                format!("is beyond the {THRESHOLDS} that there may be"),
            ));
        }
        let threshold = threshold(item).map_err(|reason| (place, reason))?;
        let same = |other: &SlowAfter| {
            other.service == threshold.service && other.route == threshold.route
        };
        if thresholds.iter().any(same) {
            return Err((place, "has the service and route of another".into()));
        }
        thresholds.push(threshold);
    }
    config.sampling.slow_after = thresholds;
    Ok(())
}

fn threshold(item: &str) -> Result<SlowAfter, String> {
    let words: Vec<&str> = item.split_whitespace().collect();
    let (service, route, duration) = match words[..] {
        [duration] => (EACH, None, duration),
        [service, duration] => (service, None, duration),
        [service, route, duration] => (service, Some(route), duration),
        _ => {
            return Err("is not `DURATION`, `SERVICE DURATION` or `SERVICE ROUTE DURATION`".into());
        }
    };
    let duration =
        parse_duration(duration).map_err(|reason| format!("has a duration that {reason}"))?;
    if route.is_some_and(|route| !route.starts_with('/')) {
        return Err("has a route that does not begin with `/`".into());
    }
    Ok(SlowAfter {
        service: (service != EACH).then(|| service.to_owned()),
        route: route.map(str::to_owned),
        duration,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(of: &[&str]) -> Vec<String> {
        of.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn what_is_set_is_shown() {
        let mut config = Config::default();
        let thresholds = items(&["1s", "shop 500ms", "* /a 20ms", "shop /a/{id} 10ms"]);
        assert_eq!(set_slow_after(&mut config, &thresholds), Ok(()));
        assert_eq!(slow_after(&config), thresholds);
        let formats = items(&["xray", "w3c"]);
        assert_eq!(set_context(&mut config, &formats), Ok(()));
        assert_eq!(context(&config), formats);
        assert_eq!(set_context(&mut config, &[]), Ok(()));
    }

    #[test]
    fn what_is_refused() {
        let mut config = Config::default();
        for bad in ["", "shop", "shop a 1s", "a /b 1s c", "1", "shop /a", "-1s"] {
            let refused = set_slow_after(&mut config, &items(&["2s", bad]));
            assert_eq!(refused.map_err(|(place, _)| place), Err(1), "{bad}");
        }
        for (list, place) in [(&["w3c", "w3c"], 1), (&["ottrace", "w3c"], 0)] {
            let refused = set_context(&mut config, &items(list));
            assert_eq!(refused.map_err(|(place, _)| place), Err(place));
        }
        assert_eq!(config, Config::default());
    }
}
